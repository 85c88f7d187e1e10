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
    /// When a DA who is asked is reminded, counted from the asking, in order (D1).
    pub da_reminders: Vec<Duration>,
    /// When the request moves on from a DA who does not answer (D1).
    pub da_timeout: Duration,
    /// DAs asked in all before an agent takes over (D1).
    pub max_das: usize,
    /// Whether DAs may decide by the link of a mail (contract, section 6).
    pub decisions_by_link: bool,
    /// When an applicant who does nothing is reminded (D12).
    pub applicant_reminder: Duration,
    /// When the registration of an applicant who does nothing expires (D12).
    pub applicant_expiry: Duration,
    /// How long an agent has (R65, D10).
    pub review_sla: Duration,
    /// How long an applicant has for answering an agent's question (D10).
    pub answer_within: Duration,
    /// Failed verification attempts in 30 days above which an agent looks (D9).
    pub max_failed_attempts: u32,
    /// Domains whose addresses are refused (R11, D13).
    pub personal_domains: PersonalDomains,
    /// The downstream tools that access is brought to, by name. Without any it is there as soon as it is granted (D11).
    pub targets: Vec<String>,
    /// When access that is not confirmed everywhere goes to the agents, counted from the granting (D11).
    pub provisioning_within: Duration,
    /// When a DA who has not accepted the terms is reminded, counted from the appointment, in order (D15).
    pub terms_reminders: Vec<Duration>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            link_valid_for: Duration::from_hours(24),
            resend_cooldown: Duration::from_mins(1),
            resends_per_day: 5,
            da_reminders: vec![Duration::from_hours(24), Duration::from_hours(48)],
            da_timeout: Duration::from_hours(72),
            max_das: 3,
            decisions_by_link: true,
            applicant_reminder: Duration::from_hours(7 * 24),
            applicant_expiry: Duration::from_hours(30 * 24),
            review_sla: Duration::from_hours(24),
            answer_within: Duration::from_hours(7 * 24),
            max_failed_attempts: 10,
            personal_domains: PersonalDomains::default(),
            targets: Vec::new(),
            provisioning_within: Duration::from_hours(24),
            terms_reminders: [3, 7, 14].map(|days| Duration::from_hours(days * 24)).to_vec(),
        }
    }
}
