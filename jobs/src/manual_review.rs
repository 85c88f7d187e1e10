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

/// The first of a case's notices is the applicant's status mail (R64); all others are escalations.
pub const UPDATE: u32 = 1;

/// When the next notice is due: at 90 % of the agent's time the status mail, at 100 % the escalation, and that again every 24
/// hours (D10).
pub fn next(clock: &ReviewClock, rules: &Rules) -> DateTime<Utc> {
    match clock.notices.checked_sub(UPDATE) {
        None => clock.started + rules.review_sla.mul_f64(0.9),
        Some(escalations) => clock.started + rules.review_sla + AGAIN * escalations,
    }
}

/// How many notices are due by `now`, once the first is. Escalations that were missed, while the daemon was down, are not made
/// up for: they count as sent with the newest.
pub fn due_by(clock: &ReviewClock, now: DateTime<Utc>, rules: &Rules) -> u32 {
    let overdue = (now - (clock.started + rules.review_sla)).to_std();
    overdue.map_or(UPDATE, |overdue| {
        let again = overdue.as_secs() / AGAIN.as_secs();
        u32::try_from(again).unwrap_or(u32::MAX).saturating_add(UPDATE + 1)
    })
}

/// The agent's clock when the applicant has answered: what had passed before the question counts, the answer's time does not.
pub fn resumed(clock: &ReviewClock, asked_at: DateTime<Utc>, now: DateTime<Utc>) -> ReviewClock {
    ReviewClock {
        started: clock.started + (now - asked_at),
        notices: clock.notices,
    }
}
