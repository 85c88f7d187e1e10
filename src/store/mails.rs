//! Mail records.

use chrono::{DateTime, TimeDelta, Utc};
use enrolld_jobs::{effect::MailKind, job::JobKind};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    Store,
    connection::Transaction,
    entities::{intervention, job, mail},
    error::StoreError,
    interventions::{Action, Order},
    milliseconds, moment,
    statements::ARMED,
};

/// How often one mail is sent again within a day, at most, and how long after the last time: nobody's mailbox is flooded by a script.
const RESENDS_A_DAY: usize = 5;
const RESEND_COOLDOWN: TimeDelta = TimeDelta::seconds(60);

/// What has become of a mail that was to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resending {
    /// Its job is due.
    Queued,
    /// Its job is about to send it anyhow.
    Busy,
    /// It was sent again too often, or a moment ago; possible from then on.
    TooSoon(DateTime<Utc>),
}

/// Which mails are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this registration.
    pub registration_id: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// At most so many, newest first.
    pub limit: u64,
}

impl Store {
    /// The record of a mail.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn mail(&self, id: Uuid) -> Result<Option<mail::Model>, StoreError> {
        Ok(mail::Entity::find_by_id(id.to_string()).one(&self.reader).await?)
    }

    /// Mail records, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn mails(&self, filter: &Filter) -> Result<Vec<mail::Model>, StoreError> {
        let mut query = mail::Entity::find();
        if let Some(registration) = &filter.registration_id {
            query = query.filter(mail::Column::RegistrationId.eq(registration.as_str()));
        }
        if let Some(state) = &filter.state {
            query = query.filter(mail::Column::State.eq(state.as_str()));
        }
        let query = query
            .order_by_desc(mail::Column::CreatedMs)
            .order_by_desc(mail::Column::Id);
        Ok(query.limit(filter.limit).all(&self.reader).await?)
    }

    /// Has the job of a mail send it again, and who wants that on record. The job is made anew where it was deleted meanwhile.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn resend(&self, mail: &mail::Model, order: &Order) -> Result<Resending, StoreError> {
        let id = Uuid::parse_str(&mail.id).map_err(|_| StoreError::refused("a mail's id is none"))?;
        let transaction = self.writer.begin().await?;
        let job = job::Entity::find_by_id(mail.id.as_str()).lock_exclusive();
        let job = job.one(&transaction).await?;
        let ended = ["succeeded", "dead", "cancelled", "discarded"];
        if job.is_some_and(|job| !ended.contains(&job.state.as_str())) {
            return Ok(Resending::Busy);
        }
        if let Some(next) = next_resend(&transaction, mail, order.at).await? {
            return Ok(Resending::TooSoon(next));
        }
        let kind = MailKind::from_name(&mail.kind).map_or(JobKind::Notification, MailKind::job);
        let arm = format!(
            "INSERT INTO jobs (id, kind, registration_id, step, step_bound, state, run_no, attempts, failures, crashes, \
             run_at_ms, created_ms) VALUES ($1, $2, $3, $4, false, 'scheduled', 0, 0, 0, 0, $5, $6) \
             ON CONFLICT (id) DO UPDATE SET {ARMED}, requeues = jobs.requeues + 1, requeue_note = $7"
        );
        let values = [
            mail.id.as_str().into(),
            kind.as_str().into(),
            mail.registration_id.clone().into(),
            mail.step.into(),
            milliseconds(order.at).into(),
            mail.created_ms.into(),
            order.note().into(),
        ];
        transaction.change(&arm, values).await?;
        let waits = "UPDATE mails SET state = 'waiting', note = NULL WHERE id = $1";
        if transaction.change(waits, [mail.id.as_str().into()]).await? == 0 {
            return Err(StoreError::refused("the mail was deleted meanwhile"));
        }
        self.record(&transaction, &[id], Action::Resend, order).await?;
        transaction.commit().await?;
        Ok(Resending::Queued)
    }
}

/// When the mail may be sent again, if not at `now`.
async fn next_resend(
    transaction: &Transaction,
    mail: &mail::Model,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let day = TimeDelta::days(1);
    let query = intervention::Entity::find()
        .filter(intervention::Column::JobId.eq(mail.id.as_str()))
        .filter(intervention::Column::Action.eq(Action::Resend.as_str()))
        .filter(intervention::Column::AtMs.gt(milliseconds(now - day)))
        .order_by_desc(intervention::Column::AtMs)
        .limit(RESENDS_A_DAY as u64);
    let today = query.all(transaction).await?;
    let cooled = today.first().map(|last| moment(last.at_ms) + RESEND_COOLDOWN);
    // The fifth last of them leaves the day first.
    let within = today.get(RESENDS_A_DAY - 1).map(|first| moment(first.at_ms) + day);
    Ok(cooled.into_iter().chain(within).filter(|next| now < *next).max())
}
