//! Job `manual_review`: when an agent must look at a request (R62, D9), and the clock of their case (R64, R65, D10).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    directory::{Account, SiteFacts},
    event::Present,
    registration::ReviewClock,
    rules::Rules,
    values::OrganizationId,
};

/// How often an overdue case is escalated again.
const AGAIN: Duration = Duration::from_hours(24);

/// Whether a signal asks for additional assessment of an appointment to `organization` (D9): the account or the contract is
/// flagged, the address is of a domain that the organization, which has known domains, does not know, or the account has
/// failed verification too often.
pub fn is_asked_for(present: &Present, site: &SiteFacts, organization: &OrganizationId, rules: &Rules) -> bool {
    let account = present.applicant.account.as_ref();
    let flagged = account.is_some_and(|a| a.flagged) || present.applicant.contract.as_ref().is_some_and(|c| c.flagged);
    let known = site
        .chain
        .iter()
        .find(|o| o.id == *organization)
        .map_or(&[][..], |o| &o.email_domains);
    let domain = account.and_then(Account::deliverable_email).map(|email| email.domain());
    let unknown_domain = !known.is_empty()
        && !domain.is_some_and(|domain| known.iter().any(|known| known.eq_ignore_ascii_case(&domain)));
    flagged || unknown_domain || present.failed_attempts > rules.max_failed_attempts
}

/// What is due next of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The applicant's status mail (R64).
    Update(DateTime<Utc>),
    /// The escalation to the supervisor.
    Escalation(DateTime<Utc>),
}

impl Due {
    /// When.
    pub const fn at(self) -> DateTime<Utc> {
        match self {
            Self::Update(at) | Self::Escalation(at) => at,
        }
    }
}

/// What is due next: at 90 % of the agent's time the status mail, at 100 % the escalation, and that again every 24 hours (D10).
pub fn next(clock: &ReviewClock, rules: &Rules) -> Due {
    match clock.notices {
        0 => Due::Update(clock.started + rules.review_sla.mul_f64(0.9)),
        sent => Due::Escalation(clock.started + rules.review_sla + AGAIN * (sent - 1)),
    }
}

/// The agent's clock when the applicant has answered: what had passed before the question counts, the answer's time does not.
pub fn resumed(clock: &ReviewClock, asked_at: DateTime<Utc>, now: DateTime<Utc>) -> ReviewClock {
    ReviewClock {
        started: clock.started + (now - asked_at),
        notices: clock.notices,
    }
}
