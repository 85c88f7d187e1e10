//! How long each step of a registration took, read from its timeline, and how long it may take.
//!
//! A step is the stay in a state. Three are more than that: while DAs are asked one after the other, each is a step of its own (D1); a
//! case of the agents is one step, however often they asked the applicant something meanwhile, and the time of those questions does not
//! count (D10); and from the first line to the final state it is the `whole`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{registration::StateName, rules::Rules, view::TimelineLine};

/// A kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The stay in a state.
    State(StateName),
    /// From the request to this final state.
    Whole(StateName),
}

/// A step that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub step: Step,
    /// When it was left.
    pub at: DateTime<Utc>,
    /// How long it took; of a case of the agents the time that was theirs.
    pub took: TimeDelta,
    /// Whom it waited for: the DA who was asked, or the agent who ended the case.
    pub by: Option<String>,
    /// Whether they ended it: with a decision, and not by silence, or because the applicant withdrew.
    pub answered: bool,
}

impl Step {
    /// The name of the state, or `whole`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State(state) => state.as_str(),
            Self::Whole(_) => "whole",
        }
    }

    /// How long it may take by the rules; `None` where they say nothing. The timeline does not record deadlines: it is the rules as
    /// they are now that are asked.
    pub const fn deadline(self, rules: &Rules) -> Option<Duration> {
        let Self::State(state) = self else { return None };
        match state {
            StateName::NeedsCorrection
            | StateName::AwaitingConfirmation
            | StateName::AwaitingOrganization
            | StateName::AwaitingEmail => Some(rules.applicant_expiry),
            StateName::AwaitingDa => Some(rules.da_timeout),
            StateName::InReview => Some(rules.review_sla),
            StateName::AwaitingInformation => Some(rules.answer_within),
            StateName::Provisioning => Some(rules.provisioning_within),
            StateName::Verifying
            | StateName::Routing
            | StateName::Active
            | StateName::Denied
            | StateName::Rejected
            | StateName::Withdrawn
            | StateName::Expired => None,
        }
    }
}

/// The steps that are over, in the order in which they were left; `history` is in its order. A line that leads to no state that is
/// known counts as one that leaves the state as it is.
pub fn steps(history: &[TimelineLine]) -> Vec<Left> {
    let mut walk: Option<Walk> = None;
    for line in history {
        let Some(to) = led_to(line) else { continue };
        match &mut walk {
            None => walk = Some(Walk::begun(line, to)),
            Some(walk) => walk.goes(line, to),
        }
    }
    walk.map(|walk| walk.left).unwrap_or_default()
}

/// The state that the line led to.
fn led_to(line: &TimelineLine) -> Option<StateName> {
    let name = line.detail.get("to")?.as_str()?;
    StateName::ALL.into_iter().find(|state| state.as_str() == name)
}

/// The DA whom the line has asked.
fn asked(line: &TimelineLine, to: StateName) -> Option<String> {
    let da = line.detail.get("da_account_id")?.as_str()?;
    (to == StateName::AwaitingDa).then(|| da.to_owned())
}

/// A registration on its way.
struct Walk {
    created: DateTime<Utc>,
    state: StateName,
    since: DateTime<Utc>,
    /// The DA who is asked.
    da: Option<String>,
    /// What the agents have spent on their case before they asked the applicant something.
    spent: TimeDelta,
    left: Vec<Left>,
}

impl Walk {
    fn begun(line: &TimelineLine, to: StateName) -> Self {
        Self {
            created: line.at,
            state: to,
            since: line.at,
            da: asked(line, to),
            spent: TimeDelta::zero(),
            left: Vec::new(),
        }
    }

    fn goes(&mut self, line: &TimelineLine, to: StateName) {
        let da = asked(line, to);
        let is_another_question = to == StateName::AwaitingInformation && line.event == "registration.review_decided";
        if to == self.state && da.is_none() && !is_another_question {
            return;
        }
        self.leaves(line, to);
        (self.state, self.since, self.da) = (to, line.at, da);
        if to.is_final() {
            let took = line.at - self.created;
            self.end(Step::Whole(to), line.at, took, None, false);
        }
    }

    fn leaves(&mut self, line: &TimelineLine, to: StateName) {
        let (at, stayed) = (line.at, line.at - self.since);
        let is_review = |state| matches!(state, StateName::InReview | StateName::AwaitingInformation);
        match self.state {
            StateName::InReview => self.spent += stayed,
            StateName::AwaitingDa => {
                let da = self.da.take();
                let answered = line.event == "registration.da_decided" && da.as_deref() == Some(&line.actor);
                self.end(Step::State(self.state), at, stayed, da, answered);
            }
            state => self.end(Step::State(state), at, stayed, None, false),
        }
        if is_review(self.state) && !is_review(to) {
            let took = std::mem::take(&mut self.spent);
            let agent = (line.event == "registration.review_decided").then(|| line.actor.clone());
            let answered = agent.is_some();
            self.end(Step::State(StateName::InReview), at, took, agent, answered);
        }
    }

    fn end(&mut self, step: Step, at: DateTime<Utc>, took: TimeDelta, by: Option<String>, answered: bool) {
        self.left.push(Left {
            step,
            at,
            took,
            by,
            answered,
        });
    }
}
