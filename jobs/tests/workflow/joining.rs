//! Joining a company that has a DA: routing, *Confirm*, the DA's decision.

use chrono::{Duration, TimeZone};
use enrolld_jobs::{
    da_routing::{Appointment, administrators},
    decide::{Decided, decide},
    directory::AccountStatus,
    effect::{Effect, MailKind},
    event::{Event, Facts, Present},
    job::JobKind,
    refusal::Reason,
    registration::{FieldErrorCode, ReviewReason, State, StateName},
    values::{Access, Role},
    view::{RegistrationSummary, RegistrationView},
};

use crate::road::{
    Road, account, account_id, acts, da, deny, good, good_but, grant, mails, organization, organization_id, start,
};

fn two_das() -> Present {
    good(vec![da("boss", "root"), da("second", "site")])
}

#[test]
fn r32_the_request_goes_to_the_first_da_of_the_list() {
    let road = Road::awaiting_da(&two_das());
    let asked = road.registration.delegated_administrator().expect("a DA");
    assert_eq!(asked.account_id.as_str(), "boss");
}

#[test]
fn r29_the_next_step_depends_on_whether_the_company_has_a_da() {
    assert_eq!(Road::routed(&two_das()).state(), StateName::AwaitingConfirmation);
    assert_eq!(Road::routed(&good(vec![])).state(), StateName::AwaitingOrganization);
}

#[test]
fn r33_before_confirm_the_applicant_sees_the_da() {
    let road = Road::routed(&two_das());
    assert_eq!(road.state(), StateName::AwaitingConfirmation);
    let view = RegistrationSummary::new(&road.registration);
    assert_eq!(
        (view.contract_number.as_str(), view.serial_number.as_str()),
        ("93988396", "FOC1436Y3XK")
    );
    let shown = view.delegated_administrator.expect("a DA");
    assert_eq!(
        (shown.account_id.as_str(), shown.name.as_str()),
        ("boss", "boss of ACME")
    );
    assert_eq!(shown.email.as_deref(), Some("boss@acme.example"));
    assert_eq!(shown.address, ["1 root ST"]);
    for button in ["registration.confirmed", "registration.resubmitted"] {
        assert!(view.allowed.contains(&button.to_owned()), "{button}");
    }
}

#[test]
fn r34_nothing_is_sent_before_confirm() {
    let present = two_das();
    let mut road = Road::submitted();
    assert_eq!(mails(&road.verify(&present)), []);
    assert_eq!(mails(&road.route(&present)), []);
    let confirmed = road.does(&Event::Confirmed, &present);
    assert_eq!(mails(&confirmed)[0], (MailKind::AccessRequest, "boss".to_owned()));
}

#[test]
fn r4_the_other_das_get_a_notice() {
    let present = good(vec![da("boss", "root"), da("second", "site"), da("third", "root")]);
    let mut road = Road::routed(&present);
    assert_eq!(
        mails(&road.does(&Event::Confirmed, &present)),
        [
            (MailKind::AccessRequest, "boss".to_owned()),
            (MailKind::AccessRequestNotice, "second".to_owned()),
            (MailKind::AccessRequestNotice, "third".to_owned()),
        ]
    );
}

#[test]
fn r36_the_applicant_sees_every_da() {
    let road = Road::awaiting_da(&two_das());
    let view = RegistrationView::new(&road.registration, vec![]);
    let ids: Vec<_> = view.administrators.iter().map(|da| da.account_id.as_str()).collect();
    assert_eq!(ids, ["boss", "second"]);
}

#[test]
fn d2_an_unreachable_da_is_skipped() {
    let mut present = two_das();
    present.site.as_mut().unwrap().administrators[0].reachable = false;
    let road = Road::awaiting_da(&present);
    let asked = road.registration.delegated_administrator().expect("a DA");
    assert_eq!(asked.account_id.as_str(), "second");
}

#[test]
fn d2_without_reachable_da_it_goes_to_an_agent_without_confirm() {
    let mut present = good(vec![da("boss", "root")]);
    present.site.as_mut().unwrap().administrators[0].reachable = false;
    let mut road = Road::submitted();
    road.verify(&present);
    let decision = road.route(&present);
    assert_eq!(road.review_reason(), ReviewReason::NoReachableDa);
    assert_eq!(
        mails(&decision),
        [
            (MailKind::ReviewCase, "the agents".to_owned()),
            (MailKind::WithAgent, "the applicant".to_owned()),
        ]
    );
}

#[test]
fn d2_confirm_looks_again_who_can_be_reached() {
    let mut road = Road::routed(&two_das());
    let mut present = two_das();
    for da in &mut present.site.as_mut().unwrap().administrators {
        da.reachable = false;
    }
    road.does(&Event::Confirmed, &present);
    assert_eq!(road.state(), StateName::InReview);
}

