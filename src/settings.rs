//! The settings: embedded defaults, then a file, then credentials, then the environment, checked as a whole.
//!
//! [`Settings::load`] reports every problem in one go, each with its key and remedy. No secret is ever part of a
//! problem, a warning, `Debug`, [`Settings::describe`] or [`Settings::to_toml`].
//!
//! Each section is a struct in the file named for its concern; the `reader` collects problems and learns the known keys
//! from what is read, so that there is no second list of keys to keep.

mod credentials;
mod engine;
mod http;
mod layers;
mod mail;
mod problem;
mod provisioning;
mod reader;
mod secret_url;
mod shape;
mod storage;
mod values;
mod workflow;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

pub use credentials::credentials_dir;
pub use engine::{
    DirectoryKind, DirectorySettings, DispatcherSettings, HeartbeatSettings, IntakeSettings, JOBS, LogFormat,
    LogSettings, MetricsSettings, ShutdownSettings, TracingSettings, WorkerSettings, WorkersSettings,
};
pub use http::{HttpSettings, SecuritySettings};
pub use layers::DEFAULT_TOML;
pub use mail::{MailSettings, MailTransport, PortalSettings};
pub use problem::{Problem, SettingsError, Source};
pub use provisioning::{ProvisioningSettings, ProvisioningTarget};
pub use secret_url::SecretUrl;
pub use storage::{DatabaseSettings, DatabaseUrl, RedisSettings, RetentionSettings};
pub use workflow::{
    ApplicantSettings, DaResponseSettings, DecisionsSettings, EmailVerificationSettings, OpsSettings,
    PersonalDomainsSettings, ReviewSettings, TermsSettings,
};

use credentials::Credentials;
use reader::Reader;
use secrecy::{ExposeSecret as _, SecretString};

/// The folder of the private Redis, in `data_dir`.
pub const PRIVATE_REDIS_DIR: &str = "redis";

/// The file that is read when none is named, if it exists.
pub const SYSTEM_FILE: &str = "/etc/enrolld/enrolld.toml";

/// Largest settings file, in bytes.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Everything that can be set, valid as a whole. Secrets are hidden in `Debug`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the default database, the private Redis and mail files.
    pub data_dir: PathBuf,
    /// `database`.
    pub database: DatabaseSettings,
    /// `redis`.
    pub redis: RedisSettings,
    /// `mail`.
    pub mail: MailSettings,
    /// `portal`.
    pub portal: PortalSettings,
    /// `http`.
    pub http: HttpSettings,
    /// `security`.
    pub security: SecuritySettings,
    /// `verification.personal_domains`.
    pub personal_domains: PersonalDomainsSettings,
    /// `da_response`.
    pub da_response: DaResponseSettings,
    /// `email_verification`.
    pub email_verification: EmailVerificationSettings,
    /// `review`.
    pub review: ReviewSettings,
    /// `ops`.
    pub ops: OpsSettings,
    /// `applicant`.
    pub applicant: ApplicantSettings,
    /// `terms`.
    pub terms: TermsSettings,
    /// `decisions`.
    pub decisions: DecisionsSettings,
    /// `provisioning`.
    pub provisioning: ProvisioningSettings,
    /// `directory`.
    pub directory: DirectorySettings,
    /// `retention`.
    pub retention: RetentionSettings,
    /// `workers`.
    pub workers: WorkersSettings,
    /// `intake`.
    pub intake: IntakeSettings,
    /// `dispatcher`.
    pub dispatcher: DispatcherSettings,
    /// `heartbeat`.
    pub heartbeat: HeartbeatSettings,
    /// `shutdown`.
    pub shutdown: ShutdownSettings,
    /// `metrics`.
    pub metrics: MetricsSettings,
    /// `log`.
    pub log: LogSettings,
    /// `tracing`.
    pub tracing: TracingSettings,
    /// What works but is probably not meant; for people, one sentence each.
    pub warnings: Vec<String>,
    described: Vec<Setting>,
    /// Every key with what it was given, defaults included; for comparing alone.
    given: BTreeMap<String, SecretString>,
}

/// One key as [`Settings::describe`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The dotted key, `da_response.timeout`; `provisioning.targets[0].url` within a list of tables.
    pub key: String,
    /// The effective value as a TOML literal, passwords in URLs masked; or `(set)` for a secret, or `(not set)`.
    pub value: String,
    /// Where it came from. An empty value that stands for a built-in default keeps the source of the emptiness.
    pub source: Source,
}

impl Settings {
    /// Reads `file`, or without one [`SYSTEM_FILE`] if that exists, then the folder of `credentials` (see [`credentials_dir`]), then the
    /// variables of `env` that start with `ENROLLD__`; see [`environment`].
    ///
    /// # Errors
    /// File or folder cannot be read, or any value is at fault: all problems at once.
    pub fn load(
        file: Option<&Path>,
        credentials: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let path = file.unwrap_or(Path::new(SYSTEM_FILE));
        let text = match read_file(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => None,
            Err(error) => return Err(unreadable(path, &error)),
        };
        let name = path.display().to_string();
        let credentials = match credentials {
            Some(folder) => Credentials::read(folder, layers::is_section)?,
            None => Credentials::default(),
        };
        Self::of_layers(text.as_deref().map(|text| (name.as_str(), text)), credentials, env)
    }

    /// As [`Settings::load`], with the file's name and text given, and without credentials. Touches nothing outside.
    pub fn parse(
        file: Option<(&str, &str)>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        Self::of_layers(file, Credentials::default(), env)
    }

