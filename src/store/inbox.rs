//! Events taken in, and events refused.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _},
};

use super::{
    Store,
    connection::Transaction,
    entities::{inbox, lease, refused},
    error::StoreError,
    leases::Lease,
    milliseconds,
};

/// An event to be kept until it has been applied.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The stream's entry; the same entry is never kept twice.
    pub entry: String,
    /// First half of the idempotency key.
    pub source: String,
    /// Second half of the idempotency key.
    pub event_id: String,
    /// What it is about.
    pub subject: String,
    /// Its type.
    pub kind: String,
    /// The event as JSON, without the token of a link (D7).
    pub body: String,
}

/// An event to be kept as refused.
#[derive(Debug, Clone)]
pub struct NewRefused {
    /// The stream's entry.
    pub entry: String,
    /// Its type, if it could be read.
    pub kind: Option<String>,
    /// Its subject, if it could be read.
    pub subject: Option<String>,
    /// The original bytes, without the token of a link (D7).
    pub event: Vec<u8>,
    /// The reason's name.
    pub reason: &'static str,
    /// The detail as JSON.
    pub detail: String,
}

impl Store {
    /// Keeps what was read from the stream, all of it or nothing; only under the lease. Afterwards the entries may be
    /// acknowledged. Entries that are kept already are left as they are.
    ///
    /// # Errors
    /// When the database cannot be asked or the lease has another holder.
    pub async fn take_in(
        &self,
        lease: &Lease,
        events: &[NewEvent],
        refused: &[NewRefused],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let transaction = self.writer.begin().await?;
        let held = lease::Entity::find_by_id(lease.name).one(&transaction).await?;
        if held.is_none_or(|held| held.epoch != lease.epoch) {
            return Err(StoreError::Conflict(
                "the lease of the intake has another holder".to_owned(),
            ));
        }
        for event in events {
            let sql = "INSERT INTO inbox (entry, source, event_id, subject, type, body, state, crashes, received_ms) \
                       VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7) ON CONFLICT (entry, source, event_id) DO NOTHING";
            let values = [
                event.entry.as_str().into(),
                event.source.as_str().into(),
                event.event_id.as_str().into(),
                event.subject.as_str().into(),
                event.kind.as_str().into(),
                event.body.as_str().into(),
                milliseconds(now).into(),
            ];
            transaction.change(sql, values).await?;
        }
        for event in refused {
            insert_refused(&transaction, event, now).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Events that wait to be applied, in the order in which they came, after number `after`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn waiting_events(&self, after: i64, limit: u64) -> Result<Vec<inbox::Model>, StoreError> {
        let query = inbox::Entity::find()
            // Not as a parameter: the planners must see that the partial index of waiting events holds them.
            .filter(Expr::cust("state = 'waiting'"))
            .filter(inbox::Column::Seq.gt(after))
            .order_by_asc(inbox::Column::Seq);
        Ok(query.limit(limit).all(&self.writer).await?)
    }

    /// What has become of the event of this entry and key: `waiting`, `applied`, `repeated` or `refused`; `None` until it is
    /// taken in.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn event_state(&self, entry: &str, source: &str, event_id: &str) -> Result<Option<String>, StoreError> {
        let query = inbox::Entity::find()
            .select_only()
            .column(inbox::Column::State)
            .filter(inbox::Column::Entry.eq(entry))
            .filter(inbox::Column::Source.eq(source))
            .filter(inbox::Column::EventId.eq(event_id));
        Ok(query.into_tuple::<String>().one(&self.reader).await?)
    }

    /// Whether an event with this key has been applied.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_applied(&self, source: &str, event_id: &str) -> Result<bool, StoreError> {
        let query = inbox::Entity::find()
            .filter(inbox::Column::Source.eq(source))
            .filter(inbox::Column::EventId.eq(event_id))
            .filter(inbox::Column::State.eq("applied"));
        Ok(query.one(&self.writer).await?.is_some())
    }

    /// Notes, before events that an earlier daemon left waiting are applied, that one of them may have been its end.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn note_event_crashes(&self, seqs: &[i64]) -> Result<(), StoreError> {
        let noted = inbox::Entity::update_many()
            .col_expr(inbox::Column::Crashes, Expr::col(inbox::Column::Crashes).add(1))
            .filter(inbox::Column::Seq.is_in(seqs.iter().copied()));
        noted.exec(&self.writer).await?;
        Ok(())
    }

    /// Takes that note back: the daemon has survived.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn clear_event_crashes(&self, seqs: &[i64]) -> Result<(), StoreError> {
        let cleared = inbox::Entity::update_many()
            .col_expr(inbox::Column::Crashes, 0.into())
            .filter(inbox::Column::Seq.is_in(seqs.iter().copied()));
        cleared.exec(&self.writer).await?;
        Ok(())
    }

    /// Ends the wait of an event that repeats an applied one: it changes nothing.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn end_repeated(&self, seq: i64, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE inbox SET state = 'repeated', done_ms = $2 WHERE seq = $1 AND state = 'waiting'";
        self.writer.change(sql, [seq.into(), milliseconds(now).into()]).await?;
        Ok(())
    }

    /// Ends the wait of an event by refusing it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn refuse_event(&self, seq: i64, event: &NewRefused, now: DateTime<Utc>) -> Result<(), StoreError> {
        let transaction = self.writer.begin().await?;
        let sql = "UPDATE inbox SET state = 'refused', done_ms = $2 WHERE seq = $1 AND state = 'waiting'";
        let values = [seq.into(), milliseconds(now).into()];
        if transaction.change(sql, values).await? > 0 {
            insert_refused(&transaction, event, now).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn insert_refused(transaction: &Transaction, event: &NewRefused, now: DateTime<Utc>) -> Result<(), StoreError> {
    // An entry that is read again after a crash is refused once.
    let known = refused::Entity::find()
        .filter(refused::Column::Entry.eq(event.entry.as_str()))
        .filter(refused::Column::Event.eq(event.event.clone()));
    if known.one(transaction).await?.is_some() {
        return Ok(());
    }
    // PostgreSQL keeps no NUL in a text. What was sent stands unchanged in `event`.
    let text = |text: &str| text.replace('\0', "\u{fffd}");
    let row = refused::ActiveModel {
        entry: Set(event.entry.clone()),
        r#type: Set(event.kind.as_deref().map(text)),
        subject: Set(event.subject.as_deref().map(text)),
        event: Set(event.event.clone()),
        reason: Set(event.reason.to_owned()),
        detail: Set(text(&event.detail)),
        refused_ms: Set(milliseconds(now)),
        ..Default::default()
    };
    refused::Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}
