//! Mail and the portal that mails speak of.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::Mailbox;
use url::Url;

use super::reader::Reader;
use super::secret_url::SecretUrl;
use super::shape::quoted;
use super::values::{self, MAILBOX, WEB_URL};

/// `mail`.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// How mail leaves, with what that way needs.
    pub transport: MailTransport,
    /// The sender of every mail.
    pub from: Mailbox,
}

/// `mail.transport`, with the keys of `[mail.smtp]` or `[mail.file]`.
#[derive(Debug, Clone)]
pub enum MailTransport {
    /// Each mail becomes a file in a folder.
    File {
        /// `mail.file.dir`; unset, `mail` in the data folder.
        dir: PathBuf,
    },
    /// To an SMTP server.
    Smtp {
        /// `smtp://` or `smtps://`, as lettre reads it.
        url: SecretUrl,
        /// For connecting and for each command.
        timeout: Duration,
    },
}

impl MailTransport {
    /// The folder of mails, where they become files.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File { dir } => Some(dir),
            Self::Smtp { .. } => None,
        }
    }
}

impl MailSettings {
    pub(super) fn read(reader: &mut Reader, data_dir: &Path) -> Self {
        let is_smtp = reader.text("mail.transport", "write \"file\" or \"smtp\"", |text| match text {
            "file" => Ok(false),
            "smtp" => Ok(true),
            other => Err(format!("{} is no transport", quoted(other))),
        });
        let from = reader.text("mail.from", MAILBOX, values::mailbox);
        let url = reader.secret_url("mail.smtp.url", SMTP_URL, smtp_url);
        let timeout = reader.duration(
            "mail.smtp.timeout",
            &(Duration::from_millis(10)..=Duration::from_mins(10)),
        );
        let dir = reader.optional_text("mail.file.dir", "write the path of a folder", values::path);
        let dir = dir.unwrap_or_else(|| data_dir.join("mail"));
        reader.show_effective(
            "mail.file.dir",
            toml::Value::from(dir.display().to_string()).to_string(),
        );

        let transport = match (is_smtp, url) {
            (true, Some(url)) => {
                warn_of_remote(reader, &url, &from);
                MailTransport::Smtp { url, timeout }
            }
            (true, None) => {
                if reader.is_sound("mail.smtp.url") {
                    reader.problem(
                        "mail.smtp.url",
                        "is not set, though mail.transport is \"smtp\"",
                        SMTP_URL,
                    );
                }
                MailTransport::File { dir }
            }
            (false, _) => MailTransport::File { dir },
        };
        Self { transport, from }
    }
}

const SMTP_URL: &str =
    "write \"smtps://USER:PASSWORD@HOST\", \"smtp://USER:PASSWORD@HOST?tls=required\", or \"smtp://127.0.0.1:25\"";

/// Holds to what lettre takes; never repeats the text.
fn smtp_url(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "smtp" | "smtps") {
        return Err(values::wrong_scheme(url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host".to_owned());
    }
    for (name, value) in url.query_pairs() {
        match (name.as_ref(), value.as_ref()) {
            ("tls", "required" | "opportunistic") => {}
            ("tls", _) => return Err("has a tls other than required and opportunistic".to_owned()),
            _ => return Err("has a query parameter other than tls".to_owned()),
        }
    }
    if !url.username().is_empty() && url.password().is_none() {
        return Err("has a user but no password".to_owned());
    }
    Ok(())
}

/// What is fine with a server on this machine, and not elsewhere.
fn warn_of_remote(reader: &mut Reader, url: &SecretUrl, from: &Mailbox) {
    let Ok(parsed) = Url::parse(url.expose()) else {
        return;
    };
    if values::is_loopback(&parsed) {
        return;
    }
    if parsed.scheme() != "smtps" && parsed.query_pairs().all(|(_, value)| value != "required") {
        reader.warn(format!(
            "mail.smtp.url is {url}: mails, and the password if any, may cross the network unencrypted; \
             use smtps://, or add ?tls=required"
        ));
    }
    if from.email.domain() == "localhost" {
        reader.warn(format!(
            "mail.from is {from}: servers refuse mail from localhost, and nobody can answer it; \
             set it to an address of your domain"
        ));
    }
}

/// `portal`: what mails and pages call the portal, and where its pages are.
#[derive(Debug, Clone)]
pub struct PortalSettings {
    /// The portal's name.
    pub name: String,
    /// The portal (R61, R67).
    pub url: Url,
    /// Its page for newcomers (R61).
    pub newcomers_url: Url,
    /// The access-management tool (R61, R69).
    pub access_url: Url,
    /// The support community (R40).
    pub community_url: Url,
}

impl PortalSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            name: reader.text(
                "portal.name",
                "write a name of 1 to 100 characters, on one line",
                values::title,
            ),
            url: reader.text("portal.url", WEB_URL, values::web_url),
            newcomers_url: reader.text("portal.newcomers_url", WEB_URL, values::web_url),
            access_url: reader.text("portal.access_url", WEB_URL, values::web_url),
            community_url: reader.text("portal.community_url", WEB_URL, values::web_url),
        }
    }
}
