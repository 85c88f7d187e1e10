//! How the daemon itself works: workers, intake, heartbeat, log.

use std::time::Duration;

use enrolld_jobs::job::JobKind;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::reader::Reader;
use super::shape::quoted;
use super::values;

/// The jobs that have `[workers.<job>]`, in the order of [`WorkersSettings`].
pub const JOBS: [&str; 9] = [
    "verification",
    "da_routing",
    "da_response_timeout",
    "applicant_idle",
    "email_verification",
    "manual_review",
    "provisioning_sync",
    "terms",
    "notification",
];

/// `workers`: one for each kind of job.
#[derive(Debug, Clone)]
pub struct WorkersSettings {
    /// `workers.verification`.
    pub verification: WorkerSettings,
    /// `workers.da_routing`.
    pub da_routing: WorkerSettings,
    /// `workers.da_response_timeout`.
    pub da_response_timeout: WorkerSettings,
    /// `workers.applicant_idle`.
    pub applicant_idle: WorkerSettings,
    /// `workers.email_verification`.
    pub email_verification: WorkerSettings,
    /// `workers.manual_review`.
    pub manual_review: WorkerSettings,
    /// `workers.provisioning_sync`.
    pub provisioning_sync: WorkerSettings,
    /// `workers.terms`.
    pub terms: WorkerSettings,
    /// `workers.notification`.
    pub notification: WorkerSettings,
}

/// `workers.<job>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Jobs of this kind run at once by one daemon.
    pub concurrency: usize,
    /// Attempts before the job is dead.
    pub max_attempts: u32,
    /// Longest run of one attempt.
    pub timeout: Duration,
}

/// `shutdown`.
#[derive(Debug, Clone)]
pub struct ShutdownSettings {
    /// How long running work may take to finish after SIGTERM.
    pub grace: Duration,
}

/// `intake`.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// Most entries taken in one transaction.
    pub batch: usize,
}

/// `dispatcher`.
#[derive(Debug, Clone)]
pub struct DispatcherSettings {
    /// How often due timers and retries are looked for.
    pub poll: Duration,
}

/// `heartbeat`.
#[derive(Debug, Clone)]
pub struct HeartbeatSettings {
    /// How often a daemon says that it lives.
    pub every: Duration,
    /// After this silence its work is taken over; more than twice `every`.
    pub dead_after: Duration,
}

/// `metrics`.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// How often gauges are gathered.
    pub every: Duration,
}

/// `log`.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How lines are written.
    pub format: LogFormat,
    /// What is logged, as `tracing_subscriber::EnvFilter` reads it.
    pub filter: String,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// Entries of the journal, with their fields.
    Journald,
}

/// `tracing`.
#[derive(Debug, Clone)]
pub struct TracingSettings {
    /// Where spans are sent to; nowhere if it is not set.
    pub otlp_endpoint: Option<Url>,
    /// What is sent along as `Authorization`.
    pub otlp_authorization: Option<SecretString>,
}

/// `directory`.
#[derive(Debug, Clone)]
pub struct DirectorySettings {
    /// Where accounts, contracts and organizations are looked up.
    pub kind: DirectoryKind,
}

/// `directory.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryKind {
    /// Tables in the daemon's own database, filled by `enrolld directory import`.
    Embedded,
}

