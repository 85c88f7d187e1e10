//! How a letter leaves: by SMTP, or into a folder.

use std::{path::PathBuf, time::Duration};

use lettre::message::Mailbox;

use super::{
    file::MailFolder,
    message::{Letter, is_ascii_line},
    smtp::SmtpServer,
    smtp_url::SmtpUrl,
};
use crate::settings::{MailSettings, MailTransport};

/// Sends letters from one address.
#[derive(Debug)]
pub struct Mailer {
    from: Mailbox,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Smtp(SmtpServer),
    File(MailFolder),
}

/// Why a mailer cannot be made from its configuration. Repeats no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// `mail.from` cannot stand in an SMTP command.
    #[error("the sender's address must be ASCII, such as in `Portal <no-reply@portal.example>`")]
    From,
    /// `mail.smtp.url` is not of the form expected.
    #[error("the SMTP URL {0}; it looks like smtp://[user:password@]host[:port][?tls=required] or smtps://…")]
    SmtpUrl(&'static str),
}

/// Why a letter was not sent. Says whose fault it is, which decides what becomes of the job (ARCHITECTURE, "The life
/// of a job"). No variant shows a whole address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The server is up and refuses this letter: other letters may well go out.
    #[error("the mail server refused the mail with {code}: {detail}")]
    Refused {
        /// It will always refuse (5xx); else trying later may help, such as with a mailbox that is full.
        permanent: bool,
        /// The reply code of SMTP.
        code: u16,
        /// What the server said, with no e-mail address; at most 200 characters.
        detail: String,
    },
    /// The server or the folder cannot take any letter now, or not from us. Not this letter's fault: try again
    /// without spending an attempt.
    #[error("mail cannot be sent now: {problem}")]
    Unavailable {
        /// What failed, with no e-mail address; at most 200 characters.
        problem: String,
    },
    /// The letter cannot be made into a message. Trying again is of no use.
    #[error("the mail cannot be sent: {problem}")]
    Invalid {
        /// What is wrong with it.
        problem: String,
    },
}

/// How far one gets with the mail server without sending a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Host and port.
    pub server: String,
    /// Whether the connection is under TLS.
    pub encrypted: bool,
    /// Whether we have logged in.
    pub logged_in: bool,
}

impl SendError {
    pub(super) fn unavailable(problem: impl Into<String>) -> Self {
        Self::Unavailable {
            problem: problem.into(),
        }
    }
}

impl Mailer {
    /// The mailer that `settings` describe. Nothing is connected or written yet.
    pub fn new(settings: &MailSettings) -> Result<Self, SetupError> {
        let from = settings.from.clone();
        match &settings.transport {
            MailTransport::Smtp { url, timeout } => Self::smtp(from, url.expose(), *timeout),
            MailTransport::File { dir } => Self::file(from, dir.clone()),
        }
    }

    /// A mailer over SMTP.
    ///
    /// `url` is `smtp://` (port 25; with `?tls=required` or `?tls=opportunistic` STARTTLS, port 587) or `smtps://` (port
    /// 465); a path is the name given in `EHLO`. `timeout` bounds each [`Mailer::send`] as a whole.
    pub fn smtp(from: Mailbox, url: &str, timeout: Duration) -> Result<Self, SetupError> {
        let server = SmtpServer::new(SmtpUrl::parse(url)?, timeout);
        Self::with(from, Transport::Smtp(server))
    }

    /// A mailer that writes each letter into the folder `dir`, as `TIME-ID.eml`. The folder is made when the first letter
    /// comes.
    pub fn file(from: Mailbox, dir: PathBuf) -> Result<Self, SetupError> {
        Self::with(from, Transport::File(MailFolder::new(dir)))
    }

    fn with(from: Mailbox, transport: Transport) -> Result<Self, SetupError> {
        if is_ascii_line(&from.email) {
            Ok(Self { from, transport })
        } else {
            Err(SetupError::From)
        }
    }

    /// Sends `letter`, or says why not. Sending the same letter again is safe: the Message-ID is the same, and so is
    /// the file.
    ///
    /// When it is dropped before it is done, the connection is closed; the letter may have gone out.
    pub async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        let message = letter.encode(&self.from)?;
        match &self.transport {
            Transport::Smtp(server) => server.send(&self.from.email, &message).await,
            Transport::File(folder) => folder.write(letter, &message).await,
        }
    }

    /// Goes as far with the mail server as one gets without sending: connects, begins TLS, logs in, and names the sender. A folder
    /// of mails is no server, and counts as closed.
    ///
    /// # Errors
    /// When mail could not be sent.
    pub async fn check(&self) -> Result<Session, SendError> {
        match &self.transport {
            Transport::Smtp(server) => server.check(&self.from.email).await,
            Transport::File(_) => Err(SendError::unavailable("mails are written to a folder")),
        }
    }

    /// The Message-ID that `letter` goes out with, in angle brackets: what `mail.bounced` refers to.
    pub fn message_id(&self, letter: &Letter) -> String {
        letter.message_id(&self.from)
    }
}
