//! Mails that came back: finds what they were, and records it (D2, D22).

use enrolld_jobs::{
    cloud_event::{BounceKind, MailBounced},
    effect::{Effect, Mail, Recipient, event_effect_id},
    event::{Aside, Bounce, Event},
    refusal::{Reason, Refusal},
    trace::Trace,
    values::{EmailAddress, RegistrationId},
};
use uuid::Uuid;

use super::{Cause, Executor, Handled, Trouble, write::Origin};
use crate::store::{
    entities::mail,
    transition::{InboxWrite, Transition, Verdict},
};

impl Executor {
    /// Records that the mail with this Message-ID came back.
    ///
    /// # Errors
    /// When it cannot be recorded now, or the database refuses it.
    pub async fn bounced(
        &self,
        message_id: &str,
        bounced: &MailBounced,
        inbox: InboxWrite,
        trace: Trace,
    ) -> Result<Handled, Trouble> {
        let Some((id, row, mail)) = self.mail_of(message_id).await? else {
            let refusal = Refusal::new(Reason::InvalidData, "mail_unknown").with("message_id", message_id);
            return Ok(Handled::Refused(refusal));
        };
        let bounce = Bounce {
            mail: id,
            kind: mail.kind,
            to: mail.to,
            step: u32::try_from(row.step).unwrap_or_default(),
            address: row
                .address
                .as_deref()
                .and_then(|address| EmailAddress::new(address).ok()),
            severity: bounced.kind,
            detail: bounced.detail.clone(),
        };
        match row.registration_id.map(RegistrationId::new) {
            Some(Ok(registration)) => {
                let event = Event::Aside(Aside::MailBounced(bounce));
                let cause = Cause::Inbox { inbox, trace };
                Ok(self.apply(&registration, &event, &cause).await?.into())
            }
            Some(Err(_)) | None => self.bounced_alone(bounce, inbox, trace).await,
        }
    }

    /// A mail that belongs to no registration came back.
    async fn bounced_alone(&self, bounce: Bounce, inbox: InboxWrite, trace: Trace) -> Result<Handled, Trouble> {
        let mut effects = Vec::new();
        if bounce.severity == BounceKind::Hard {
            effects.extend(bounce.address.map(Effect::Suppress));
            if let Recipient::Account(account) = bounce.to {
                effects.push(Effect::RecheckDa(account));
            }
        }
        let seq = inbox.seq;
        let mut transition = Transition {
            inbox: Some(inbox),
            ..Transition::default()
        };
        for (index, effect) in effects.iter().enumerate() {
            let id = event_effect_id(seq, index);
            self.0
                .write_effect(&mut transition, id, effect, &Origin::alone(trace), self.now());
        }
        let queued = self.0.dispatch.admit(&mut transition);
        match self.0.store.commit(transition).await? {
            Verdict::Applied => {
                self.0.dispatch.send(queued);
                Ok(Handled::Done)
            }
            Verdict::Stale(guard) => Ok(Handled::Dropped(guard)),
        }
    }

    /// The mail that went out with this Message-ID, with or without its angle brackets.
    async fn mail_of(&self, message_id: &str) -> Result<Option<(Uuid, mail::Model, Mail)>, Trouble> {
        let bare = message_id.trim().trim_start_matches('<').trim_end_matches('>');
        let Some(id) = bare.split('@').next().and_then(|id| Uuid::parse_str(id).ok()) else {
            return Ok(None);
        };
        let row = self.0.store.mail(id).await?;
        Ok(row.and_then(|row| {
            let mail = serde_json::from_str(&row.recipient).ok()?;
            Some((id, row, mail))
        }))
    }
}
