//! The workflow: what an event means for a registration in its present state. This is the only place where that is said.
//!
//! [`decide`] is pure: it does no I/O, reads no clock and no randomness. It goes through every pair of state and event; a
//! new state or a new event does not compile until it has been thought about here.

mod access;
mod applying;
mod email;
mod review;
mod routing;
mod timers;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{
    cloud_event::DaDecision,
    da_routing,
    effect::{Effect, Mail, MailKind, Recipient, effect_id},
    event::{Event, Facts, Present},
    refusal::{Reason, Refusal},
    registration::{Registration, ReviewReason, State, StateName},
    rules::Rules,
    values::AccountId,
    values::OrganizationId,
};

pub use applying::submit;

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
    /// Whether it rests on facts of other registrations of the same tree (D5, D16, D18): then it is committed only if
    /// none of them has changed since the facts were gathered.
    pub rests_on_tree: bool,
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
            Event::Withdrawn => applying::withdrawn(&case),
            Event::Route { .. } | Event::TimeIsUp { .. } | Event::Recheck => Decided::Ignored,
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
            Event::Withdrawn => applying::withdrawn(&case),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Verify { .. } | Event::Route { .. } | Event::Recheck => Decided::Ignored,
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
            Event::Withdrawn => applying::withdrawn(&case),
            Event::Verify { .. } | Event::TimeIsUp { .. } | Event::Recheck => Decided::Ignored,
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
            Event::Withdrawn => applying::withdrawn(&case),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Verify { .. } | Event::Route { .. } | Event::Recheck => Decided::Ignored,
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
            Event::Withdrawn => applying::withdrawn(&case),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Verify { .. } | Event::Route { .. } | Event::Recheck => Decided::Ignored,
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
            Event::Withdrawn => applying::withdrawn(&case),
            Event::TimeIsUp { step } => case.at_deadline(*step, timers::applicant_idle),
            Event::Verify { .. } | Event::Route { .. } | Event::Recheck => Decided::Ignored,
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
            Event::Withdrawn => applying::withdrawn(&case),
            Event::TimeIsUp { step } => case.at_deadline(*step, |case| {
                case.with_present_facts(|case, present| timers::da_silent(case, asked, present))
            }),
            Event::Recheck => case.with_present_facts(|case, present| timers::rechecked(case, asked, present)),
            Event::Verify { .. } | Event::Route { .. } => Decided::Ignored,
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
                Event::Withdrawn => applying::withdrawn(&case),
                Event::TimeIsUp { step } => case.at_deadline(*step, |case| timers::agent_silent(case, *reason, clock)),
                Event::Verify { .. } | Event::Route { .. } | Event::Recheck => Decided::Ignored,
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
                Event::Withdrawn => applying::withdrawn(&case),
                Event::TimeIsUp { step } => case.at_deadline(*step, timers::expired),
                Event::Verify { .. } | Event::Route { .. } | Event::Recheck => Decided::Ignored,
                Event::Submitted { .. }
                | Event::Resubmitted(_)
                | Event::Confirmed
                | Event::OrganizationSelected(_)
                | Event::ResendRequested
                | Event::EmailVerified { .. }
                | Event::DaDecided { .. } => case.not_allowed(),
            }
        }
        State::Provisioning { .. }
        | State::Active { .. }
        | State::Denied { .. }
        | State::Rejected { .. }
        | State::Withdrawn
        | State::Expired => match event {
            Event::Verify { .. } | Event::Route { .. } | Event::TimeIsUp { .. } | Event::Recheck => Decided::Ignored,
            Event::Submitted { .. }
            | Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. }
            | Event::Withdrawn => case.not_allowed(),
        },
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

/// The refusal of events that the contract has and this release does not carry out yet.
pub fn not_available(type_name: &str) -> Refusal {
    Refusal::new(Reason::NotAllowed, "not_available_yet").with("type", type_name)
}

/// One call of [`decide`]: its arguments, and what the parts of the workflow share.
#[derive(Clone, Copy)]
struct Case<'a> {
    registration: &'a Registration,
    event: &'a Event,
    facts: &'a Facts,
    now: DateTime<Utc>,
    rules: &'a Rules,
}

