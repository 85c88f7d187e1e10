//! People have a mail sent again: the same mail, with its Message-ID and its date, to where it belongs now.

use enrolld_jobs::{effect::MailKind, registration::State, values::RegistrationId};
use uuid::Uuid;

use super::{Executor, Trouble};
use crate::store::{entities::mail, interventions::Order, mails::Resending};

/// What has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resent {
    /// Its job sends it again, within a second.
    Queued,
    /// It is not sent; says why.
    Left(String),
}

impl Executor {
    /// Has the mail `id` sent again, if it still makes sense. Its link, if it has one, is the same as before; one that is void by now
    /// is not sent.
    ///
    /// # Errors
    /// When it cannot be done now.
    pub async fn resend(&self, id: Uuid, order: &Order) -> Result<Resent, Trouble> {
        let Some(record) = self.0.store.mail(id).await? else {
            return Ok(Resent::Left(
                "there is no such mail; `enrolld mails list` shows those there are".to_owned(),
            ));
        };
        if record.state == "waiting" {
            return Ok(Resent::Left("it waits to be sent already".to_owned()));
        }
        if let Some(why) = self.void_link(&record).await? {
            return Ok(Resent::Left(why));
        }
        let step = u32::try_from(record.step).unwrap_or_default();
        if let Some(why) = Box::pin(self.why_not_sent(id, step)).await? {
            return Ok(Resent::Left(why));
        }
        Ok(match self.0.store.resend(&record, order).await? {
            Resending::Queued => Resent::Queued,
            Resending::Busy => Resent::Left("it waits to be sent already".to_owned()),
            Resending::TooSoon(next) => Resent::Left(format!(
                "it was sent again too often, or a moment ago; possible from {} on",
                next.format("%Y-%m-%d %H:%M:%S UTC")
            )),
        })
    }

    /// Why the link of a verification mail opens nothing any more, if it is one. One that was used or replaced is of an earlier step.
    async fn void_link(&self, record: &mail::Model) -> Result<Option<String>, Trouble> {
        let id = record.registration_id.as_deref().map(RegistrationId::new);
        let Some(Ok(id)) = id.filter(|_| record.kind == MailKind::Verification.as_str()) else {
            return Ok(None);
        };
        let found = self.0.store.registration(&id).await?;
        Ok(found.and_then(|registration| match &registration.state {
            State::AwaitingEmail { link } if link.valid_until <= self.now() => Some(format!(
                "its link was valid until {}; the applicant asks for another (registration.verification_resend_requested)",
                link.valid_until.format("%Y-%m-%d %H:%M:%S UTC")
            )),
            _ => None,
        }))
    }
}
