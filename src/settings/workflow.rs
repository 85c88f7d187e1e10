//! Numbers of the workflow: waits, reminders, limits and addresses.

use std::time::Duration;

use lettre::message::Mailbox;

use super::reader::Reader;
use super::values::{self, ANY_WAIT, LONGEST, MAILBOX};

/// Most reminders of one wait.
const MOST_REMINDERS: usize = 16;

/// Largest `ops.refusals`: the store counts no further than a little above (`store::counts`).
const MOST_REFUSALS: i64 = 9_999;

/// `da_response`: waiting for a DA (D1).
#[derive(Debug, Clone)]
pub struct DaResponseSettings {
    /// When reminders go out, after the DA was asked; ascending. One not before `timeout` does not fire.
    pub reminders: Vec<Duration>,
    /// When the request moves on to the next DA.
    pub timeout: Duration,
    /// Most DAs asked in all.
    pub max_das: u32,
    /// How often it is looked again whether the DAs who are asked can be reached (D2).
    pub recheck: Duration,
}

/// `email_verification` (D7, D8).
#[derive(Debug, Clone)]
pub struct EmailVerificationSettings {
    /// How long a link is valid.
    pub valid_for: Duration,
    /// Shortest time between two verification mails.
    pub cooldown: Duration,
    /// Most resends in a day for each registration.
    pub per_day: u32,
}

/// `review`: manual review (D9, D10).
#[derive(Debug, Clone)]
pub struct ReviewSettings {
    /// How long an agent has.
    pub sla: Duration,
    /// How long the applicant has for answering an agent's question.
    pub answer_within: Duration,
    /// Where cases are mailed to.
    pub mailbox: Option<Mailbox>,
    /// Where overdue cases go; to ops when unset.
    pub supervisor: Option<Mailbox>,
    /// More failed verification attempts of an account than this, in 30 days, ask for an assessment.
    pub max_failed_attempts: u32,
}

/// `ops`.
#[derive(Debug, Clone)]
pub struct OpsSettings {
    /// Where alerts are mailed to.
    pub mailbox: Option<Mailbox>,
    /// How long a job may be queued before they are told.
    pub queue_age: Duration,
    /// How many upstream events may be refused within 15 minutes before they are told.
    pub refusals: u64,
}

/// `applicant`: idle applicants (D12).
#[derive(Debug, Clone)]
pub struct ApplicantSettings {
    /// When the reminder goes out.
    pub reminder: Duration,
    /// When the registration expires.
    pub expiry: Duration,
}

/// `terms`: terms and conditions not accepted (D15).
#[derive(Debug, Clone)]
pub struct TermsSettings {
    /// When reminders go out, after the appointment; ascending. After the last, ops are told.
    pub reminders: Vec<Duration>,
}

/// `decisions`.
#[derive(Debug, Clone)]
pub struct DecisionsSettings {
    /// Whether a DA may decide by the link in the mail; otherwise the mail leads to the portal.
    pub by_link: bool,
}

/// `verification.personal_domains`: changes to the shipped list of personal mail domains (R11, D13).
#[derive(Debug, Clone)]
pub struct PersonalDomainsSettings {
    /// Domains refused besides; in lower case.
    pub add: Vec<String>,
    /// Domains taken off the list; in lower case.
    pub remove: Vec<String>,
}

fn reminders(reader: &mut Reader, key: &str) -> Vec<Duration> {
    let want = "write a list such as [\"24h\", \"48h\"] of at most 16 durations; [] for no reminder";
    let mut reminders = reader.list(key, want, |text| values::duration(text, &ANY_WAIT));
    reminders.sort_unstable();
    if reminders.len() > MOST_REMINDERS {
        reader.problem(key, format!("has {} reminders", reminders.len()), want);
    }
    if reminders.windows(2).any(|pair| pair[0] == pair[1]) {
        reader.problem(key, "names the same time twice", "leave one of them out");
    }
    reminders
}

impl DaResponseSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let da_response = Self {
            reminders: reminders(reader, "da_response.reminders"),
            timeout: reader.duration("da_response.timeout", &ANY_WAIT),
            max_das: reader.integer("da_response.max_das", 1..=100),
            recheck: reader.duration("da_response.recheck", &ANY_WAIT),
        };
        for late in da_response
            .reminders
            .iter()
            .filter(|reminder| **reminder >= da_response.timeout)
        {
            reader.warnings.push(format!(
                "da_response.reminders has {}, which is not before da_response.timeout ({}): it never fires",
                humantime::format_duration(*late),
                humantime::format_duration(da_response.timeout)
            ));
        }
        da_response
    }
}

impl EmailVerificationSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            valid_for: reader.duration("email_verification.valid_for", &ANY_WAIT),
            cooldown: reader.duration("email_verification.cooldown", &(Duration::ZERO..=LONGEST)),
            per_day: reader.integer("email_verification.per_day", 1..=1000),
        }
    }
}

impl ReviewSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            sla: reader.duration("review.sla", &ANY_WAIT),
            answer_within: reader.duration("review.answer_within", &ANY_WAIT),
            mailbox: reader.optional_text("review.mailbox", MAILBOX, values::mailbox),
            supervisor: reader.optional_text("review.supervisor", MAILBOX, values::mailbox),
            max_failed_attempts: reader.integer("review.max_failed_attempts", 0..=1_000_000),
        }
    }
}

impl OpsSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            mailbox: reader.optional_text("ops.mailbox", MAILBOX, values::mailbox),
            queue_age: reader.duration("ops.queue_age", &ANY_WAIT),
            refusals: reader.integer("ops.refusals", 0..=MOST_REFUSALS),
        }
    }
}

impl ApplicantSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let applicant = Self {
            reminder: reader.duration("applicant.reminder", &ANY_WAIT),
            expiry: reader.duration("applicant.expiry", &ANY_WAIT),
        };
        if applicant.reminder >= applicant.expiry {
            reader.warn(format!(
                "applicant.reminder ({}) is not before applicant.expiry ({}): it never fires",
                humantime::format_duration(applicant.reminder),
                humantime::format_duration(applicant.expiry)
            ));
        }
        applicant
    }
}

impl TermsSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            reminders: reminders(reader, "terms.reminders"),
        }
    }
}

impl DecisionsSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            by_link: reader.flag("decisions.by_link"),
        }
    }
}

impl PersonalDomainsSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let want = "write mail domains, such as [\"mail.example\"]";
        let domains = Self {
            add: reader.list("verification.personal_domains.add", want, values::domain),
            remove: reader.list("verification.personal_domains.remove", want, values::domain),
        };
        if let Some(both) = domains.add.iter().find(|domain| domains.remove.contains(domain)) {
            reader.problem(
                "verification.personal_domains.remove",
                format!("has {both}, which verification.personal_domains.add has too"),
                "leave it in one of the two",
            );
        }
        domains
    }
}
