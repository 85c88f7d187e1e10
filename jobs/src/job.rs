//! The jobs: their one list, what they may come to, and how they are retried.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Declares the kinds of job with their names.
macro_rules! job_kinds {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Every kind of job. Each has a stream, a worker and a section `workers.<job>` of its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum JobKind {
            $($(#[$doc])* $variant,)*
        }

        impl JobKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, in configuration, streams and listings.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The kind of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

job_kinds! {
    /// Judges account, contract, serial number and address: [`verification`](crate::verification).
    Verification => "verification",
    /// Finds out who decides: [`da_routing`](crate::da_routing).
    DaRouting => "da_routing",
    /// Reminds DAs, and moves on from those who do not answer: [`da_response_timeout`](crate::da_response_timeout).
    DaResponseTimeout => "da_response_timeout",
    /// Keeps the clocks of agents' cases: [`manual_review`](crate::manual_review).
    ManualReview => "manual_review",
    /// Reminds applicants who do nothing, and lets their registrations expire: [`applicant_idle`](crate::applicant_idle).
    ApplicantIdle => "applicant_idle",
    /// Brings access to the state wanted at each target: [`provisioning_sync`](crate::provisioning_sync).
    ProvisioningSync => "provisioning_sync",
    /// Reminds DAs of the terms that they have not accepted: [`terms`](crate::terms).
    Terms => "terms",
    /// Sends the mail with the verification link: [`email_verification`](crate::email_verification).
    EmailVerification => "email_verification",
    /// Sends every other mail: [`notification`](crate::notification).
    Notification => "notification",
}

impl JobKind {
    /// Whether the job does something outside of the database that cannot be rolled back. Such a job is marked `running`
    /// in the database before it starts.
    pub const fn has_outside_effect(self) -> bool {
        match self {
            Self::Verification
            | Self::DaRouting
            | Self::DaResponseTimeout
            | Self::ManualReview
            | Self::ApplicantIdle
            | Self::Terms => false,
            Self::ProvisioningSync | Self::EmailVerification | Self::Notification => true,
        }
    }
}

/// What the run of a job came to, where it did not lead to a decision that settled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with nothing more to decide; the note tells how.
    Done(Option<String>),
    /// It failed by its own fault, and may succeed later: spends an attempt.
    Retry(Failure),
    /// It cannot succeed: the job is dead at once.
    Fail(Failure),
    /// Something that it needs is away. Tried again without spending an attempt.
    Unavailable(Failure),
    /// All is well, and there is more to do later: asked again after this long, as if it had not run.
    Snooze(Duration, String),
}

/// Why a job did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Groups failures of one cause, for instance `smtp_refused`.
    pub class: &'static str,
    /// What happened, for people; no secret and no full address.
    pub message: String,
    /// When to try again, if what is away says so.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of a class, with its message.
    pub fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            retry_after: None,
        }
    }
}

/// When a failed job is tried again: doubling from [`RetryPolicy::FIRST`] to [`RetryPolicy::LONGEST`], with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts before the job is dead.
    pub max_attempts: u32,
}

impl RetryPolicy {
    /// The first wait.
    pub const FIRST: Duration = Duration::from_secs(1);
    /// The longest wait.
    pub const LONGEST: Duration = Duration::from_mins(1);

    /// The wait before the try that follows `failures` failures in a row, for a `jitter` of 0 to 1: half of the doubled
    /// wait is certain, the other half is scaled by the jitter, so that jobs that failed together do not return together.
    pub fn backoff(failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = Self::FIRST.saturating_mul(1 << doublings).min(Self::LONGEST);
        full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// Whether a job that has failed `attempts` times is tried again.
    pub const fn allows_another(self, attempts: u32) -> bool {
        attempts < self.max_attempts
    }
}
