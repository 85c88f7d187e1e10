//! SMTP with lettre's connection, and a pool of our own.
//!
//! lettre's pooled transport is not used: its asynchronous commands have no time-out once connected, and a send that
//! is given up in mid-command puts its connection back into the pool, where the next mail reads the replies to this
//! one. Here the whole exchange has one time-out, and only a connection whose exchange ended well is kept. It also
//! tells which command was refused, and with it whose fault that is.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::DEFAULT_MECHANISMS,
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
    },
};
use tokio::time::Instant;

use super::{
    mailer::{SendError, Session},
    message::Encoded,
    plain_text::loggable,
    smtp_url::{Security, SmtpUrl},
};

/// Most connections kept open without use.
const MAX_IDLE: usize = 8;
/// How long a connection may be kept open without use. Servers hang up after some minutes.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
/// How long a connection kept open may take to show that it still answers.
const MAX_CHECK_TIME: Duration = Duration::from_secs(3);
/// Longest text of an error, in characters.
const MAX_DETAIL_CHARS: usize = 200;

/// A server to hand letters to.
#[derive(Debug)]
pub(super) struct SmtpServer {
    url: SmtpUrl,
    timeout: Duration,
    idle: Mutex<Idle>,
}

/// Connections whose last exchange ended well, and when.
#[derive(Default)]
struct Idle(Vec<(AsyncSmtpConnection, Instant)>);

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} connections", self.0.len())
    }
}

/// What is being said when the server answers.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Connecting, greeting, TLS, authentication.
    Session,
    /// `MAIL FROM`: the same for every letter.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA` and the message.
    Message,
}

impl SmtpServer {
    pub(super) fn new(url: SmtpUrl, timeout: Duration) -> Self {
        Self {
            url,
            timeout,
            idle: Mutex::default(),
        }
    }

    pub(super) async fn send(&self, from: &Address, message: &Encoded) -> Result<(), SendError> {
        match tokio::time::timeout(self.timeout, self.exchange(from, message)).await {
            Ok(result) => result,
            Err(_) => Err(self.silent()),
        }
    }

    /// Everything before the first recipient, on a connection of its own that is then closed.
    pub(super) async fn check(&self, from: &Address) -> Result<Session, SendError> {
        let conversation = async {
            let at = |stage| move |error: Error| self.judge(stage, &error);
            let mut connection = self.connect().await.map_err(at(Stage::Session))?;
            let sender = Mail::new(Some(from.clone()), Vec::new());
            connection.command(sender).await.map_err(at(Stage::Sender))?;
            let session = Session {
                server: format!("{}:{}", self.url.host, self.url.port),
                encrypted: connection.is_encrypted(),
                logged_in: self.url.credentials.is_some(),
            };
            // What is known is known; a server that hangs up now has lost nothing.
            let _ = connection.command(Rset).await;
            let _ = connection.quit().await;
            Ok(session)
        };
        match tokio::time::timeout(self.timeout, conversation).await {
            Ok(result) => result,
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> SendError {
        SendError::unavailable(format!(
            "no answer from the mail server {}:{} within {:?}",
            self.url.host, self.url.port, self.timeout
        ))
    }

    async fn exchange(&self, from: &Address, message: &Encoded) -> Result<(), SendError> {
        let mut connection = match self.kept_open().await {
            Some(connection) => connection,
            None => self
                .connect()
                .await
                .map_err(|error| self.judge(Stage::Session, &error))?,
        };
        let at = |stage| move |error: Error| self.judge(stage, &error);
        // Options are empty: messages and addresses are ASCII.
        let sender = Mail::new(Some(from.clone()), Vec::new());
        connection.command(sender).await.map_err(at(Stage::Sender))?;
        let recipient = Rcpt::new(message.to.clone(), Vec::new());
        connection.command(recipient).await.map_err(at(Stage::Recipient))?;
        connection.command(Data).await.map_err(at(Stage::Message))?;
        connection.message(&message.bytes).await.map_err(at(Stage::Message))?;
        self.keep_open(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let SmtpUrl { host, port, hello, .. } = &self.url;
        let tls = || TlsParameters::new(host.clone());
        let wrapped = match self.url.security {
            Security::Wrapped => Some(tls()?),
            Security::None | Security::Opportunistic | Security::Required => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1((host.as_str(), *port), Some(self.timeout), hello, wrapped, None)
                .await?;
        let start_tls = match self.url.security {
            Security::Required => true,
            Security::Opportunistic => connection.can_starttls(),
            Security::None | Security::Wrapped => false,
        };
        if start_tls {
            connection.starttls(tls()?, hello).await?;
        }
        if let Some(credentials) = &self.url.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// A connection kept open that still answers. When one does not, the others are given up too: the server has gone
    /// away.
    async fn kept_open(&self) -> Option<AsyncSmtpConnection> {
        let mut connection = self.newest_idle()?;
        if let Ok(true) = tokio::time::timeout(MAX_CHECK_TIME, connection.test_connected()).await {
            return Some(connection);
        }
        self.idle().0.clear();
        None
    }

    fn newest_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle();
        idle.0.retain(|(_, since)| since.elapsed() < MAX_IDLE_TIME);
        idle.0.pop().map(|(connection, _)| connection)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // A list of connections is whole after any panic.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_open(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        if idle.0.len() < MAX_IDLE {
            idle.0.push((connection, Instant::now()));
        }
    }

    /// Whose fault an error is. Before the recipient is named, everything is the server's or the configuration's: it
    /// meets every letter alike.
    fn judge(&self, stage: Stage, error: &Error) -> SendError {
        let detail = loggable(&error.to_string(), MAX_DETAIL_CHARS);
        match (stage, error.status().map(u16::from)) {
            (Stage::Recipient | Stage::Message, Some(code)) if concerns_the_letter(code, &detail) => {
                SendError::Refused {
                    permanent: code >= 500,
                    code,
                    detail,
                }
            }
            (Stage::Session | Stage::Sender | Stage::Recipient | Stage::Message, _) => {
                SendError::unavailable(format!("the mail server {}:{}: {detail}", self.url.host, self.url.port))
            }
        }
    }
}

/// Whether a refusal after `RCPT TO` is about this letter, rather than about the server or our session (RFC 5321,
/// 4.2.3; RFC 3463).
fn concerns_the_letter(code: u16, detail: &str) -> bool {
    match code {
        // The server is closing; authentication is wanted.
        421 | 530 => false,
        500..=599 => true,
        // Mailbox busy, full, or greylisted.
        450 => !system_status(detail),
        // 451 local error, 452 no storage, …
        _ => mailbox_status(detail),
    }
}

/// Whether the enhanced status code says "mail system" or "network" (4.3.x, 4.4.x).
fn system_status(detail: &str) -> bool {
    detail
        .split_whitespace()
        .any(|word| word.starts_with("4.3.") || word.starts_with("4.4."))
}

/// Whether the enhanced status code says "address" or "mailbox" (4.1.x, 4.2.x).
fn mailbox_status(detail: &str) -> bool {
    detail
        .split_whitespace()
        .any(|word| word.starts_with("4.1.") || word.starts_with("4.2."))
}
