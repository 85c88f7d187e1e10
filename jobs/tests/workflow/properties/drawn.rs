//! What is drawn at random: events, and facts that need not agree with each other.

use enrolld_jobs::{
    cloud_event::{DaDecision, ReviewDecision},
    directory::Administrator,
    event::{Event, Present},
    registration::{Registration, State, StateName},
    values::Role,
};
use proptest::{prelude::*, sample::select};
use uuid::Uuid;

use crate::road::{account_id, da, good, numbers, organization, organization_id, reviewed};

/// An event as it is drawn: what names the registration's own step, link or organizations is filled in when it happens.
#[derive(Debug, Clone)]
pub(super) enum Drawn {
    /// What a road that goes well has next.
    Onward {
        grant: bool,
    },
    Submitted,
    Resubmitted(&'static str, &'static str),
    Confirmed,
    Selected(Option<&'static str>),
    Resend,
    LinkUsed(DrawnLink),
    Decided(&'static str, bool),
    Reviewed(ReviewDecision),
    Information,
    Withdrawn,
    Verify {
        behind: u32,
    },
    Route {
        behind: u32,
    },
    TimeIsUp {
        behind: u32,
    },
    Recheck,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum DrawnLink {
    Newest,
    UsedBefore,
    OfAnother,
    Unknown,
}

impl Drawn {
    pub(super) fn event(&self, registration: &Registration) -> Event {
        match self {
            Self::Onward { grant } => onward(registration, *grant).event(registration),
            Self::Submitted => Event::Submitted {
                account_id: account_id("newbie"),
                numbers: numbers("1", "ABC"),
            },
            Self::Resubmitted(contract, serial) => Event::Resubmitted(numbers(contract, serial)),
            Self::Confirmed => Event::Confirmed,
            Self::Selected(choice) => Event::OrganizationSelected(choice.map(organization_id)),
            Self::Resend => Event::ResendRequested,
            Self::LinkUsed(which) => Event::EmailVerified {
                link: match (which, &registration.state) {
                    (DrawnLink::Newest, State::AwaitingEmail { link }) => Some(link.id),
                    (DrawnLink::Newest | DrawnLink::UsedBefore, _) => {
                        registration.verified_email.as_ref().map(|verified| verified.link)
                    }
                    (DrawnLink::OfAnother, _) => Some(Uuid::from_u128(1)),
                    (DrawnLink::Unknown, _) => None,
                },
            },
            Self::Decided(by, grant) => Event::DaDecided {
                by: account_id(by),
                decision: if *grant {
                    DaDecision::Grant {
                        role: Role::PartnerUser,
                    }
                } else {
                    DaDecision::Deny
                },
                reason: None,
                via_link: by.len() > 4,
            },
            Self::Reviewed(decision) => reviewed(decision.clone()),
            Self::Information => Event::InformationProvided {
                answer: "yes".to_owned(),
            },
            Self::Withdrawn => Event::Withdrawn,
            Self::Verify { behind } => Event::Verify {
                step: registration.step.saturating_sub(*behind),
            },
            Self::Route { behind } => Event::Route {
                step: registration.step.saturating_sub(*behind),
            },
            Self::TimeIsUp { behind } => Event::TimeIsUp {
                step: registration.step.saturating_sub(*behind),
            },
            Self::Recheck => Event::Recheck,
        }
    }
}

fn onward(registration: &Registration, grant: bool) -> Drawn {
    match registration.state.name() {
        StateName::Verifying => Drawn::Verify { behind: 0 },
        StateName::NeedsCorrection => Drawn::Resubmitted("93988396", "FOC1436Y3XK"),
        StateName::Routing => Drawn::Route { behind: 0 },
        StateName::AwaitingConfirmation => Drawn::Confirmed,
        StateName::AwaitingOrganization => Drawn::Selected(Some("root")),
        StateName::AwaitingEmail => Drawn::LinkUsed(DrawnLink::Newest),
        StateName::AwaitingDa => Drawn::Decided("boss", grant),
        StateName::InReview => Drawn::Reviewed(ReviewDecision::Appoint {
            organization_id: organization_id(if grant { "root" } else { "other" }),
        }),
        StateName::AwaitingInformation => Drawn::Information,
        StateName::Provisioning
        | StateName::Active
        | StateName::Denied
        | StateName::Rejected
        | StateName::Withdrawn
        | StateName::Expired => Drawn::Withdrawn,
    }
}

/// Weighted so that roads are also walked to their ends.
pub(super) fn drawn() -> impl Strategy<Value = Drawn> {
    prop_oneof![
        20 => any::<bool>().prop_map(|grant| Drawn::Onward { grant }),
        1 => Just(Drawn::Submitted),
        1 => select(vec![("93988396", "FOC1436Y3XK"), ("", "FOC1436Y3XK"), ("93988396", "_")])
            .prop_map(|(contract, serial)| Drawn::Resubmitted(contract, serial)),
        4 => Just(Drawn::Confirmed),
        6 => select(vec![Some("root"), Some("site"), Some("site"), Some("elsewhere"), None]).prop_map(Drawn::Selected),
        1 => Just(Drawn::Resend),
        6 => select(vec![
            DrawnLink::Newest,
            DrawnLink::Newest,
            DrawnLink::Newest,
            DrawnLink::UsedBefore,
            DrawnLink::OfAnother,
            DrawnLink::Unknown
        ])
        .prop_map(Drawn::LinkUsed),
        5 => (select(vec!["boss", "second", "newbie", "rival", "stranger"]), any::<bool>())
            .prop_map(|(by, grant)| Drawn::Decided(by, grant)),
        6 => review_decision().prop_map(Drawn::Reviewed),
        3 => Just(Drawn::Information),
        10 => select(vec![0, 0, 0, 0, 1]).prop_map(|behind| Drawn::TimeIsUp { behind }),
        2 => Just(Drawn::Recheck),
        1 => Just(Drawn::Withdrawn),
        6 => select(vec![0, 0, 0, 1, 2]).prop_map(|behind| Drawn::Verify { behind }),
        6 => select(vec![0, 0, 0, 1, 2]).prop_map(|behind| Drawn::Route { behind }),
    ]
}

fn review_decision() -> impl Strategy<Value = ReviewDecision> {
    let organization = || select(vec!["root", "site", "other", "other", "elsewhere"]).prop_map(organization_id);
    prop_oneof![
        3 => organization().prop_map(|organization_id| ReviewDecision::Appoint { organization_id }),
        3 => organization().prop_map(|organization_id| ReviewDecision::Route { organization_id }),
        1 => Just(ReviewDecision::Reject),
        3 => Just(ReviewDecision::Ask { question: "Which site?".to_owned() }),
    ]
}

/// Seconds between two happenings: mostly short, sometimes of the length of the timers.
pub(super) fn wait() -> impl Strategy<Value = i64> {
    const HOUR: i64 = 3_600;
    prop_oneof![
        6 => 0..HOUR,
        2 => HOUR..30 * HOUR,
        1 => 30 * HOUR..40 * 24 * HOUR,
    ]
}

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
    let site = select(vec!["site", "site", "site", "other-site"]);
    (
        administrators,
        email,
        site,
        [
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
                [
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
                present.holds_access = holds_access;
                present.failed_attempts = if failing { 11 } else { 10 };
                present
            },
        )
}
