//! Where things are kept: the data folder, the database, Redis, and for how long.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use redis::IntoConnectionInfo;
use url::Url;

use super::reader::Reader;
use super::secret_url::SecretUrl;
use super::shape::quoted;
use super::values::{ANY_WAIT, path, wrong_scheme};

/// `database`.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `database.url`; unset, the file `enrolld.db` in the data folder.
    pub url: DatabaseUrl,
    /// Most connections of the pool of one daemon.
    pub max_connections: u32,
}

/// Which database, and where.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file, made when it is missing.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(SecretUrl),
}

/// What has a meaning of its own in the URL of a file.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

impl DatabaseUrl {
    /// The URL to connect to, password and all: not to be shown.
    pub fn connect_url(&self) -> String {
        match self {
            // The driver decodes what it is given.
            Self::Sqlite(path) => format!("sqlite://{}", utf8_percent_encode(&path.to_string_lossy(), PATH)),
            Self::Postgres(url) => url.expose().to_owned(),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    /// The URL with its password masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// `redis`.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis.url`; unset, a private `redis-server` child.
    pub url: Option<SecretUrl>,
    /// `redis.tls_ca_file`: the certificates by which that of the server is checked; unset, the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// Start of every key in Redis; 1–32 of `A-Z a-z 0-9 : _ -`.
    pub prefix: String,
    /// Entries kept in `<prefix>:events`.
    pub events_max_len: u64,
    /// Entries kept in `<prefix>:rejected`.
    pub rejected_max_len: u64,
    /// Whether to refuse to start on a Redis that does not persist what it acknowledges.
    pub require_durable: bool,
}

/// `retention`: how long finished rows are kept, and how many of them at most. Unset is for good.
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    /// Applied events, and with them their idempotency keys.
    pub inbox: Duration,
    /// Finished jobs.
    pub jobs: Duration,
    /// Records of mails sent.
    pub mails: Option<Duration>,
    /// Closed registrations.
    pub registrations: Option<Duration>,
    /// Entries of `<prefix>:events`.
    pub events: Option<Duration>,
    /// Most applied events.
    pub inbox_max: u64,
    /// Most finished jobs.
    pub jobs_max: u64,
    /// Most records of mails sent.
    pub mails_max: u64,
}

pub(super) fn data_dir(reader: &mut Reader) -> PathBuf {
    reader.text(
        "data_dir",
        "write the path of a folder that the daemon may write to",
        path,
    )
}

/// How many rows can be asked to be kept.
const MOST_ROWS: std::ops::RangeInclusive<i64> = 1..=1_000_000_000;

const DATABASE_URL: &str = "write \"sqlite://PATH\" (made when missing) or \"postgres://USER:PASSWORD@HOST/DATABASE\"";

impl DatabaseSettings {
    pub(super) fn read(reader: &mut Reader, data_dir: &Path) -> Self {
        let given = reader.secret_url("database.url", DATABASE_URL, |text| database_url(text).map(drop));
        let url = given.map_or_else(
            || DatabaseUrl::Sqlite(data_dir.join("enrolld.db")),
            |url| database_url(url.expose()).expect("checked by the reader"),
        );
        reader.show_effective("database.url", toml::Value::from(url.to_string()).to_string());
        Self {
            url,
            max_connections: reader.integer("database.max_connections", 1..=1000),
        }
    }
}

/// Never repeats the text, except for a scheme.
fn database_url(text: &str) -> Result<DatabaseUrl, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("is not a URL".to_owned());
    };
    match scheme {
        "sqlite" => {
            // Often written with the mode that holds here anyway.
            let file = rest.strip_suffix("?mode=rwc").unwrap_or(rest);
            if file.contains(['?', '#']) || file.contains(":memory:") {
                return Err("has more than a path".to_owned());
            }
            path(file).map(DatabaseUrl::Sqlite)
        }
        "postgres" | "postgresql" => {
            Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
            Ok(DatabaseUrl::Postgres(SecretUrl::new(text)))
        }
        other => Err(wrong_scheme(other)),
    }
}

impl RedisSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const URL: &str = "write \"redis://USER:PASSWORD@HOST:PORT/DB\", with TLS \"rediss://…\", or \"unix:///PATH\", or leave it out for a private redis-server";
        let url = reader.secret_url("redis.url", URL, |text| {
            // The client's own parser: what it refuses would only show at the first connection.
            if Url::parse(text).is_ok_and(|url| url.scheme() == "rediss" && url.fragment().is_some()) {
                return Err("asks not to check the server's certificate, which is of no use".to_owned());
            }
            text.into_connection_info()
                .map(drop)
                .map_err(|error| match Url::parse(text) {
                    Ok(url) if redis::parse_redis_url(text).is_none() => wrong_scheme(url.scheme()),
                    _ => format!("is not a Redis URL: {:?}", error.kind()),
                })
        });
        let tls_ca_file = reader.optional_text("redis.tls_ca_file", "write the path of a PEM file", path);
        let is_encrypted = |url: &SecretUrl| url.expose().starts_with("rediss:");
        if tls_ca_file.is_some() && !url.as_ref().is_some_and(is_encrypted) {
            reader.warn(
                "redis.tls_ca_file is set, and redis.url asks for no TLS; write rediss://, or leave the file out"
                    .to_owned(),
            );
        }
        let prefix = reader.text(
            "redis.prefix",
            "write 1 to 32 of the characters A-Z a-z 0-9 : _ -",
            |text| {
                let fits = text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte));
                if fits && (1..=32).contains(&text.len()) {
                    Ok(text.to_owned())
                } else {
                    Err(format!("{} has other characters, or the wrong length", quoted(text)))
                }
            },
        );
        Self {
            url,
            tls_ca_file,
            prefix,
            events_max_len: reader.integer("redis.events_max_len", 1..=100_000_000),
            rejected_max_len: reader.integer("redis.rejected_max_len", 1..=100_000_000),
            require_durable: reader.flag("redis.require_durable"),
        }
    }
}

impl RetentionSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            inbox: reader.duration("retention.inbox", &ANY_WAIT),
            jobs: reader.duration("retention.jobs", &ANY_WAIT),
            mails: reader.optional_duration("retention.mails", &ANY_WAIT),
            registrations: reader.optional_duration("retention.registrations", &ANY_WAIT),
            events: reader.optional_duration("retention.events", &ANY_WAIT),
            inbox_max: reader.integer("retention.inbox_max", MOST_ROWS),
            jobs_max: reader.integer("retention.jobs_max", MOST_ROWS),
            mails_max: reader.integer("retention.mails_max", MOST_ROWS),
        }
    }
}
