//! What the database holds of a registration's person, taken out of it (D24).

use chrono::{DateTime, Utc};
use enrolld_jobs::values::RegistrationId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{
    Store,
    entities::{inbox, mail, registration},
    error::StoreError,
    milliseconds,
};
use crate::links::digest;

/// Rows that an erasure has changed or removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Lines of the timeline that are left without text, under the pseudonym.
    pub timeline: u64,
    /// Jobs without registration, error and note.
    pub jobs: u64,
    /// Mail records removed.
    pub mails: u64,
    /// Events of the inbox without their body.
    pub events: u64,
    /// Refused events removed.
    pub refused: u64,
}

/// What has begun, and would leave traces after an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// A mail is just being sent.
    pub mail: bool,
    /// Upstream is still to be told of a change, or of a refusal.
    pub news: bool,
}

/// What every event out about a registration has in it, and no other.
fn notice_about(id: &str) -> String {
    format!("\"subject\":\"{id}\"")
}

const UNTOLD_NOTICE: &str = "SELECT 1 FROM notices WHERE replace(body, $1, '') <> body LIMIT 1";
const UNTOLD_REFUSAL: &str =
    "SELECT 1 FROM refused WHERE subject = $1 AND announced_ms IS NULL AND type LIKE 'registration.%' LIMIT 1";
const RUNNING_MAIL: &str = "SELECT 1 FROM jobs WHERE registration_id = $1 AND kind IN ('notification', 'email_verification') \
     AND state || '' = 'running' LIMIT 1";
const NOTICES: &str = "DELETE FROM notices WHERE replace(body, $1, '') <> body";

/// What becomes of each table, in this order. `$1` is the registration, `$2` its pseudonym, `$3` the time.
///
/// The timeline keeps event and time; its actors may be people. Access that is there keeps its account and organization, since the
/// targets have it; what was taken back does not. Jobs of access and terms go on, and tell no registration any more. Bounces are about mails: their
/// subject is a Message-ID, which begins with the mail's id.
const BOUNCES: &str = "UPDATE inbox SET body = '{}' WHERE type = 'mail.bounced' \
     AND lower(substr(ltrim(subject, '<'), 1, 36)) IN (SELECT id FROM mails WHERE registration_id = $1)";
const REFUSED_BOUNCES: &str = "DELETE FROM refused WHERE type = 'mail.bounced' \
     AND lower(substr(ltrim(subject, '<'), 1, 36)) IN (SELECT id FROM mails WHERE registration_id = $1)";
const TIMELINE: &str = "UPDATE timeline SET registration_id = $2, detail = '{}', \
     actor = CASE WHEN actor = 'enrolld' THEN actor ELSE $2 END WHERE registration_id = $1";
const ATTEMPTS: &str = "DELETE FROM attempts WHERE job_id IN (SELECT id FROM jobs WHERE registration_id = $1)";
const INTERVENTIONS: &str =
    "DELETE FROM interventions WHERE job_id IN (SELECT id FROM jobs WHERE registration_id = $1)";
const JOBS: &str = "UPDATE jobs SET registration_id = NULL, error = NULL, note = NULL, requeue_note = NULL, trace = NULL \
     WHERE registration_id = $1";
const MAIL_JOBS: &str = "UPDATE jobs SET state = 'cancelled', finished_ms = $2 WHERE registration_id = $1 \
     AND kind IN ('notification', 'email_verification') AND state || '' IN ('scheduled', 'queued', 'retrying')";
const MAILS: &str = "DELETE FROM mails WHERE registration_id = $1";
const LINKS: &str = "DELETE FROM links WHERE registration_id = $1";
const ENDED_GRANTS: &str =
    "UPDATE grants SET account_id = $2, ended_by = NULL WHERE registration_id = $1 AND ended_ms IS NOT NULL";
const GRANTS: &str = "UPDATE grants SET registration_id = NULL WHERE registration_id = $1";
const ENDED_APPOINTMENTS: &str =
    "UPDATE appointments SET account_id = $2 WHERE registration_id = $1 AND ended_ms IS NOT NULL";
const APPOINTMENTS: &str = "UPDATE appointments SET registration_id = NULL WHERE registration_id = $1";
const EVENTS: &str = "UPDATE inbox SET subject = $2, body = '{}' WHERE subject = $1 AND type LIKE 'registration.%' \
     AND state <> 'waiting'";
