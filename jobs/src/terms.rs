//! Job `terms`: reminds DAs who have not accepted the terms and conditions (R69, D15).

use std::time::Duration;

use crate::rules::Rules;

/// What is due of an appointment whose DA has not accepted the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this long after the appointment.
    Wait(Duration),
    /// A reminder; so many count as sent then.
    Reminder(u32),
    /// Ops are told, and that is the end of it.
    Notice,
    /// Nothing any more.
    Over,
}

/// What is due `elapsed` after the appointment, once `sent` reminders, and after them the notice, have been sent. Reminders that
/// were missed, while the daemon was down, are not made up for.
pub fn due(elapsed: Duration, sent: u32, rules: &Rules) -> Due {
    let reminders = &rules.terms_reminders;
    let count = u32::try_from(reminders.len()).unwrap_or(u32::MAX);
    if sent > count {
        return Due::Over;
    }
    if elapsed >= notice_after(rules) {
        return Due::Notice;
    }
    let passed = reminders.iter().filter(|after| **after <= elapsed).count();
    let passed = u32::try_from(passed).unwrap_or(u32::MAX);
    if passed > sent {
        return Due::Reminder(passed);
    }
    let next = usize::try_from(sent).ok().and_then(|sent| reminders.get(sent));
    Due::Wait(next.copied().unwrap_or_else(|| notice_after(rules)))
}

/// How many count as sent once the notice is.
pub fn all_sent(rules: &Rules) -> u32 {
    u32::try_from(rules.terms_reminders.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// When ops are told: as long after the last reminder as that came after the one before it.
fn notice_after(rules: &Rules) -> Duration {
    let mut latest = rules.terms_reminders.iter().rev().copied();
    let last = latest.next().unwrap_or_default();
    last + last.saturating_sub(latest.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn d15_reminders_come_after_3_7_and_14_days_and_then_ops_are_told() {
        let rules = Rules::default();
        assert_eq!(due(Duration::ZERO, 0, &rules), Due::Wait(3 * DAY));
        assert_eq!(due(3 * DAY, 0, &rules), Due::Reminder(1));
        assert_eq!(due(3 * DAY, 1, &rules), Due::Wait(7 * DAY));
        assert_eq!(due(7 * DAY, 1, &rules), Due::Reminder(2));
        assert_eq!(due(14 * DAY, 2, &rules), Due::Reminder(3));
        assert_eq!(due(14 * DAY, 3, &rules), Due::Wait(21 * DAY));
        assert_eq!(due(21 * DAY, 3, &rules), Due::Notice);
        assert_eq!(due(21 * DAY, all_sent(&rules), &rules), Due::Over);
    }

    #[test]
    fn d15_what_was_missed_is_not_made_up_for() {
        let rules = Rules::default();
        assert_eq!(due(8 * DAY, 0, &rules), Due::Reminder(2));
        assert_eq!(due(40 * DAY, 0, &rules), Due::Notice);
    }
}
