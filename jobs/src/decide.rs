//! The workflow: what an event means for a registration in its present state. This is the only place where that is said.
//!
//! [`decide`] is pure: it does no I/O, reads no clock and no randomness. It goes through every pair of state and event; a
//! new state or a new event does not compile until it has been thought about here.

mod access;
mod applying;
mod asides;
mod bounces;
mod change;
mod email;
mod provisioning;
mod review;
mod routing;
mod timers;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{
    cloud_event::DaDecision,
    da_routing,
    effect::Effect,
    event::{Event, Facts},
    refusal::{Reason, Refusal},
    registration::{Registration, ReviewReason, State, StateName},
    rules::Rules,
    values::{AccountId, OrganizationId, RegistrationId},
};

pub use applying::submit;

use self::change::{Case, Change};

/// What an event comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// It changes the registration.
    Decision(Box<Decision>),
    /// It is refused, and changes nothing.
    Refusal(Refusal),
    /// An answer to an earlier wait; the registration has moved on, so nothing happens (D23).
    Ignored,
    /// It cannot be told without [`Facts::present`]: gather them and ask again.
    NeedsPresentFacts,
    /// It cannot be told without [`Facts::chosen`] for this organization: gather them and ask again.
    NeedsOrganization(OrganizationId),
}

/// A change, as data: the store writes all of it in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The registration as it is now, `version` raised by one.
    pub registration: Registration,
    /// What is to be done; the index is part of the effect's id.
    pub effects: Vec<Effect>,
    /// What is recorded of it.
    pub entry: TimelineEntry,
    /// Whether it rests on who is DA or holds access in the tree (D5, D16): then it is committed only if nobody has changed that
    /// since the facts were gathered.
    pub rests_on_tree: bool,
    /// Other registrations of the account that it takes the place of (D18), each with its own decision: all are committed, or none.
    pub supersedes: Vec<Decision>,
    /// Other registrations of the account, with the version under which this decision holds (D18).
    pub rests_on: Vec<(RegistrationId, u64)>,
}

/// One line of a registration's history (contract, section 3).
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// The event's name.
    pub event: &'static str,
    /// Who: an account id, an agent, or `enrolld`.
    pub actor: String,
    /// More about it; always with `to`, the state that it led to.
    pub detail: Map<String, Value>,
}

impl TimelineEntry {
    fn new(at: DateTime<Utc>, event: &Event, actor: String, mut detail: Map<String, Value>, to: StateName) -> Self {
        detail.insert("to".to_owned(), to.as_str().into());
        Self {
            at,
            event: event.name(),
            actor,
            detail,
        }
    }
}

/// The name under which our own events stand on the timeline.
pub const SELF: &str = "enrolld";

/// The upstream events that `state` allows: the one list behind views, refusals and the docs' table. In review, DAs who were
/// asked and did not answer may still decide (D1): see [`allowed_in`].
pub const fn allowed(state: StateName) -> &'static [&'static str] {
    const WITHDRAWN: &str = "registration.withdrawn";
    const RESUBMITTED: &str = "registration.resubmitted";
    const SELECTED: &str = "registration.organization_selected";
    const REVIEWED: &str = "registration.review_decided";
    match state {
        StateName::Verifying | StateName::Routing => &[WITHDRAWN],
        StateName::InReview => &[REVIEWED, WITHDRAWN],
        StateName::AwaitingInformation => &["registration.information_provided", REVIEWED, WITHDRAWN],
        StateName::NeedsCorrection => &[RESUBMITTED, WITHDRAWN],
        StateName::AwaitingConfirmation => &["registration.confirmed", RESUBMITTED, WITHDRAWN],
        StateName::AwaitingOrganization => &[SELECTED, RESUBMITTED, WITHDRAWN],
        StateName::AwaitingEmail => &[
            "registration.email_verified",
            "registration.verification_resend_requested",
            SELECTED,
            RESUBMITTED,
            WITHDRAWN,
        ],
        StateName::AwaitingDa => &["registration.da_decided", WITHDRAWN],
        StateName::Provisioning
        | StateName::Active
        | StateName::Denied
        | StateName::Rejected
        | StateName::Withdrawn
        | StateName::Expired => &[],
    }
}

/// As [`allowed`], of a registration.
pub fn allowed_in(state: &State) -> Vec<&'static str> {
    let mut events = allowed(state.name()).to_vec();
    if let State::InReview {
        reason: ReviewReason::DaUnresponsive,
        ..
    } = state
    {
        events.push("registration.da_decided");
    }
    if let State::Provisioning { case: Some(_), .. } = state {
        // To reject: anything else is refused (D11).
        events.push("registration.review_decided");
    }
    events
}

