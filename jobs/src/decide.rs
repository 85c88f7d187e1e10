//! The workflow: what an event means for a registration in its present state. This is the only place where that is said.
//!
//! [`decide`] is pure: it does no I/O, reads no clock and no randomness. It goes through every pair of state and event; a
//! new state or a new event does not compile until it has been thought about here.

mod access;
mod applying;
mod email;
mod routing;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{
    da_routing,
    effect::{Effect, Mail, MailKind, Recipient, effect_id},
    event::{Event, Facts, Present},
    refusal::{Reason, Refusal},
    registration::{Registration, State, StateName},
    rules::Rules,
    values::AccountId,
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

/// The upstream events that `state` allows: the one list behind views, refusals and the docs' table.
///
/// `review_decided` and `information_provided` are of the contract and not yet carried out, so they are not listed.
pub const fn allowed(state: StateName) -> &'static [&'static str] {
    const WITHDRAWN: &str = "registration.withdrawn";
    const RESUBMITTED: &str = "registration.resubmitted";
    const SELECTED: &str = "registration.organization_selected";
    match state {
        StateName::Verifying | StateName::Routing | StateName::InReview | StateName::AwaitingInformation => {
            &[WITHDRAWN]
        }
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
            Event::Route { .. } => Decided::Ignored,
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
            Event::Verify { .. } | Event::Route { .. } => Decided::Ignored,
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
            Event::Verify { .. } => Decided::Ignored,
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
            Event::Verify { .. } | Event::Route { .. } => Decided::Ignored,
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
            Event::Verify { .. } | Event::Route { .. } => Decided::Ignored,
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
            Event::Verify { .. } | Event::Route { .. } => Decided::Ignored,
            Event::Submitted { .. }
            | Event::Confirmed
            | Event::DaDecided { .. }
            | Event::ReviewDecided { .. }
            | Event::InformationProvided { .. } => case.not_allowed(),
        },
        State::AwaitingDa { .. } => match event {
            Event::DaDecided { by, decision, reason } => access::da_decided(&case, by, decision, reason.as_ref()),
            Event::Withdrawn => applying::withdrawn(&case),
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
        State::InReview { .. } | State::AwaitingInformation { .. } => match event {
            Event::Withdrawn => applying::withdrawn(&case),
            Event::Verify { .. } | Event::Route { .. } => Decided::Ignored,
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
        State::Provisioning { .. }
        | State::Active { .. }
        | State::Denied { .. }
        | State::Rejected { .. }
        | State::Withdrawn
        | State::Expired => match event {
            Event::Verify { .. } | Event::Route { .. } => Decided::Ignored,
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
    fn at_step(&self, step: u32, next: fn(&Self, &'a Present) -> Decided) -> Decided {
        if step == self.registration.step {
            self.with_present_facts(next)
        } else {
            Decided::Ignored
        }
    }

    fn with_present_facts(&self, next: fn(&Self, &'a Present) -> Decided) -> Decided {
        match &self.facts.present {
            Some(present) => next(self, present),
            None => Decided::NeedsPresentFacts,
        }
    }

    fn not_allowed(&self) -> Decided {
        let state = self.registration.state.name();
        let refusal = match self.event {
            Event::ReviewDecided { .. } | Event::InformationProvided { .. } => not_available(self.event.name()),
            Event::EmailVerified { link } => email::refused_token(self.registration, *link),
            Event::Submitted { .. } => Refusal::new(Reason::NotAllowed, "already_submitted"),
            Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::DaDecided { .. }
            | Event::Withdrawn
            | Event::Verify { .. }
            | Event::Route { .. } => Refusal::new(Reason::NotAllowed, "wrong_state"),
        };
        Decided::Refusal(
            refusal
                .with("state", state.as_str())
                .with("allowed", allowed(state).to_vec()),
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
            Event::Verify { .. } | Event::Route { .. } => SELF.to_owned(),
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

    fn decided(self) -> Decided {
        let to = self.registration.state.name();
        let entry = TimelineEntry::new(self.case.now, self.case.event, self.case.actor(), self.detail, to);
        Decided::Decision(Box::new(Decision {
            registration: self.registration,
            effects: self.effects,
            entry,
            rests_on_tree: self.rests_on_tree,
        }))
    }
}