    fn of_layers(
        file: Option<(&str, &str)>,
        credentials: Credentials,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut layers = layers::merge(file, credentials, env)?;
        let foreign = std::mem::take(&mut layers.foreign);
        let other_credentials = std::mem::take(&mut layers.other_credentials);
        let mut reader = Reader::new(layers);
        let mut settings = Self::read(&mut reader);
        reader.reject_unknown(foreign);
        reader.doubt(&other_credentials);
        if reader.problems.is_empty() {
            settings.warnings = reader.warnings;
            settings.described = reader.shown;
            settings.given = reader.given;
            Ok(settings)
        } else {
            Err(SettingsError {
                problems: reader.problems,
            })
        }
    }

    /// The order is that of `config/default.toml`, and of problems and descriptions.
    fn read(reader: &mut Reader) -> Self {
        let data_dir = storage::data_dir(reader);
        let database = DatabaseSettings::read(reader, &data_dir);
        let redis = RedisSettings::read(reader);
        let mail = MailSettings::read(reader, &data_dir);
        let sends_mail = matches!(mail.transport, MailTransport::Smtp { .. });
        let settings = Self {
            data_dir,
            database,
            redis,
            mail,
            portal: PortalSettings::read(reader),
            http: HttpSettings::read(reader, sends_mail),
            security: SecuritySettings::read(reader),
            personal_domains: PersonalDomainsSettings::read(reader),
            da_response: DaResponseSettings::read(reader),
            email_verification: EmailVerificationSettings::read(reader),
            review: ReviewSettings::read(reader),
            ops: OpsSettings::read(reader),
            applicant: ApplicantSettings::read(reader),
            terms: TermsSettings::read(reader),
            decisions: DecisionsSettings::read(reader),
            provisioning: ProvisioningSettings::read(reader),
            directory: DirectorySettings::read(reader),
            retention: RetentionSettings::read(reader),
            workers: WorkersSettings::read(reader),
            intake: IntakeSettings::read(reader),
            dispatcher: DispatcherSettings::read(reader),
            heartbeat: HeartbeatSettings::read(reader),
            shutdown: ShutdownSettings::read(reader),
            metrics: MetricsSettings::read(reader),
            log: LogSettings::read(reader),
            tracing: TracingSettings::read(reader),
            warnings: Vec::new(),
            described: Vec::new(),
            given: BTreeMap::new(),
        };
        if let MailTransport::Smtp { timeout, .. } = settings.mail.transport
            && timeout >= settings.workers.notification.timeout
        {
            reader.warn(
                "mail.smtp.timeout is not below workers.notification.timeout: a slow server's answer may be lost, \
                 and the mail sent twice"
                    .to_owned(),
            );
        }
        settings
    }

    /// Makes `data_dir` where it is missing, for its owner alone; one that is there keeps its rights.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_data_dir(&self) -> io::Result<()> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.data_dir)
    }

    /// The folder of the private Redis, used while `redis.url` is unset.
    pub fn private_redis_dir(&self) -> PathBuf {
        self.data_dir.join(PRIVATE_REDIS_DIR)
    }

    /// Every key with its effective value and source, in the order of the default file. Without secrets.
    pub fn describe(&self) -> &[Setting] {
        &self.described
    }

    /// The keys that have another value in `other`, or are in one of both only; in the order of their names. Secrets are compared, too.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let keys = self.given.keys().chain(other.given.keys());
        let exposed =
            |settings: &Self, key: &str| settings.given.get(key).map(|value| value.expose_secret().to_owned());
        let changed = keys.filter(|key| exposed(self, key) != exposed(other, key));
        changed.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// [`Settings::describe`] as TOML, the source of each value as a comment; secrets and unset keys are comments.
    pub fn to_toml(&self) -> String {
        let mut toml = String::new();
        let mut current = "";
        for Setting { key, value, source } in &self.described {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            if section != current {
                current = section;
                let header = match section.split_once('[') {
                    Some((list, _)) => format!("\n[[{list}]]\n"),
                    None => format!("\n[{section}]\n"),
                };
                toml.push_str(&header);
            }
            // `(set)` and `(not set)` are no TOML.
            let comment = if value.starts_with('(') { "# " } else { "" };
            writeln!(toml, "{comment}{name} = {value}  # {source}").expect("a String takes any text");
        }
        toml
    }
}

/// The process's variables that are settings, for [`Settings::load`]. A value that is not UTF-8 becomes a problem there.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name
            .into_string()
            .ok()
            .filter(|name| name.starts_with(layers::PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LARGEST_FILE + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> SettingsError {
    let (problem, remedy) = match error.kind() {
        ErrorKind::NotFound => (
            "does not exist".to_owned(),
            "name an existing settings file with --config, or leave --config out",
        ),
        ErrorKind::PermissionDenied => (
            "cannot be read: permission denied".to_owned(),
            "run as the user or a member of the group that may read it, or name another with --config",
        ),
        ErrorKind::InvalidData => ("is not valid UTF-8".to_owned(), "save it as UTF-8 text"),
        ErrorKind::IsADirectory => ("is a folder".to_owned(), "name the file itself"),
        _ => (
            format!("cannot be read: {error}"),
            "name a readable TOML file with --config",
        ),
    };
    SettingsError::of_file(&path.display().to_string(), problem, remedy.to_owned())
}
