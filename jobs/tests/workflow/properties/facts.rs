//! Facts that need not agree with each other.

use std::sync::LazyLock;

use enrolld_jobs::{
    directory::Administrator,
    event::{Event, Present},
    registration::Registration,
    values::RegistrationId,
};
use proptest::{prelude::*, sample::select};

use crate::road::{Road, company, da, good, organization, organization_id, route_to};

/// What other open requests the account may have: mostly none.
static OPEN_REQUESTS: LazyLock<Vec<Vec<Registration>>> = LazyLock::new(|| {
    let named = |id: &str, road: Road| Registration {
        id: RegistrationId::new(id).expect("an id"),
        ..road.registration
    };
    let mut elsewhere = Road::in_review();
    elsewhere.companies = vec![company("third", vec![da("chief", "third")])];
    elsewhere.does(&route_to("third"), &good(vec![]));
    assert_eq!(elsewhere.registration.company(), Some(&organization_id("third")));
    let mut corrected = Road::awaiting_email();
    let step = corrected.registration.step;
    corrected.does(&Event::Undeliverable { step }, &good(vec![]));
    let held = named("held", Road::in_review());
    let idle = named("idle", Road::awaiting_email());
    let elsewhere = named("elsewhere", elsewhere);
    let corrected = named("corrected", corrected);
    let verifying = named("verifying", Road::submitted());
    let mut all = vec![Vec::new(); 30];
    all.extend([
        vec![held.clone()],
        vec![idle.clone(), verifying],
        vec![idle.clone(), elsewhere.clone(), corrected],
        vec![elsewhere],
        vec![idle, held],
    ]);
    all
});

/// Facts that need not agree with what was said before, mostly good.
pub(super) fn any_facts() -> impl Strategy<Value = Present> {
    let administrators = prop::collection::vec(
        (
            select(vec!["boss", "second", "third", "fourth", "newbie"]),
            select(vec!["root", "site"]),
            prop::bool::weighted(0.7),
        ),
        0..5,
    );
    let email = select(vec![
        Some("newbie@acme.example"),
        Some("newbie@acme.example"),
        Some("other@acme.example"),
        Some("newbie@gmail.com"),
        None,
    ]);
    let rarely = || prop::bool::weighted(0.06);
    let open_requests = 0..OPEN_REQUESTS.len();
    let site = select(vec!["site", "site", "site", "other-site"]);
    (
        administrators,
        email,
        site,
        open_requests,
        [
            rarely(),
            rarely(),
            rarely(),
            rarely(),
            rarely(),
            rarely(),
            rarely(),
            rarely(),
            rarely(),
        ],
    )
        .prop_map(
            |(
                administrators,
                email,
                site,
                open_requests,
                [
                    undeliverable,
                    no_account,
                    no_contract,
                    uncovered,
                    no_site,
                    holds_access,
                    flagged,
                    ended,
                    failing,
                ],
            )| {
                let administrators = administrators
                    .into_iter()
                    .map(|(id, of, reachable)| Administrator {
                        reachable,
                        ..da(id, of)
                    })
                    .collect();
                let mut present = good(administrators);
                let applicant = &mut present.applicant;
                if let Some(account) = &mut applicant.account {
                    account.email = email.map(str::to_owned);
                    account.flagged = flagged;
                }
                if let Some(contract) = &mut applicant.contract
                    && ended
                {
                    "ended".clone_into(&mut contract.status);
                }
                if no_account {
                    applicant.account = None;
                }
                if no_contract {
                    applicant.contract = None;
                }
                applicant.covered = !uncovered && applicant.contract.is_some();
                if let Some(facts) = &mut present.site {
                    facts.chain[1] = organization(site, Some("root"));
                }
                if no_site {
                    present.site = None;
                }
                present.undeliverable = undeliverable;
                present.open_requests.clone_from(&OPEN_REQUESTS[open_requests]);
                present.holds_access = holds_access;
                present.failed_attempts = if failing { 11 } else { 10 };
                present
            },
        )
}