#[test]
fn r29_confirm_without_any_da_left_routes_again() {
    let mut road = Road::routed(&two_das());
    let decision = road.does(&Event::Confirmed, &good(vec![]));
    assert_eq!(road.state(), StateName::Routing);
    assert_eq!(decision.effects, [Effect::Run(JobKind::DaRouting)]);
}

#[test]
fn r37_a_grant_gives_the_role_for_the_site() {
    let present = two_das();
    let mut road = Road::awaiting_da(&present);
    let decision = road.does(&grant("boss"), &present);
    assert_eq!(road.state(), StateName::Active);
    assert!(decision.rests_on_tree);
    assert_eq!(decision.entry.actor, "boss");
    let grants: Vec<_> = decision
        .effects
        .iter()
        .filter(|e| matches!(e, Effect::Grant { .. }))
        .collect();
    let expected = Effect::Grant {
        account_id: account_id("newbie"),
        organization_id: organization_id("site"),
        access: Access::Role(Role::CustomerUser),
    };
    assert_eq!(grants, [&expected]);
    assert_eq!(
        mails(&decision),
        [(MailKind::AccessApproved, "the applicant".to_owned())]
    );
    let view = RegistrationSummary::new(&road.registration);
    assert_eq!(view.role, Some(Role::CustomerUser));
    assert_eq!(view.organization_id, Some(organization_id("site")));
}

#[test]
fn r31_a_deny_ends_it_with_a_mail_and_nothing_granted() {
    let present = two_das();
    let mut road = Road::awaiting_da(&present);
    let decision = road.does(&deny("second"), &present);
    assert_eq!(mails(&decision), [(MailKind::AccessDenied, "the applicant".to_owned())]);
    assert!(acts(&decision).is_empty());
    assert_eq!(
        road.registration.state,
        State::Denied {
            by: account_id("second"),
            reason: Some("not one of ours".to_owned())
        }
    );
    assert_eq!(decision.entry.detail["reason"], "not one of ours");
}

#[test]
fn d3_only_a_current_da_of_the_site_decides() {
    let present = two_das();
    let road = Road::awaiting_da(&present);
    for by in ["stranger", "newbie"] {
        let refusal = road.refused(&grant(by), &present);
        assert_eq!(refusal.reason, Reason::NotEntitled, "{by}");
        assert_eq!(refusal.code(), "not_a_delegated_administrator");
    }
    // Asked when the request came, and no DA any more.
    let refusal = road.refused(&grant("boss"), &good(vec![da("second", "site")]));
    assert_eq!(refusal.reason, Reason::NotEntitled);
}

#[test]
fn d3_nobody_decides_on_their_own_request() {
    let mut road = Road::awaiting_da(&two_das());
    let present = good(vec![da("newbie", "root"), da("boss", "root")]);
    for event in [grant("newbie"), deny("newbie")] {
        assert_eq!(road.refused(&event, &present).reason, Reason::NotEntitled);
    }
    // Nor are they asked.
    let mut alone = Road::routed(&two_das());
    alone.does(&Event::Confirmed, &good(vec![da("newbie", "root")]));
    assert_eq!(alone.state(), StateName::InReview);
    road.does(&deny("boss"), &present);
}

#[test]
fn d3_who_is_not_entitled_learns_nothing_of_the_state() {
    let present = two_das();
    let mut road = Road::awaiting_da(&present);
    road.does(&Event::GIVEN_UP, &present);
    let stranger = road.refused(&grant("stranger"), &present);
    assert_eq!(stranger.reason, Reason::NotEntitled);
    assert!(!stranger.detail.contains_key("state"));
    let da = road.refused(&grant("boss"), &present);
    assert_eq!((da.reason, da.code()), (Reason::NotAllowed, "wrong_state"));
}

#[test]
fn d4_the_list_is_of_the_site_and_above_in_order_of_appointment() {
    let chain = [organization("root", None), organization("site", Some("root"))];
    let appointed = |id: &str, of: &str, day: u32, position: i64| Appointment {
        account: account(id),
        organization_id: organization_id(of),
        since: chrono::Utc.with_ymd_and_hms(2026, 1, day, 0, 0, 0).unwrap(),
        position,
        undeliverable: false,
    };
    let list = administrators(
        &chain,
        vec![
            appointed("late", "root", 3, 0),
            appointed("elsewhere", "other-site", 1, 0),
            appointed("second", "site", 2, 2),
            appointed("first", "site", 2, 1),
            appointed("first", "root", 4, 0),
        ],
    );
    let ids: Vec<_> = list
        .iter()
        .map(|da| (da.account_id.as_str(), da.organization_id.as_str()))
        .collect();
    assert_eq!(
        ids,
        [("first", "root"), ("second", "site"), ("late", "root")],
        "who is appointed twice covers what the higher organization covers"
    );
}