const REFUSED: &str = "DELETE FROM refused WHERE subject = $1 AND type LIKE 'registration.%'";
const REGISTRATION: &str = "DELETE FROM registrations WHERE id = $1";
const TOMBSTONE: &str = "INSERT INTO erased (id_digest, erased_ms) VALUES ($1, $2)";

impl Store {
    /// The ids of the registration's mails.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn mail_ids(&self, id: &RegistrationId) -> Result<Vec<Uuid>, StoreError> {
        let ids: Vec<String> = mail::Entity::find()
            .select_only()
            .column(mail::Column::Id)
            .filter(mail::Column::RegistrationId.eq(id.as_str()))
            .into_tuple()
            .all(&self.reader)
            .await?;
        Ok(ids.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect())
    }

    /// Whether a registration of this id was erased: it is not given twice.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_erased(&self, id: &RegistrationId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM erased WHERE id_digest = $1";
        Ok(self.reader.row(sql, [digest(id.as_str()).into()]).await?.is_some())
    }

    /// Whether an event about the registration waits to be applied.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_event_waiting(&self, id: &RegistrationId) -> Result<bool, StoreError> {
        let query = inbox::Entity::find()
            .filter(inbox::Column::Subject.eq(id.as_str()))
            .filter(inbox::Column::State.eq("waiting"));
        Ok(query.one(&self.reader).await?.is_some())
    }

    /// Cancels the registration's mails that have not begun, and tells what is under way about it all the same.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn under_way(&self, id: &RegistrationId, now: DateTime<Utc>) -> Result<UnderWay, StoreError> {
        let id = id.as_str();
        self.writer
            .change(MAIL_JOBS, [id.into(), milliseconds(now).into()])
            .await?;
        let news = self
            .writer
            .row(UNTOLD_NOTICE, [notice_about(id).into()])
            .await?
            .is_some()
            || self.writer.row(UNTOLD_REFUSAL, [id.into()]).await?.is_some();
        let mail = self.writer.row(RUNNING_MAIL, [id.into()]).await?.is_some();
        Ok(UnderWay { mail, news })
    }

    /// Takes what is kept of the registration's person out of the database, all of it or nothing: what must be kept stands under
    /// `pseudonym` from now on. `None` if the registration has another version than `version` by now, or is gone.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn erase(
        &self,
        id: &RegistrationId,
        version: u64,
        pseudonym: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Erased>, StoreError> {
        let transaction = self.writer.begin().await?;
        let stored = registration::Entity::find_by_id(id.as_str())
            .lock_exclusive()
            .one(&transaction)
            .await?;
        if stored.is_none_or(|row| row.version != version.cast_signed()) {
            return Ok(None);
        }
        let run = async |sql: &str, second: Option<sea_orm::Value>| {
            let values = std::iter::once(id.as_str().into()).chain(second);
            transaction.change(sql, values).await
        };
        let pseudonym = || Some(pseudonym.into());
        let mut erased = Erased {
            events: run(BOUNCES, None).await?,
            refused: run(REFUSED_BOUNCES, None).await?,
            timeline: run(TIMELINE, pseudonym()).await?,
            ..Erased::default()
        };
        run(MAIL_JOBS, Some(milliseconds(now).into())).await?;
        run(ATTEMPTS, None).await?;
        run(INTERVENTIONS, None).await?;
        erased.jobs = run(JOBS, None).await?;
        erased.mails = run(MAILS, None).await?;
        run(LINKS, None).await?;
        run(ENDED_GRANTS, pseudonym()).await?;
        run(GRANTS, None).await?;
        run(ENDED_APPOINTMENTS, pseudonym()).await?;
        run(APPOINTMENTS, None).await?;
        erased.events += run(EVENTS, pseudonym()).await?;
        erased.refused += run(REFUSED, None).await?;
        run(REGISTRATION, None).await?;
        let tombstone = [digest(id.as_str()).into(), milliseconds(now).into()];
        transaction.change(TOMBSTONE, tombstone).await?;
        // What has not gone out yet; there is little of it at any time.
        transaction.change(NOTICES, [notice_about(id.as_str()).into()]).await?;
        transaction.commit().await?;
        Ok(Some(erased))
    }
}
