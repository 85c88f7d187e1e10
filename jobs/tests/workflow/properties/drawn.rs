//! The events that are drawn at random.

use enrolld_jobs::{
    cloud_event::{BounceKind, DaDecision, ReviewDecision},
    effect::{MailKind, Recipient},
    event::{Aside, Bounce, Event, Synced},
    job::JobKind,
    registration::{Registration, State, StateName},
    values::{RegistrationId, Role},
};
use proptest::{prelude::*, sample::select};
use uuid::Uuid;

use crate::road::{account_id, numbers, organization_id, reviewed};

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
    /// A target's answer about what is pending, by its number; or about something else.
    Synced {
        which: usize,
        refused: bool,
        is_meant: bool,
    },
    JobDied(u128),
    JobRevived(u128),
    Bounced {
        kind: MailKind,
        severity: BounceKind,
        behind: u32,
        knows_address: bool,
    },
    Undeliverable {
        behind: u32,
    },
    Superseded,
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
            Self::Withdrawn => Event::GIVEN_UP,
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
            Self::Synced {
                which,
                refused,
                is_meant,
            } => synced(registration, *which, *refused, *is_meant),
            Self::JobDied(job) => Event::Aside(Aside::JobDied {
                job: Uuid::from_u128(*job),
                kind: JobKind::Notification,
                class: "smtp_refused".to_owned(),
            }),
            Self::JobRevived(job) => Event::Aside(Aside::JobRevived {
                job: Uuid::from_u128(*job),
            }),
            Self::Bounced {
                kind,
                severity,
                behind,
                knows_address,
            } => bounced(registration, *kind, *severity, *behind, *knows_address),
            Self::Undeliverable { behind } => Event::Undeliverable {
                step: registration.step.saturating_sub(*behind),
            },
            Self::Superseded => Event::Superseded {
                by: RegistrationId::new("newer").expect("an id"),
            },
        }
    }
}

fn synced(registration: &Registration, which: usize, refused: bool, is_meant: bool) -> Event {
    let meant = match &registration.state {
        State::Provisioning { pending, .. } if is_meant => pending.get(which % pending.len()),
        _ => None,
    };
    Event::Synced {
        grant_id: meant.map_or(Uuid::from_u128(3), |sync| sync.grant_id),
        target: meant.map_or_else(|| "portal".to_owned(), |sync| sync.target.clone()),
        outcome: if refused {
            Synced::Refused { status: 422 }
        } else {
            Synced::Confirmed
        },
    }
}

/// A mail to the applicant, or to the DA who is asked, came back.
fn bounced(
    registration: &Registration,
    kind: MailKind,
    severity: BounceKind,
    behind: u32,
    knows_address: bool,
) -> Event {
    let da = registration
        .delegated_administrator()
        .filter(|_| kind == MailKind::AccessRequest);
    let address = match da {
        Some(da) => da.email.clone(),
        None => registration.account.as_ref().and_then(|account| account.email.clone()),
    };
    Event::Aside(Aside::MailBounced(Bounce {
        mail: Uuid::from_u128(9),
        kind,
        to: da.map_or(Recipient::Applicant, |da| Recipient::Account(da.account_id.clone())),
        step: registration.step.saturating_sub(behind),
        address: address.filter(|_| knows_address),
        severity,
        detail: None,
    }))
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
        StateName::Provisioning if !grant && registration.review_reason().is_some() => {
            Drawn::Reviewed(ReviewDecision::Reject)
        }
        StateName::Provisioning => Drawn::Synced {
            which: 0,
            refused: false,
            is_meant: true,
        },
        StateName::Active | StateName::Denied | StateName::Rejected | StateName::Withdrawn | StateName::Expired => {
            Drawn::Withdrawn
        }
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
        6 => (0..4usize, prop::bool::weighted(0.3), prop::bool::weighted(0.9))
            .prop_map(|(which, refused, is_meant)| Drawn::Synced { which, refused, is_meant }),
        1 => (1..3u128).prop_map(Drawn::JobDied),
        1 => (1..3u128).prop_map(Drawn::JobRevived),
        2 => bounce(),
        1 => select(vec![0, 0, 1]).prop_map(|behind| Drawn::Undeliverable { behind }),
    ]
}

fn bounce() -> impl Strategy<Value = Drawn> {
    (
        select(vec![
            MailKind::Verification,
            MailKind::AccessRequest,
            MailKind::IdleReminder,
        ]),
        select(vec![BounceKind::Hard, BounceKind::Soft, BounceKind::Complaint]),
        select(vec![0, 0, 1]),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(kind, severity, behind, knows_address)| Drawn::Bounced {
            kind,
            severity,
            behind,
            knows_address,
        })
}

/// As [`drawn`], and once in a while a newer registration from elsewhere.
pub(super) fn drawn_or_superseded() -> impl Strategy<Value = Drawn> {
    prop_oneof![
        100 => drawn(),
        1 => Just(Drawn::Superseded),
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
