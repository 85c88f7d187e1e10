//! A letter to bytes: MIME with stable ids, so that sending again is recognizably the same mail.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    effect::MailKind,
    values::{EmailAddress, RegistrationId},
};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use uuid::Uuid;

use super::{mailer::SendError, plain_text::single_line, templates::Rendered};

/// Longest display name, in characters.
const MAX_NAME_CHARS: usize = 120;

/// Whom a letter goes to.
#[derive(Clone)]
pub struct Addressee {
    name: Option<String>,
    address: Address,
}

impl Addressee {
    /// Somebody with an account. The name may hold anything: it is made harmless when the header is written.
    pub fn person(name: impl Into<String>, email: &EmailAddress) -> Result<Self, SendError> {
        let address = email.expose().parse().map_err(|_| SendError::Invalid {
            problem: format!("the address {email} is not one that SMTP can carry; correct the profile"),
        })?;
        Ok(Self {
            name: Some(name.into()),
            address,
        })
    }
}

impl From<Mailbox> for Addressee {
    /// A mailbox of the configuration, such as the agents'.
    fn from(mailbox: Mailbox) -> Self {
        Self {
            name: mailbox.name,
            address: mailbox.email,
        }
    }
}

/// A mail ready to be sent.
#[derive(Clone)]
pub struct Letter {
    /// The mail's id: the same whenever it is sent again. It makes the Message-ID and the file's name.
    pub id: Uuid,
    /// Which of the contract's mails, for the header `X-Enrolld-Kind`.
    pub kind: MailKind,
    /// The registration it is about, for the header `X-Enrolld-Registration`; without one the header is left out.
    pub registration_id: Option<RegistrationId>,
    /// Whom it goes to.
    pub to: Addressee,
    /// What it says.
    pub rendered: Rendered,
    /// When it was decided on; the same whenever it is sent again.
    pub date: DateTime<Utc>,
}

/// A letter as it travels.
pub(super) struct Encoded {
    pub(super) to: Address,
    pub(super) bytes: Vec<u8>,
}

impl Letter {
    /// Its Message-ID, with angle brackets.
    pub(super) fn message_id(&self, from: &Mailbox) -> String {
        format!("<{}@{}>", self.id, from.email.domain())
    }

    /// Encodes it as `multipart/alternative`. The bytes depend on the letter and on `from` alone, and are ASCII.
    pub(super) fn encode(&self, from: &Mailbox) -> Result<Encoded, SendError> {
        let invalid = |problem: &str| SendError::Invalid {
            problem: problem.to_owned(),
        };
        let to = self.to.address.clone();
        if !is_ascii_line(&to) {
            return Err(invalid(
                "the recipient's address is not ASCII, and SMTPUTF8 is not spoken",
            ));
        }
        let name = self
            .to
            .name
            .as_deref()
            .map(display_name)
            .filter(|name| !name.is_empty());
        let parts = MultiPart::alternative()
            .boundary(format!("part-{}", self.id.simple()))
            .singlepart(SinglePart::plain(self.rendered.text.clone()))
            .singlepart(SinglePart::html(self.rendered.html.clone()));
        let mut message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(name, to.clone()))
            .subject(single_line(&self.rendered.subject))
            .date(SystemTime::from(self.date))
            .message_id(Some(self.message_id(from)))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("X-Enrolld-Kind", self.kind.as_str()));
        if let Some(registration_id) = &self.registration_id {
            message = message.raw_header(header("X-Enrolld-Registration", registration_id.as_str()));
        }
        let message = message
            .multipart(parts)
            .map_err(|_| invalid("its headers do not make a message"))?;
        Ok(Encoded {
            to,
            bytes: message.formatted(),
        })
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn display_name(name: &str) -> String {
    single_line(name).chars().take(MAX_NAME_CHARS).collect()
}

/// Whether `address` can stand in an SMTP command as it is.
pub(super) fn is_ascii_line(address: &Address) -> bool {
    let text: &str = address.as_ref();
    text.chars().all(|c| c.is_ascii_graphic())
}