/// Decides what `event` means for `registration`, with what is known as `facts` at the time `now`.
#[expect(
    clippy::too_many_lines,
    reason = "the table of states and events is read, and checked, as one"
)]
pub fn decide(registration: &Registration, event: &Event, facts: &Facts, now: DateTime<Utc>, rules: &Rules) -> Decided {
    // The contract's order of checks: who is not entitled learns nothing of the state.
    if let Event::DaDecided { by, .. } = event {
        let Some(present) = &facts.present else {
            return Decided::NeedsPresentFacts;
        };
        let administrators = present.site.as_ref().map_or(&[][..], |site| &site.administrators);
        if !da_routing::may_decide(by, administrators, &registration.account_id) {
            let refusal = Refusal::new(Reason::NotEntitled, "not_a_delegated_administrator");
            return Decided::Refusal(refusal.with("da_account_id", by.as_str()));
        }
    }
    let case = Case {
        registration,
        event,
        facts,
        now,
        rules,
    };
    match &registration.state {
        State::Verifying => match event {
            Event::Verify { step } => case.at_step(*step, applying::verified),
            Event::Withdrawn { reason, .. } => applying::withdrawn(&case, reason.as_ref()),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Route { .. }
            | Event::TimeIsUp { .. }
            | Event::Recheck
            | Event::Synced { .. }
            | Event::Undeliverable { .. }
            | Event::Superseded { .. } => Decided::Ignored,
            Event::Submitted { .. }
            | Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::NeedsCorrection { .. } => match event {
            Event::Resubmitted(numbers) => applying::resubmitted(&case, numbers),
            Event::Withdrawn { reason, .. } => applying::withdrawn(&case, reason.as_ref()),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Verify { .. }
            | Event::Route { .. }
            | Event::Recheck
            | Event::Synced { .. }
            | Event::Undeliverable { .. } => Decided::Ignored,
            Event::Superseded { by } => applying::superseded(&case, by),
            Event::Submitted { .. }
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::Routing => match event {
            Event::Route { step } => case.at_step(*step, routing::routed),
            Event::Withdrawn { reason, .. } => applying::withdrawn(&case, reason.as_ref()),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Verify { .. }
            | Event::TimeIsUp { .. }
            | Event::Recheck
            | Event::Synced { .. }
            | Event::Undeliverable { .. } => Decided::Ignored,
            Event::Superseded { by } => applying::superseded(&case, by),
            Event::Submitted { .. }
            | Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::AwaitingConfirmation => match event {
            Event::Confirmed => case.with_present_facts(routing::confirmed),
            Event::Resubmitted(numbers) => applying::resubmitted(&case, numbers),
            Event::Withdrawn { reason, .. } => applying::withdrawn(&case, reason.as_ref()),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Verify { .. }
            | Event::Route { .. }
            | Event::Recheck
            | Event::Synced { .. }
            | Event::Undeliverable { .. } => Decided::Ignored,
            Event::Superseded { by } => applying::superseded(&case, by),
            Event::Submitted { .. }
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::AwaitingOrganization => match event {
            Event::OrganizationSelected(choice) => routing::organization_selected(&case, choice.as_ref()),
            Event::Resubmitted(numbers) => applying::resubmitted(&case, numbers),
            Event::Withdrawn { reason, .. } => applying::withdrawn(&case, reason.as_ref()),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Verify { .. }
            | Event::Route { .. }
            | Event::Recheck
            | Event::Synced { .. }
            | Event::Undeliverable { .. } => Decided::Ignored,
            Event::Superseded { by } => applying::superseded(&case, by),
            Event::Submitted { .. }
            | Event::Confirmed
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::AwaitingEmail { link } => match event {
            Event::EmailVerified { link: used } => email::verified(&case, link, *used),
            Event::ResendRequested => email::resend_requested(&case, link),
            Event::OrganizationSelected(choice) => routing::organization_selected(&case, choice.as_ref()),
            Event::Resubmitted(numbers) => applying::resubmitted(&case, numbers),
            Event::Withdrawn { reason, .. } => applying::withdrawn(&case, reason.as_ref()),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Verify { .. } | Event::Route { .. } | Event::Recheck | Event::Synced { .. } => Decided::Ignored,
            Event::Superseded { by } => applying::superseded(&case, by),
            Event::Undeliverable { step } => bounces::not_sent(&case, *step),
            Event::Submitted { .. }
            | Event::Confirmed
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::AwaitingDa { asked } => match event {
            Event::DaDecided {
                by,
                decision,
                reason,
                via_link,
            } => access::da_decided(&case, &by_da(by, decision, reason.as_ref(), *via_link)),
            Event::Withdrawn { reason, .. } => applying::withdrawn(&case, reason.as_ref()),
            Event::TimeIsUp { step } => case.at_deadline(*step, |case| timers::da_silent(case, asked)),
            Event::Recheck => case.with_present_facts(|case, present| timers::rechecked(case, asked, present)),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Verify { .. }
            | Event::Route { .. }
            | Event::Synced { .. }
            | Event::Undeliverable { .. }
            | Event::Superseded { .. } => Decided::Ignored,
            Event::Submitted { .. }
            | Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::InReview { reason, clock } => {
            let open = review::Open {
                reason: *reason,
                clock: *clock,
            };
            match event {
                Event::ReviewDecided {
                    decision, reason: why, ..
                } => review::decided(&case, decision, why.as_ref(), &open),
                Event::DaDecided {
                    by,
                    decision,
                    reason: why,
                    via_link,
                } if *reason == ReviewReason::DaUnresponsive => {
                    access::da_decided(&case, &by_da(by, decision, why.as_ref(), *via_link))
                }
                Event::Withdrawn { reason: why, .. } => applying::withdrawn(&case, why.as_ref()),
                Event::TimeIsUp { step } => case.at_deadline(*step, |case| timers::agent_silent(case, *reason, clock)),
                Event::Aside(aside) => asides::noted(&case, aside),
                Event::Verify { .. }
                | Event::Route { .. }
                | Event::Recheck
                | Event::Synced { .. }
                | Event::Undeliverable { .. }
                | Event::Superseded { .. } => Decided::Ignored,
                Event::Submitted { .. }
                | Event::Resubmitted(_)
                | Event::Confirmed
                | Event::OrganizationSelected(_)
                | Event::ResendRequested
                | Event::EmailVerified { .. }
                | Event::DaDecided { .. }
                | Event::InformationProvided { .. } => case.not_allowed(),
            }
        }
        State::AwaitingInformation { reason, clock, .. } => {
            let open = review::Open {
                reason: *reason,
                clock: *clock,
            };
            match event {
                Event::ReviewDecided {
                    decision, reason: why, ..
                } => review::decided(&case, decision, why.as_ref(), &open),
                Event::InformationProvided { answer } => review::answered(&case, answer, &open),
                Event::Withdrawn { reason: why, .. } => applying::withdrawn(&case, why.as_ref()),
                Event::TimeIsUp { step } => case.at_deadline(*step, timers::expired),
                Event::Aside(aside) => asides::noted(&case, aside),
                Event::Verify { .. }
                | Event::Route { .. }
                | Event::Recheck
                | Event::Synced { .. }
                | Event::Undeliverable { .. }
                | Event::Superseded { .. } => Decided::Ignored,
                Event::Submitted { .. }
                | Event::Resubmitted(_)
                | Event::Confirmed
                | Event::OrganizationSelected(_)
                | Event::ResendRequested
                | Event::EmailVerified { .. }
                | Event::DaDecided { .. } => case.not_allowed(),
            }
        }
        State::Provisioning { case: open, .. } => match event {
            Event::Synced {
                grant_id,
                target,
                outcome,
            } => provisioning::synced(&case, *grant_id, target, outcome),
            Event::ReviewDecided { decision, reason, .. } if open.is_some() => {
                provisioning::review_decided(&case, decision, reason.as_ref())
            }
            Event::TimeIsUp { step } => case.at_deadline(*step, provisioning::late),
            Event::Aside(aside) => asides::noted(&case, aside),
            Event::Verify { .. }
            | Event::Route { .. }
            | Event::Recheck
            | Event::Undeliverable { .. }
            | Event::Superseded { .. } => Decided::Ignored,
            Event::Submitted { .. }
            | Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. }
            | Event::Withdrawn { .. } => case.not_allowed(),
        },
        State::Active { .. } | State::Denied { .. } | State::Rejected { .. } | State::Withdrawn | State::Expired => {
            match event {
                Event::Aside(aside) => asides::noted(&case, aside),
                Event::Verify { .. }
                | Event::Route { .. }
                | Event::TimeIsUp { .. }
                | Event::Recheck
                | Event::Synced { .. }
                | Event::Undeliverable { .. }
                | Event::Superseded { .. } => Decided::Ignored,
                Event::Submitted { .. }
                | Event::Resubmitted(_)
                | Event::Confirmed
                | Event::OrganizationSelected(_)
                | Event::ResendRequested
                | Event::EmailVerified { .. }
                | Event::DaDecided { .. }
                | Event::ReviewDecided { .. }
                | Event::InformationProvided { .. }
                | Event::Withdrawn { .. } => case.not_allowed(),
            }
        }
    }
}

fn by_da<'a>(
    by: &'a AccountId,
    decision: &'a DaDecision,
    reason: Option<&'a String>,
    via_link: bool,
) -> access::ByDa<'a> {
    access::ByDa {
        by,
        decision,
        reason,
        via_link,
    }
}
