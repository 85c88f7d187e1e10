//! The numbers and lists that decisions depend on, from configuration.

use std::time::Duration;

use crate::verification::PersonalDomains;

/// What configuration says about the workflow. Everything here is an argument of
/// [`decide`](crate::decide::decide); nothing else of the configuration is.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long a verification link is valid (D7).
    pub link_valid_for: Duration,
    /// Least time between two verification mails of one registration (D8).
    pub resend_cooldown: Duration,
    /// Resends in 24 hours for one registration (D8).
    pub resends_per_day: usize,
    /// Domains whose addresses are refused (R11, D13).
    pub personal_domains: PersonalDomains,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            link_valid_for: Duration::from_hours(24),
            resend_cooldown: Duration::from_mins(1),
            resends_per_day: 5,
            personal_domains: PersonalDomains::default(),
        }
    }
}
