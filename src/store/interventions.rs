//! What people have had done with jobs: who, when and why. It goes with the job.

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{ColumnTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, Value};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Store,
    connection::Transaction,
    entities::intervention,
    error::StoreError,
    milliseconds,
    sql::{
        Column::{Integer, Text},
        byte_order, for_update, rows,
    },
};

/// How many of a job are kept, the newest.
const KEPT: usize = 50;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It runs again.
    Requeue,
    /// It will not run.
    Cancel,
    /// It is given up.
    Discard,
    /// Its mail goes out again.
    Resend,
}

impl Action {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Cancel => "cancel",
            Self::Discard => "discard",
            Self::Resend => "resend",
        }
    }
}

/// What a person wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Who.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Order {
    /// For the row of what it is done with: `by ops at 2026-11-22T09:00:01.000Z: the server was mended`.
    pub fn note(&self) -> String {
        let at = self.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        format!("by {} at {at}{}", self.by, because(&self.reason))
    }
}

/// `: the server was mended`, behind what was done; nothing where no reason was given.
pub(crate) fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

/// Something that a person has done with a job.
#[derive(Debug, Clone, Serialize)]
pub struct NewIntervention {
    /// The job.
    pub job_id: String,
    /// When.
    pub at_ms: i64,
    /// What.
    pub action: &'static str,
    /// Who.
    pub done_by: String,
    /// Why.
    pub reason: String,
}

impl NewIntervention {
    /// What `order` has had done with a job.
    pub fn new(job: Uuid, action: Action, order: &Order) -> Self {
        Self {
            job_id: job.to_string(),
            at_ms: milliseconds(order.at),
            action: action.as_str(),
            done_by: order.by.clone(),
            reason: order.reason.clone(),
        }
    }
}

/// Records interventions.
pub(super) fn insert_interventions(backend: DbBackend) -> String {
    let source = rows(
        backend,
        &[
            Text("job_id"),
            Integer("at_ms"),
            Text("action"),
            Text("done_by"),
            Text("reason"),
        ],
    );
    format!(
        "INSERT INTO interventions (job_id, at_ms, action, done_by, reason) \
         SELECT r.job_id, r.at_ms, r.action, r.done_by, r.reason FROM {source} WHERE true \
         ON CONFLICT (job_id, at_ms, action) DO NOTHING"
    )
}

/// What a dead job's row has when it runs again as if it never had, but for the number of its run.
const REVIVED: &str = "UPDATE jobs SET state = 'scheduled', attempts = 0, failures = 0, crashes = 0, \
     requeues = requeues + 1, run_at_ms = $2, finished_ms = NULL, requeue_note = $3";

/// The mail of a job that runs again.
const MAIL_WAITS: &str = "UPDATE mails SET state = 'waiting', note = NULL";

/// One that is to be tried again is tried now; what it has spent stays spent.
const HURRIED: &str = "UPDATE jobs SET failures = 0, requeues = requeues + 1, run_at_ms = $2, requeue_note = $3";

impl Store {
    /// Has dead jobs run again, as if they never had: with all their attempts, and who did it and why on record; their mails wait
    /// again. Those that are to be tried again later are tried now. No job in another state is touched, so that none is started
    /// twice. Returns those that it was done with.
    ///
    /// # Errors
    /// When the database cannot be asked; then it was done with none.
    pub async fn requeue(&self, ids: &[Uuid], order: &Order) -> Result<Vec<Uuid>, StoreError> {
        let transaction = self.writer.begin().await?;
        let keys: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
        // In the order in which everybody locks jobs.
        let lock = format!(
            "SELECT t.id, t.state FROM jobs t WHERE t.id IN (SELECT r.id FROM {}) ORDER BY t.id{}{}",
            rows(self.backend(), &[Text("id")]),
            byte_order(self.backend(), Text("id")),
            for_update(self.backend())
        );
        let (mut dead, mut retrying) = (Vec::new(), Vec::new());
        for row in transaction.rows(&lock, [json!(keys).to_string().into()]).await? {
            let (id, state): (String, String) = (row.try_get("", "id")?, row.try_get("", "state")?);
            match state.as_str() {
                "dead" => dead.push(id),
                "retrying" => retrying.push(id),
                _ => {}
            }
        }
        let note = order.note();
        let values = || [milliseconds(order.at).into(), note.as_str().into()];
        self.write_each(&transaction, REVIVED, &dead, values()).await?;
        self.write_each(&transaction, HURRIED, &retrying, values()).await?;
        self.write_each(&transaction, MAIL_WAITS, &dead, []).await?;
        let done = dead.iter().chain(&retrying).filter_map(|id| Uuid::parse_str(id).ok());
        let done: Vec<_> = done.collect();
        self.record(&transaction, &done, Action::Requeue, order).await?;
        transaction.commit().await?;
        Ok(done)
    }

    /// Carries out `sql`, an update without its condition, on the rows with these ids.
    async fn write_each(
        &self,
        transaction: &Transaction,
        sql: &str,
        ids: &[String],
        values: impl IntoIterator<Item = Value, IntoIter: Send> + Send,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = ids.iter().map(|id| json!({ "id": id })).collect();
        let sql = format!(
            "{sql} WHERE id IN (SELECT r.id FROM {})",
            rows(self.backend(), &[Text("id")])
        );
        let values = std::iter::once(json!(keys).to_string().into()).chain(values);
        transaction.change(&sql, values).await?;
        Ok(())
    }

    /// What people have had done with a job, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn interventions(&self, job: Uuid) -> Result<Vec<intervention::Model>, StoreError> {
        let query = intervention::Entity::find()
            .filter(intervention::Column::JobId.eq(job.to_string()))
            .order_by_asc(intervention::Column::AtMs);
        Ok(query.all(&self.reader).await?)
    }

    /// Records, within what is being done with `jobs`, that it is. Only the last ones of each job are kept.
    pub(super) async fn record(
        &self,
        transaction: &Transaction,
        jobs: &[Uuid],
        action: Action,
        order: &Order,
    ) -> Result<(), StoreError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = jobs
            .iter()
            .map(|job| NewIntervention::new(*job, action, order))
            .collect();
        let trim = format!(
            "DELETE FROM interventions WHERE job_id IN (SELECT r.job_id FROM {}) AND at_ms <= \
             (SELECT i.at_ms FROM interventions i WHERE i.job_id = interventions.job_id \
             ORDER BY i.at_ms DESC LIMIT 1 OFFSET {KEPT})",
            rows(self.backend(), &[Text("job_id")])
        );
        for sql in [insert_interventions(self.backend()), trim] {
            transaction.change(&sql, [json!(lines).to_string().into()]).await?;
        }
        Ok(())
    }
}
