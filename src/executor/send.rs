//! Sends one mail: addresses it, fills it, renders it, and hands it to the mail server.

use enrolld_jobs::{
    effect::{Mail, MailKind, Recipient},
    job::{Failure, Outcome},
    notification::{self, Delivery},
    ports::{Directory as _, Unavailable},
    registration::Registration,
    values::{EmailAddress, RegistrationId},
};
use lettre::message::Mailbox;
use uuid::Uuid;

use super::{
    Executor, Trouble,
    run::{Ran, troubled},
};
use crate::{
    mail::{Addressee, Letter, SendError, render},
    store::{
        entities::{job, mail},
        error::StoreError,
        milliseconds, moment,
        transition::MailWrite,
    },
};

/// Why a mail does not get as far as the server.
enum Stop {
    /// The run ends with this.
    Ended(Box<Ran>),
    /// Something that it takes is away.
    Trouble(Trouble),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<Unavailable> for Stop {
    fn from(error: Unavailable) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// A mail that is ready to go, and its record if all goes well.
struct Ready {
    letter: Letter,
    address: EmailAddress,
    record: MailWrite,
}

impl Executor {
    /// Sends the mail of the job's id, made at the registration's step `step`.
    pub(super) async fn send_mail(&self, row: &job::Model, step: u32) -> Ran {
        match self.prepare(row, step).await {
            Ok(ready) => self.hand_over(ready).await,
            Err(Stop::Ended(ran)) => *ran,
            Err(Stop::Trouble(trouble)) => troubled(&trouble).into(),
        }
    }

    /// Addresses, fills and renders the mail.
    async fn prepare(&self, row: &job::Model, step: u32) -> Result<Ready, Stop> {
        let parts = &self.0;
        let (record, mail, registration) = self.load_mail(row).await?;
        let id = id_of(row)?;
        let reader = match notification::reader(&mail, &registration) {
            Some(account) => parts.directory.account(&account).await?,
            None => None,
        };
        let agents = parts.agents.as_ref().and_then(address_of);
        let delivery = notification::deliver(&mail, step, &registration, reader.as_ref(), agents.as_ref());
        let (name, address, locale) = match delivery {
            Delivery::Send { name, address, locale } => (name, address, locale),
            Delivery::Skip(why) => return Err(skipped(id, why)),
        };
        let context = parts
            .letter_context(&mail, &registration, reader.as_ref(), locale)
            .await?;
        if mail.kind == MailKind::Verification && context.link.is_none() {
            return Err(failed(
                "link_key_gone",
                "the key of the link is not in security.link_key any more",
            ));
        }
        let rendered = render(mail.kind, locale, &context).map_err(|error| failed("render", &error.to_string()))?;
        let to = match (&mail.to, &parts.agents) {
            (Recipient::Agents, Some(mailbox)) => Addressee::from(mailbox.clone()),
            (Recipient::Agents | Recipient::Applicant | Recipient::Account(_), _) => {
                Addressee::person(name.unwrap_or_default(), &address)
                    .map_err(|error| Stop::Ended(Box::new(refused(&error, untouched(id)))))?
            }
        };
        let record_when_sent = MailWrite {
            address: Some(address.expose().to_owned()),
            locale: Some(locale.as_str()),
            subject: Some(rendered.subject.clone()),
            ..untouched(id)
        };
        let letter = Letter {
            id,
            kind: mail.kind,
            registration_id: registration.id,
            to,
            rendered,
            // Not the time of sending: a mail that is sent again is the same mail.
            date: moment(record.created_ms),
        };
        Ok(Ready {
            letter,
            address,
            record: record_when_sent,
        })
    }

    async fn load_mail(&self, row: &job::Model) -> Result<(mail::Model, Mail, Registration), Stop> {
        let unreadable = |what| failed("unreadable", what);
        let store = &self.0.store;
        let record = store
            .mail(id_of(row)?)
            .await?
            .ok_or_else(|| unreadable("the mail's record is gone"))?;
        let mail =
            serde_json::from_str(&record.recipient).map_err(|_| unreadable("the mail's record cannot be read"))?;
        let id = RegistrationId::new(row.registration_id.as_str());
        let id = id.map_err(|_| unreadable("the mail's registration has no valid id"))?;
        let registration = store
            .registration(&id)
            .await?
            .ok_or_else(|| unreadable("the mail's registration is gone"))?;
        Ok((record, mail, registration))
    }

    /// Hands the letter to the mail server, and says what became of it.
    async fn hand_over(
        &self,
        Ready {
            letter,
            address,
            record,
        }: Ready,
    ) -> Ran {
        if let Err(error) = self.0.mailer.send(&letter).await {
            return refused(&error, record);
        }
        tracing::info!(
            mail = %letter.id,
            kind = letter.kind.as_str(),
            registration = %letter.registration_id,
            to = %address,
            "mail sent"
        );
        let mail = MailWrite {
            state: "sent",
            sent_ms: Some(milliseconds(self.now())),
            ..record
        };
        Ran {
            outcome: Outcome::Done(None),
            mail: Some(mail),
        }
    }
}

fn id_of(row: &job::Model) -> Result<Uuid, Stop> {
    Uuid::parse_str(&row.id).map_err(|_| failed("unreadable", "the job's id is none"))
}

fn failed(class: &'static str, message: &str) -> Stop {
    Stop::Ended(Box::new(Outcome::Fail(Failure::new(class, message)).into()))
}

/// Not sending it any more is as it should be.
fn skipped(id: Uuid, why: &str) -> Stop {
    let mail = MailWrite {
        state: "skipped",
        note: Some(why.to_owned()),
        ..untouched(id)
    };
    Stop::Ended(Box::new(Ran {
        outcome: Outcome::Done(Some(why.to_owned())),
        mail: Some(mail),
    }))
}

/// The server, or its absence, says no.
fn refused(error: &SendError, record: MailWrite) -> Ran {
    let message = error.to_string();
    let mail = MailWrite {
        state: "failed",
        note: Some(message.clone()),
        ..record
    };
    let outcome = match error {
        SendError::Unavailable { .. } => Outcome::Unavailable(Failure::new("smtp", message)),
        SendError::Refused { permanent: false, .. } => Outcome::Retry(Failure::new("smtp_refused", message)),
        SendError::Refused { permanent: true, .. } => Outcome::Fail(Failure::new("smtp_refused", message)),
        SendError::Invalid { .. } => Outcome::Fail(Failure::new("mail_invalid", message)),
    };
    Ran {
        outcome,
        mail: Some(mail),
    }
}

fn address_of(mailbox: &Mailbox) -> Option<EmailAddress> {
    EmailAddress::new(AsRef::<str>::as_ref(&mailbox.email)).ok()
}

/// The record of a mail that waits.
pub(super) const fn untouched(id: Uuid) -> MailWrite {
    MailWrite {
        id,
        state: "waiting",
        address: None,
        locale: None,
        subject: None,
        note: None,
        sent_ms: None,
    }
}