impl WorkersSettings {
    /// The worker of the jobs of `kind`.
    pub const fn of(&self, kind: JobKind) -> &WorkerSettings {
        match kind {
            JobKind::Verification => &self.verification,
            JobKind::DaRouting => &self.da_routing,
            JobKind::DaResponseTimeout => &self.da_response_timeout,
            JobKind::ManualReview => &self.manual_review,
            JobKind::ApplicantIdle => &self.applicant_idle,
            JobKind::ProvisioningSync => &self.provisioning_sync,
            JobKind::Terms => &self.terms,
            JobKind::EmailVerification => &self.email_verification,
            JobKind::Notification => &self.notification,
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let [
            verification,
            da_routing,
            da_response_timeout,
            applicant_idle,
            email_verification,
            manual_review,
            provisioning_sync,
            terms,
            notification,
        ] = JOBS.map(|job| WorkerSettings {
            concurrency: reader.integer(&format!("workers.{job}.concurrency"), 1..=256),
            max_attempts: reader.integer(&format!("workers.{job}.max_attempts"), 1..=100),
            timeout: reader.duration(
                &format!("workers.{job}.timeout"),
                &(Duration::from_millis(10)..=Duration::from_hours(1)),
            ),
        });
        Self {
            verification,
            da_routing,
            da_response_timeout,
            applicant_idle,
            email_verification,
            manual_review,
            provisioning_sync,
            terms,
            notification,
        }
    }
}

impl ShutdownSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            grace: reader.duration("shutdown.grace", &(Duration::ZERO..=Duration::from_hours(1))),
        }
    }
}

impl IntakeSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            batch: reader.integer("intake.batch", 1..=1000),
        }
    }
}

impl DispatcherSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            poll: reader.duration("dispatcher.poll", &(Duration::from_millis(10)..=Duration::from_mins(1))),
        }
    }
}

impl HeartbeatSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let heartbeat = Self {
            every: reader.duration("heartbeat.every", &(Duration::from_millis(10)..=Duration::from_mins(1))),
            dead_after: reader.duration(
                "heartbeat.dead_after",
                &(Duration::from_millis(30)..=Duration::from_hours(1)),
            ),
        };
        let are_sound = reader.is_sound("heartbeat.every") && reader.is_sound("heartbeat.dead_after");
        if are_sound && heartbeat.dead_after <= 2 * heartbeat.every {
            let every = humantime::format_duration(heartbeat.every);
            reader.problem(
                "heartbeat.dead_after",
                format!(
                    "is {}, not more than twice heartbeat.every ({every}): one late beat would pass for a death",
                    humantime::format_duration(heartbeat.dead_after)
                ),
                format!("write more than twice {every}, four times is usual"),
            );
        }
        heartbeat
    }
}

impl MetricsSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            every: reader.duration("metrics.every", &(Duration::from_millis(50)..=Duration::from_mins(1))),
        }
    }
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let format = reader.text(
            "log.format",
            "write \"text\", \"json\" or \"journald\"",
            |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                "journald" => Ok(LogFormat::Journald),
                other => Err(format!("{} is no format", quoted(other))),
            },
        );
        let filter_wanted =
            "write a level (error, warn, info, debug, trace) or directives such as \"info,enrolld=debug\"";
        let filter = reader.text("log.filter", filter_wanted, |text| {
            EnvFilter::builder()
                .parse(text)
                .map(|_| text.to_owned())
                .map_err(|error| format!("{} is not a filter: {error}", quoted(text)))
        });
        Self { format, filter }
    }
}

impl TracingSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let tracing = Self {
            otlp_endpoint: reader.optional_text(
                "tracing.otlp_endpoint",
                "write the whole address of an OTLP collector for traces over HTTP, such as \"http://127.0.0.1:4318/v1/traces\"",
                values::web_url,
            ),
            otlp_authorization: reader.secret(
                "tracing.otlp_authorization",
                "write the value of the header Authorization that the collector asks for, such as \"Bearer ...\"",
                |text| {
                    if text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
                        Ok(())
                    } else {
                        Err("has characters that a header cannot have".to_owned())
                    }
                },
            ),
        };
        let unencrypted = tracing
            .otlp_endpoint
            .as_ref()
            .filter(|url| url.scheme() == "http" && !values::is_loopback(url));
        if let Some(url) = unencrypted {
            reader.warn(format!(
                "tracing.otlp_endpoint is {url}: spans go over an unencrypted connection; use https://, or a collector on this machine"
            ));
        }
        tracing
    }
}

impl DirectorySettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let kind = reader.text("directory.kind", "write \"embedded\"", |text| match text {
            "embedded" => Ok(DirectoryKind::Embedded),
            other => Err(format!("{} is no kind of directory", quoted(other))),
        });
        Self { kind }
    }
}
