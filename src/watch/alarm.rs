//! What of that which is seen ops are told of.

use std::time::Duration;

use chrono::{DateTime, Utc};
use enrolld_jobs::effect::{Alert, AlertCode};

use super::{Seen, age};
use crate::store::counts::{MOST_COUNTED, Waiting};

/// The span in which refusals are counted, and compared with the one before.
pub(super) const REFUSED_WITHIN: Duration = Duration::from_mins(15);

/// The group of an alert of which there is one kind.
const ALL: &str = "all";

/// From where on something is worth an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmLimits {
    /// `ops.queue_age`.
    pub queue_age: Duration,
    /// `ops.refusals`.
    pub refusals: u64,
    /// `provisioning.within`.
    pub provisioning_within: Duration,
}

/// The alerts for what is seen `now`.
pub(super) fn alarms(seen: &Seen, limits: &AlarmLimits, now: DateTime<Utc>) -> Vec<Alert> {
    let old = seen
        .queues
        .iter()
        .filter(|(_, waiting)| age(waiting, now) > limits.queue_age);
    let mut alerts: Vec<_> = old
        .map(|(kind, waiting)| {
            let pause = if seen.paused.contains(kind) {
                " The queue is paused."
            } else {
                ""
            };
            let (kind, span) = (kind.as_str(), shown(age(waiting, now)));
            let message = format!(
                "The oldest job {kind} has been queued for {span} (ops.queue_age is {}); in all {} are queued.{pause}",
                shown(limits.queue_age),
                number(waiting.number)
            );
            alert(AlertCode::QueueOld, kind, message)
        })
        .collect();
    if seen.provisioning != Waiting::default() {
        let message = format!(
            "Registrations that have been waiting for access for longer than provisioning.within ({}): {}.",
            shown(limits.provisioning_within),
            number(seen.provisioning.number)
        );
        alerts.push(alert(AlertCode::ProvisioningOverdue, ALL, message));
    }
    let (lately, before) = (seen.refused_lately, seen.refused_before);
    if lately > limits.refusals && lately > 2 * before {
        let message = format!(
            "{} events were refused within 15 minutes, after {} in the 15 minutes before.",
            number(lately),
            number(before)
        );
        alerts.push(alert(AlertCode::RefusalsRising, ALL, message));
    }
    alerts
}

fn alert(code: AlertCode, group: &str, message: String) -> Alert {
    Alert {
        code,
        group: group.to_owned(),
        message,
        job: None,
        account_id: None,
        organization_id: None,
    }
}

fn number(number: u64) -> String {
    if number < MOST_COUNTED {
        number.to_string()
    } else {
        format!("{number} or more")
    }
}

/// In whole seconds; less than one as it is.
fn shown(span: Duration) -> String {
    let whole = if span < Duration::from_secs(1) {
        span
    } else {
        Duration::from_secs(span.as_secs())
    };
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use enrolld_jobs::job::JobKind;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_000_000_000).expect("within range")
    }

    fn limits() -> AlarmLimits {
        AlarmLimits {
            queue_age: Duration::from_mins(10),
            refusals: 50,
            provisioning_within: Duration::from_hours(24),
        }
    }

    fn waiting(number: u64, seconds: i64) -> Waiting {
        Waiting {
            number,
            oldest: Some(now() - TimeDelta::seconds(seconds)),
        }
    }

    fn told(seen: &Seen) -> Vec<(AlertCode, String, String)> {
        let alerts = alarms(seen, &limits(), now());
        let told = alerts.into_iter();
        told.map(|alert| (alert.code, alert.group, alert.message)).collect()
    }

    #[test]
    fn nothing_is_told_as_long_as_all_is_within_its_limits() {
        let seen = Seen {
            queues: vec![
                (JobKind::Terms, waiting(3, 600)),
                (JobKind::Notification, Waiting::default()),
            ],
            refused_lately: 50,
            ..Seen::default()
        };
        assert_eq!(told(&seen), []);
    }

    #[test]
    fn each_queue_that_is_too_old_is_told() {
        let seen = Seen {
            queues: vec![
                (JobKind::Terms, waiting(3, 601)),
                (JobKind::Verification, waiting(3, 1)),
                (JobKind::Notification, waiting(MOST_COUNTED, 3600)),
            ],
            paused: vec![JobKind::Notification],
            ..Seen::default()
        };
        let [(code, group, message), (_, other, many)] = told(&seen).try_into().expect("two");
        assert_eq!((code, group.as_str()), (AlertCode::QueueOld, "terms"));
        assert_eq!(
            message,
            "The oldest job terms has been queued for 10m 1s (ops.queue_age is 10m); in all 3 are queued."
        );
        assert_eq!(other, "notification");
        assert!(
            many.contains("queued for 1h (") && many.contains("10000 or more"),
            "{many}"
        );
    }

    #[test]
    fn overdue_provisioning_is_told() {
        let seen = Seen {
            provisioning: waiting(2, 90_000),
            ..Seen::default()
        };
        let [(code, _, message)] = told(&seen).try_into().expect("one");
        assert_eq!(code, AlertCode::ProvisioningOverdue);
        assert!(message.ends_with("(1day): 2."), "{message}");
    }

    #[test]
    fn refusals_are_told_when_they_are_many_and_rise() {
        for (lately, before, is_told) in [
            (51, 0, true),
            (51, 25, true),
            (51, 26, false),
            (50, 0, false),
            (500, 500, false),
        ] {
            let seen = Seen {
                refused_lately: lately,
                refused_before: before,
                ..Seen::default()
            };
            let codes: Vec<_> = told(&seen).into_iter().map(|(code, ..)| code).collect();
            let wanted = if is_told {
                vec![AlertCode::RefusalsRising]
            } else {
                vec![]
            };
            assert_eq!(codes, wanted, "{lately} after {before}");
        }
    }
}
