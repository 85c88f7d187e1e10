//! What the parts of the workflow share: the case that is decided on, and the decision in the making.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{Decided, Decision, SELF, TimelineEntry, allowed_in, email, timers};
use crate::{
    effect::{Effect, Mail, MailKind, Recipient, effect_id},
    event::{Event, Facts, Present},
    refusal::{Reason, Refusal},
    registration::{Registration, State},
    rules::Rules,
    values::{AccountId, RegistrationId},
};

/// One call of [`decide`](super::decide): its arguments, and what the parts of the workflow share.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) registration: &'a Registration,
    pub(super) event: &'a Event,
    pub(super) facts: &'a Facts,
    pub(super) now: DateTime<Utc>,
    pub(super) rules: &'a Rules,
}

impl<'a> Case<'a> {
    /// Goes on only if the job was made for the present wait (D23), with the present facts.
    pub(super) fn at_step(&self, step: u32, next: impl FnOnce(&Self, &'a Present) -> Decided) -> Decided {
        if step == self.registration.step {
            self.with_present_facts(next)
        } else {
            Decided::Ignored
        }
    }

    /// Goes on only if the timer was set for the present wait, and its time has come (D23).
    pub(super) fn at_deadline(&self, step: u32, next: impl FnOnce(&Self) -> Decided) -> Decided {
        let is_up = self.registration.deadline.is_some_and(|deadline| deadline <= self.now);
        if step == self.registration.step && is_up {
            next(self)
        } else {
            Decided::Ignored
        }
    }

    pub(super) fn with_present_facts(&self, next: impl FnOnce(&Self, &'a Present) -> Decided) -> Decided {
        match &self.facts.present {
            Some(present) => next(self, present),
            None => Decided::NeedsPresentFacts,
        }
    }

    pub(super) fn not_allowed(&self) -> Decided {
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
            | Event::Withdrawn { .. }
            | Event::Verify { .. }
            | Event::Route { .. }
            | Event::TimeIsUp { .. }
            | Event::Recheck
            | Event::Synced { .. }
            | Event::Undeliverable { .. }
            | Event::Superseded { .. }
            | Event::Aside(_) => Refusal::new(Reason::NotAllowed, "wrong_state"),
        };
        Decided::Refusal(
            refusal
                .with("state", state.as_str())
                .with("allowed", allowed_in(&self.registration.state)),
        )
    }

    /// Begins a change: the next version of the registration, as it is so far.
    pub(super) fn change(&self) -> Change<'a> {
        let mut registration = self.registration.clone();
        registration.version += 1;
        Change {
            registration,
            effects: Vec::new(),
            detail: Map::new(),
            rests_on_tree: false,
            supersedes: Vec::new(),
            rests_on: Vec::new(),
            case: *self,
        }
    }

    /// Who did it, for the timeline.
    pub(super) fn actor(&self) -> String {
        match self.event {
            Event::DaDecided { by, .. } => by.to_string(),
            Event::ReviewDecided { agent, .. } => agent.clone(),
            Event::Withdrawn { by: Some(by), .. } => by.clone(),
            Event::Verify { .. }
            | Event::Route { .. }
            | Event::TimeIsUp { .. }
            | Event::Recheck
            | Event::Synced { .. }
            | Event::Undeliverable { .. }
            | Event::Superseded { .. }
            | Event::Aside(_) => SELF.to_owned(),
            Event::Submitted { .. }
            | Event::Resubmitted(_)
            | Event::Confirmed
            | Event::OrganizationSelected(_)
            | Event::ResendRequested
            | Event::EmailVerified { .. }
            | Event::InformationProvided { .. }
            | Event::Withdrawn { by: None, .. } => self.registration.account_id.to_string(),
        }
    }
}

/// A decision in the making.
pub(super) struct Change<'a> {
    pub(super) registration: Registration,
    pub(super) effects: Vec<Effect>,
    pub(super) detail: Map<String, Value>,
    pub(super) rests_on_tree: bool,
    pub(super) supersedes: Vec<Decision>,
    pub(super) rests_on: Vec<(RegistrationId, u64)>,
    pub(super) case: Case<'a>,
}

impl Change<'_> {
    /// Moves to `state`: another wait begins, if perhaps in the same state.
    pub(super) fn to(mut self, state: State) -> Self {
        if self.registration.state.name() != state.name() {
            self.registration.since = self.case.now;
            self.registration.notices = 0;
        }
        self.registration.state = state;
        self.registration.step += 1;
        self
    }

    pub(super) fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    pub(super) fn mail(self, kind: MailKind, to: Recipient) -> Self {
        self.effect(Effect::Mail(Mail::new(kind, to)))
    }

    /// A mail that speaks of a DA.
    pub(super) fn mail_about(self, da: &AccountId, kind: MailKind, to: Recipient) -> Self {
        let about = Some(da.clone());
        self.effect(Effect::Mail(Mail {
            about,
            ..Mail::new(kind, to)
        }))
    }

    pub(super) fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// Why somebody decided so, where they say (contract, section 1).
    pub(super) fn because(self, reason: Option<&String>) -> Self {
        match reason.filter(|reason| !reason.is_empty()) {
            Some(reason) => self.detail("reason", reason.as_str()),
            None => self,
        }
    }

    /// See [`Decision::rests_on_tree`].
    pub(super) fn resting_on_tree(mut self) -> Self {
        self.rests_on_tree = true;
        self
    }

    /// The id that the next effect will have.
    pub(super) fn next_effect_id(&self) -> uuid::Uuid {
        effect_id(&self.registration.id, self.registration.version, self.effects.len())
    }

    /// The ids of the grants among the effects so far.
    pub(super) fn grant_ids(&self) -> Vec<uuid::Uuid> {
        let grants = self.effects.iter().enumerate();
        grants
            .filter(|(_, effect)| matches!(effect, Effect::Grant { .. }))
            .map(|(index, _)| effect_id(&self.registration.id, self.registration.version, index))
            .collect()
    }

    /// Sets the next timer, if the state asks for another than the one that is set.
    pub(super) fn with_timer(mut self) -> Self {
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

    pub(super) fn decided(self) -> Decided {
        let this = self.with_timer();
        let to = this.registration.state.name();
        let entry = TimelineEntry::new(this.case.now, this.case.event, this.case.actor(), this.detail, to);
        Decided::Decision(Box::new(Decision {
            registration: this.registration,
            effects: this.effects,
            entry,
            rests_on_tree: this.rests_on_tree,
            supersedes: this.supersedes,
            rests_on: this.rests_on,
        }))
    }
}
