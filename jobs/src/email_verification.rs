//! Job `email_verification`: sends the mail with the link that proves an address (R51–R55, D7, D8).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    refusal::{Reason, Refusal},
    rules::Rules,
};

/// A day, as D8 counts it: the last 24 hours.
const DAY: Duration = Duration::from_hours(24);

/// Whether another verification mail may be asked for now (D8): `sent` holds when earlier ones were, oldest first.
///
/// # Errors
/// `not_allowed` with the moment from which on it is possible.
pub fn may_resend(sent: &[DateTime<Utc>], now: DateTime<Utc>, rules: &Rules) -> Result<(), Refusal> {
    if let Some(last) = sent.last() {
        let next = *last + rules.resend_cooldown;
        if now < next {
            return Err(too_early("cooldown", next));
        }
    }
    within_daily_limit(sent, now, rules)
}

/// Whether the day's verification mails are not used up: the first and `resends_per_day` more.
///
/// # Errors
/// `not_allowed` with the moment from which on it is possible.
pub fn within_daily_limit(sent: &[DateTime<Utc>], now: DateTime<Utc>, rules: &Rules) -> Result<(), Refusal> {
    let today: Vec<_> = sent.iter().filter(|at| now < **at + DAY).collect();
    let surplus = today.len().checked_sub(rules.resends_per_day + 1);
    match surplus {
        None => Ok(()),
        Some(surplus) => Err(too_early("daily_limit", *today[surplus] + DAY)),
    }
}

/// Of the times of earlier mails, those that still count, so that the list stays short.
pub fn still_counting(sent: &[DateTime<Utc>], now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    sent.iter().copied().filter(|at| now < *at + DAY).collect()
}

fn too_early(code: &str, next: DateTime<Utc>) -> Refusal {
    Refusal::new(Reason::NotAllowed, code).retry_at(next)
}
