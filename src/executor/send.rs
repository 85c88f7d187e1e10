//! Sends one mail: addresses it, fills it, renders it, and hands it to the mail server.

use enrolld_jobs::{
    effect::{Mail, MailKind},
    event::Event,
    job::{Failure, Outcome},
    notification::{self, Delivery, Mailboxes},
    ports::{Directory as _, Unavailable},
    registration::Registration,
    values::{Locale, RegistrationId},
};
use lettre::message::Mailbox;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Executor, Trouble,
    run::{Ran, trace_of, troubled},
};
use crate::{
    mail::{Addressee, Letter, SendError, render},
    metrics, services,
    spans::{Kind, Span},
    store::{
        entities::{job, mail},
        error::StoreError,
        milliseconds, moment,
        transition::{MailWrite, Transition},
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
    record: MailWrite,
}

impl Executor {
    /// Sends the mail of the job's id, made at the registration's step `step`.
    pub(super) async fn send_mail(&self, row: &job::Model, step: u32) -> Ran {
        let prepared = match id_of(row) {
            Ok(id) => Box::pin(self.prepare(id, step)).await,
            Err(ended) => Err(ended),
        };
        match prepared {
            Ok(ready) => self.hand_over(row, ready).await,
            Err(Stop::Ended(ran)) => *ran,
            Err(Stop::Trouble(trouble)) => troubled(&trouble).into(),
        }
    }

    /// Why the mail would not be sent now, if it would not.
    pub(super) async fn why_not_sent(&self, id: Uuid, step: u32) -> Result<Option<String>, Trouble> {
        match self.prepare(id, step).await {
            Ok(_) => Ok(None),
            Err(Stop::Trouble(trouble)) => Err(trouble),
            Err(Stop::Ended(ran)) => Ok(Some(match ran.outcome {
                Outcome::Done(why) => why.unwrap_or_default(),
                Outcome::Snooze(_, why) => why,
                Outcome::Retry(failure) | Outcome::Fail(failure) | Outcome::Unavailable(failure) => failure.message,
            })),
        }
    }

    /// Addresses, fills and renders the mail.
    async fn prepare(&self, id: Uuid, step: u32) -> Result<Ready, Stop> {
        let parts = &self.0;
        let (record, mail, registration) = self.load_mail(id).await?;
        let reader = match notification::reader(&mail, registration.as_ref()) {
            Some(account) => parts.directory.account(&account).await?,
            None => None,
        };
        let mailboxes = Mailboxes {
            agents: parts.agents.is_some(),
            supervisor: parts.supervisor.is_some(),
            ops: parts.ops.is_some(),
        };
        let delivery = notification::deliver(&mail, step, registration.as_ref(), reader.as_ref(), mailboxes);
        let to_mailbox = |mailbox: &Option<Mailbox>| {
            let mailbox = mailbox
                .clone()
                .ok_or_else(|| skipped(id, mail.kind, "the mailbox is not set"))?;
            Ok::<_, Stop>((
                Ok(Addressee::from(mailbox.clone())),
                mailbox.email.to_string(),
                Locale::En,
            ))
        };
        let (to, address, locale) = match delivery {
            Delivery::Person { name, address, locale } => {
                if !parts.store.suppressed(std::slice::from_ref(&address)).await?.is_empty() {
                    return Err(suppressed(id, mail.kind, step));
                }
                (Addressee::person(name, &address), address.expose().to_owned(), locale)
            }
            Delivery::Agents => to_mailbox(&parts.agents)?,
            Delivery::Supervisor => to_mailbox(&parts.supervisor)?,
            Delivery::Ops => to_mailbox(&parts.ops)?,
            Delivery::Skip(why) => return Err(skipped(id, mail.kind, why)),
        };
        let context = parts
            .letter_context(&mail, registration.as_ref(), reader.as_ref(), locale)
            .await?;
        if mail.kind == MailKind::Verification && context.link.is_none() {
            return Err(failed(
                "link_key_gone",
                "the key of the link is not in security.link_key any more",
            ));
        }
        let rendered = render(mail.kind, locale, &context).map_err(|error| failed("render", &error.to_string()))?;
        let record_when_sent = MailWrite {
            address: Some(address),
            locale: Some(locale.as_str()),
            subject: Some(rendered.subject.clone()),
            ..untouched(id)
        };
        let to = match to {
            Ok(to) => to,
            Err(error) => return Err(Stop::Ended(Box::new(refused(&error, record_when_sent)))),
        };
        let letter = Letter {
            id,
            kind: mail.kind,
            registration_id: registration.map(|registration| registration.id),
            to,
            rendered,
            // Not the time of sending: a mail that is sent again is the same mail.
            date: moment(record.created_ms),
        };
        Ok(Ready {
            letter,
            record: record_when_sent,
        })
    }

    /// The mail's record, what it is to say, and the registration that it belongs to, if any.
    async fn load_mail(&self, id: Uuid) -> Result<(mail::Model, Mail, Option<Registration>), Stop> {
        let unreadable = |what| failed("unreadable", what);
        let store = &self.0.store;
        let record = store
            .mail(id)
            .await?
            .ok_or_else(|| unreadable("the mail's record is gone"))?;
        let mail =
            serde_json::from_str(&record.recipient).map_err(|_| unreadable("the mail's record cannot be read"))?;
        let Some(id) = &record.registration_id else {
            return Ok((record, mail, None));
        };
        let id = RegistrationId::new(id.as_str()).map_err(|_| unreadable("the mail's registration has no valid id"))?;
        let registration = store
            .registration(&id)
            .await?
            .ok_or_else(|| unreadable("the mail's registration is gone"))?;
        Ok((record, mail, Some(registration)))
    }

    /// Hands the letter to the mail server, and says what became of it.
    async fn hand_over(&self, row: &job::Model, Ready { letter, record }: Ready) -> Ran {
        // Whoever was silent for long may have been taken for dead, and the mail be on its way from elsewhere.
        match self.is_still_ours(row).await {
            Ok(true) => {}
            Ok(false) => return Outcome::Done(Some("taken over by another daemon".to_owned())).into(),
            Err(trouble) => return troubled(&trouble).into(),
        }
        let (asked, begun) = (Instant::now(), self.now());
        let sent = self.0.mailer.send(&letter).await;
        let parent = trace_of(row);
        self.0.spans.record(|| Span {
            parent,
            own: parent.part("mail"),
            name: "mail".into(),
            kind: Kind::Client,
            begun,
            ended: self.now(),
            attributes: vec![
                ("enrolld.mail.id", letter.id.to_string()),
                ("enrolld.mail.kind", letter.kind.as_str().to_owned()),
            ],
            error: sent.is_err().then(|| result_of(sent.as_ref()).to_owned()),
        });
        let has_answered = !matches!(sent, Err(SendError::Unavailable { .. }));
        self.0.services.called(services::SMTP, has_answered);
        metrics::mail_server_asked(has_answered, asked.elapsed());
        metrics::mail(letter.kind, result_of(sent.as_ref()));
        if let Err(error) = sent {
            return refused(&error, record);
        }
        tracing::info!(
            mail = %letter.id,
            kind = letter.kind.as_str(),
            registration = letter.registration_id.as_ref().map(tracing::field::display),
            "mail sent"
        );
        let mail = MailWrite {
            state: "sent",
            sent_ms: Some(milliseconds(self.now())),
            ..record
        };
        Ran {
            outcome: Outcome::Done(None),
            besides: mail_alone(mail),
            event: None,
        }
    }

    async fn is_still_ours(&self, row: &job::Model) -> Result<bool, Trouble> {
        let Ok(id) = Uuid::parse_str(&row.id) else {
            return Ok(false);
        };
        let stored = self.0.store.job(id).await?;
        Ok(stored.is_some_and(|stored| {
            stored.run_no == row.run_no
                && stored.state == "running"
                && stored.daemon_id.as_deref() == Some(self.0.daemon_id.as_str())
        }))
    }
}

fn id_of(row: &job::Model) -> Result<Uuid, Stop> {
    Uuid::parse_str(&row.id).map_err(|_| failed("unreadable", "the job's id is none"))
}

fn failed(class: &'static str, message: &str) -> Stop {
    Stop::Ended(Box::new(Outcome::Fail(Failure::new(class, message)).into()))
}

/// Not sending it any more is as it should be.
fn skipped(id: Uuid, kind: MailKind, why: &str) -> Stop {
    Stop::Ended(Box::new(skipping(id, kind, why)))
}

fn skipping(id: Uuid, kind: MailKind, why: &str) -> Ran {
    metrics::mail(kind, "skipped");
    let mail = MailWrite {
        state: "skipped",
        note: Some(why.to_owned()),
        ..untouched(id)
    };
    Ran {
        besides: mail_alone(mail),
        ..Outcome::Done(Some(why.to_owned())).into()
    }
}

/// Mail to the address comes back, so nothing more is sent to it. Whoever waits for a verification mail would wait in vain (D22).
fn suppressed(id: Uuid, kind: MailKind, step: u32) -> Stop {
    let why = "mail to the address came back; after `enrolld mails unsuppress` it is sent again";
    let ran = skipping(id, kind, why);
    let event = (kind == MailKind::Verification).then_some(Event::Undeliverable { step });
    Stop::Ended(Box::new(Ran { event, ..ran }))
}

/// The name of what became of a mail, for those who count.
const fn result_of(sent: Result<&(), &SendError>) -> &'static str {
    match sent {
        Ok(()) => "sent",
        Err(SendError::Unavailable { .. }) => "postponed",
        Err(SendError::Refused { .. }) => "refused",
        Err(SendError::Invalid { .. }) => "invalid",
    }
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
        besides: mail_alone(mail),
        event: None,
    }
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

/// The change of a mail's record.
fn mail_alone(mail: MailWrite) -> Transition {
    Transition {
        mail: Some(mail),
        ..Transition::default()
    }
}