#[test]
fn d2_inactive_or_without_address_is_unreachable() {
    let chain = [organization("root", None)];
    let mut inactive = account("inactive");
    inactive.status = AccountStatus::Inactive;
    let mut mute = account("mute");
    mute.email = Some("not an address".to_owned());
    let appointments = [inactive, mute, account("fine")].map(|account| Appointment {
        account,
        organization_id: organization_id("root"),
        since: start(),
        position: 0,
        undeliverable: false,
    });
    let list = administrators(&chain, appointments.to_vec());
    let reachable: Vec<_> = list
        .iter()
        .filter(|da| da.reachable)
        .map(|da| da.account_id.as_str())
        .collect();
    assert_eq!((list.len(), reachable), (3, vec!["fine"]));
}

#[test]
fn d4_a_da_of_a_node_covers_it_and_all_below() {
    let site = good(vec![da("boss", "root"), da("second", "site")]).site.unwrap();
    let ids = |of: &str| -> Vec<String> {
        let das = site.administrators_of(&organization_id(of));
        das.iter().map(|da| da.account_id.to_string()).collect()
    };
    assert_eq!(ids("root"), ["boss"]);
    assert_eq!(ids("site"), ["boss", "second"]);
    assert_eq!(ids("elsewhere"), [""; 0]);
}

#[test]
fn d21_a_grant_is_verified_once_more() {
    let present = two_das();
    let mut road = Road::awaiting_da(&present);
    let ended = good_but(vec![da("boss", "root")], |present| {
        present.applicant.contract.as_mut().unwrap().status = "ended".to_owned();
    });
    let decision = road.does(&grant("boss"), &ended);
    assert_eq!(road.field_errors(), [FieldErrorCode::ContractInactive]);
    assert_eq!(
        mails(&decision),
        [(MailKind::CorrectionNeeded, "the applicant".to_owned())]
    );
    assert!(acts(&decision).is_empty(), "nothing is granted");
}

#[test]
fn d21_a_contract_that_moved_asks_the_das_of_where_it_is_now() {
    let present = two_das();
    let mut road = Road::awaiting_da(&present);
    let moved = good_but(vec![da("boss", "root")], |present| {
        let chain = &mut present.site.as_mut().unwrap().chain;
        chain[1] = organization("other-site", Some("root"));
        present.applicant.contract.as_mut().unwrap().organization_id = organization_id("other-site");
    });
    let decision = road.does(&grant("boss"), &moved);
    assert_eq!(road.state(), StateName::Routing);
    assert_eq!(decision.effects, [Effect::Run(JobKind::DaRouting)]);
}

#[test]
fn d23_a_job_of_an_earlier_step_does_nothing() {
    let present = two_das();
    let mut road = Road::submitted();
    let stale = road.registration.step;
    assert_eq!(road.decide(&Event::Route { step: stale }, &present), Decided::Ignored);
    road.verify(&present);
    assert_eq!(road.decide(&Event::Verify { step: stale }, &present), Decided::Ignored);
    assert_eq!(road.decide(&Event::Route { step: stale }, &present), Decided::Ignored);
    road.route(&present);
    let step = road.registration.step;
    for event in [Event::Verify { step }, Event::Route { step }] {
        assert_eq!(road.decide(&event, &present), Decided::Ignored);
    }
}

#[test]
fn decisions_ask_for_facts_when_they_need_them() {
    let present = two_das();
    let verifying = Road::submitted();
    let confirming = Road::routed(&present);
    let waiting = Road::awaiting_da(&present);
    let mailed = Road::awaiting_email();
    for (road, event) in [
        (&verifying, Event::Verify { step: 1 }),
        (&confirming, Event::Confirmed),
        (&waiting, grant("boss")),
        (&waiting, deny("boss")),
        (&mailed, mailed.link_used()),
    ] {
        let decided = decide(&road.registration, &event, &Facts::default(), road.now, &road.rules);
        assert_eq!(decided, Decided::NeedsPresentFacts, "{event:?}");
    }
}

#[test]
fn a_second_submitted_and_events_out_of_turn_are_refused_with_what_is_allowed() {
    let present = two_das();
    let mut road = Road::awaiting_da(&present);
    road.after(Duration::seconds(1));
    let again = Event::Submitted {
        account_id: account_id("newbie"),
        numbers: crate::road::numbers("1", "ABC"),
    };
    let refusal = road.refused(&again, &present);
    assert_eq!(
        (refusal.reason, refusal.code()),
        (Reason::NotAllowed, "already_submitted")
    );
    let refusal = road.refused(&Event::Confirmed, &present);
    assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "wrong_state"));
    assert_eq!(refusal.detail["state"], "awaiting_da");
    assert_eq!(
        refusal.detail["allowed"],
        serde_json::json!(["registration.da_decided", "registration.withdrawn"])
    );
}
