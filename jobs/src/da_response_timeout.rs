//! Job `da_response_timeout`: reminds the DA who is asked, and moves on when they do not answer (D1).

use std::time::Duration;

use crate::rules::Rules;

/// What is due next of a DA who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A reminder, this long after the asking.
    Reminder(Duration),
    /// The time-out, this long after the asking.
    Timeout(Duration),
}

impl Due {
    /// How long after the asking.
    pub const fn after(self) -> Duration {
        match self {
            Self::Reminder(after) | Self::Timeout(after) => after,
        }
    }
}

/// What is due `elapsed` after the asking, which may be later than was meant: no reminder once the time is up (D1).
pub fn due(elapsed: Duration, sent: u32, rules: &Rules) -> Due {
    if elapsed < rules.da_timeout {
        next(sent, rules)
    } else {
        Due::Timeout(rules.da_timeout)
    }
}

/// What is due after `sent` reminders. A reminder that is not before the time-out does not fire (D1).
pub fn next(sent: u32, rules: &Rules) -> Due {
    let sent = usize::try_from(sent).unwrap_or(usize::MAX);
    let reminder = rules
        .da_reminders
        .get(sent)
        .copied()
        .filter(|after| *after < rules.da_timeout);
    reminder.map_or(Due::Timeout(rules.da_timeout), Due::Reminder)
}

/// How many reminders count as sent once one is sent `elapsed` after the asking: those that were missed meanwhile, while the
/// daemon was down, are not made up for.
pub fn sent_by(elapsed: Duration, sent: u32, rules: &Rules) -> u32 {
    let due = rules.da_reminders.iter().filter(|after| **after <= elapsed).count();
    u32::try_from(due).unwrap_or(u32::MAX).max(sent + 1)
}
