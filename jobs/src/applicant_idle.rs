//! Job `applicant_idle`: an applicant who does nothing is reminded once, and then the registration expires (D12).

use std::time::Duration;

use crate::rules::Rules;

/// What is due next of an applicant who is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The reminder, this long after the wait began.
    Reminder(Duration),
    /// The end, this long after the wait began.
    Expiry(Duration),
}

impl Due {
    /// How long after the wait began.
    pub const fn after(self) -> Duration {
        match self {
            Self::Reminder(after) | Self::Expiry(after) => after,
        }
    }
}

/// What is due `elapsed` after the wait began, which may be later than was meant: no reminder once the time is up.
pub fn due(elapsed: Duration, sent: u32, rules: &Rules) -> Due {
    if elapsed < rules.applicant_expiry {
        next(sent, rules)
    } else {
        Due::Expiry(rules.applicant_expiry)
    }
}

/// What is due after `sent` reminders. A reminder that is not before the expiry does not fire.
pub fn next(sent: u32, rules: &Rules) -> Due {
    if sent == 0 && rules.applicant_reminder < rules.applicant_expiry {
        Due::Reminder(rules.applicant_reminder)
    } else {
        Due::Expiry(rules.applicant_expiry)
    }
}