impl<'a> Case<'a> {
    /// Goes on only if the job was made for the present wait (D23), with the present facts.
    fn at_step(&self, step: u32, next: impl FnOnce(&Self, &'a Present) -> Decided) -> Decided {
        if step == self.registration.step {
            self.with_present_facts(next)
        } else {
            Decided::Ignored
        }
    }

    /// Goes on only if the timer was set for the present wait, and its time has come (D23).
    fn at_deadline(&self, step: u32, next: impl FnOnce(&Self) -> Decided) -> Decided {
        let is_up = self.registration.deadline.is_some_and(|deadline| deadline <= self.now);
        if step == self.registration.step && is_up {
            next(self)
        } else {
            Decided::Ignored
        }
    }

    fn with_present_facts(&self, next: impl FnOnce(&Self, &'a Present) -> Decided) -> Decided {
        match &self.facts.present {
            Some(present) => next(self, present),
            None => Decided::NeedsPresentFacts,
        }
    }

    fn not_allowed(&self) -> Decided {
        let state = self.registration.state.name();
        let refusal = match self.event {
            Event::EmailVerified { link } => email::refused_token(self.registration, *link),
            Event::Submitted { .. } => Refusal::new(Reason::NotAllowed, "already_submitted"),
            Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. }
            | Event::Withdrawn
            | Event::Verify { .. }
            | Event::Route { .. }
            | Event::TimeIsUp { .. }
            | Event::Recheck => Refusal::new(Reason::NotAllowed, "wrong_state"),
        };
        Decided::Refusal(
            refusal
                .with("state", state.as_str())
                .with("allowed", allowed_in(&self.registration.state)),
        )
    }

    /// Begins a change: the next version of the registration, as it is so far.
    fn change(&self) -> Change<'a> {
        let mut registration = self.registration.clone();
        registration.version += 1;
        Change {
            registration,
            effects: Vec::new(),
            detail: Map::new(),
            rests_on_tree: false,
            case: *self,
        }
    }

    /// Who did it, for the timeline.
    fn actor(&self) -> String {
        match self.event {
            Event::DaDecided { by, .. } => by.to_string(),
            Event::ReviewDecided { agent, .. } => agent.clone(),
            Event::Verify { .. } | Event::Route { .. } | Event::TimeIsUp { .. } | Event::Recheck => SELF.to_owned(),
            Event::Submitted { .. }
            | Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::InformationProvided { .. }
            | Event::Withdrawn => self.registration.account_id.to_string(),
        }
    }
}

/// A decision in the making.
struct Change<'a> {
    registration: Registration,
    effects: Vec<Effect>,
    detail: Map<String, Value>,
    rests_on_tree: bool,
    case: Case<'a>,
}

impl Change<'_> {
    /// Moves to `state`: another wait begins, if perhaps in the same state.
    fn to(mut self, state: State) -> Self {
        if self.registration.state.name() != state.name() {
            self.registration.since = self.case.now;
            self.registration.notices = 0;
        }
        self.registration.state = state;
        self.registration.step += 1;
        self
    }

    fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    fn mail(self, kind: MailKind, to: Recipient) -> Self {
        self.effect(Effect::Mail(Mail { kind, to, about: None }))
    }

    /// A mail that speaks of a DA.
    fn mail_about(self, da: &AccountId, kind: MailKind, to: Recipient) -> Self {
        let about = Some(da.clone());
        self.effect(Effect::Mail(Mail { kind, to, about }))
    }

    fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// See [`Decision::rests_on_tree`].
    fn resting_on_tree(mut self) -> Self {
        self.rests_on_tree = true;
        self
    }

    /// The id that the next effect will have.
    fn next_effect_id(&self) -> uuid::Uuid {
        effect_id(&self.registration.id, self.registration.version, self.effects.len())
    }

    /// Sets the next timer, if the state asks for another than the one that is set.
    fn with_timer(mut self) -> Self {
        let before = (self.case.registration.step, self.case.registration.deadline);
        let timer = timers::timer(&self.registration, self.case.rules);
        self.registration.deadline = timer.map(|(_, at)| at);
        if let Some((job, at)) = timer
            && before != (self.registration.step, Some(at))
        {
            self.effects.push(Effect::Wake { job, at });
        }
        self
    }

    fn decided(self) -> Decided {
        let this = self.with_timer();
        let to = this.registration.state.name();
        let entry = TimelineEntry::new(this.case.now, this.case.event, this.case.actor(), this.detail, to);
        Decided::Decision(Box::new(Decision {
            registration: this.registration,
            effects: this.effects,
            entry,
            rests_on_tree: this.rests_on_tree,
        }))
    }
}
