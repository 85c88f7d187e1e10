//! Runs of jobs that did not simply succeed. Of each job the last ones are kept, and they go with it.

use sea_orm::{ColumnTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Store,
    batch::as_json,
    connection::Transaction,
    entities::attempt,
    error::StoreError,
    sql::{
        Column::{self, Integer, Text},
        rows,
    },
    transition::JobWrite,
};

/// Runs of one job that are kept, the last ones.
const KEPT_ATTEMPTS: i64 = 32;

/// A run of a job that did not simply succeed.
#[derive(Debug, Clone, Serialize)]
pub struct NewAttempt {
    /// The job.
    pub job_id: Uuid,
    /// Its place: it takes that of the run which had it before.
    pub slot: i64,
    /// The run.
    pub run_no: i64,
    /// When it began, as far as known.
    pub started_ms: Option<i64>,
    /// When it ended, or was found to have.
    pub ended_ms: i64,
    /// The daemon that ran it.
    pub daemon_id: Option<String>,
    /// `retrying`, `dead`, or `crashed` where its daemon went with it.
    pub result: &'static str,
    /// The class of its error.
    pub error_class: String,
    /// Its error.
    pub error: Option<String>,
}

impl NewAttempt {
    /// The run that `write` ends, unless all went well.
    pub fn of(write: &JobWrite, ended_ms: i64) -> Option<Self> {
        if !matches!(write.state, "retrying" | "dead") {
            return None;
        }
        Some(Self {
            job_id: write.id,
            slot: slot(write.run_no),
            run_no: write.run_no,
            started_ms: write.started_ms,
            ended_ms,
            daemon_id: write.daemon_id.clone(),
            result: write.state,
            error_class: write.error_class.clone().unwrap_or_default(),
            error: write.error.clone(),
        })
    }

    /// A run whose daemon is gone.
    pub(super) fn crashed(job_id: Uuid, run_no: i64, ended_ms: i64) -> Self {
        Self {
            job_id,
            slot: slot(run_no),
            run_no,
            started_ms: None,
            ended_ms,
            daemon_id: None,
            result: "crashed",
            error_class: "daemon_gone".to_owned(),
            error: Some("its daemon was gone before it ended".to_owned()),
        }
    }
}

fn slot(run_no: i64) -> i64 {
    run_no.rem_euclid(KEPT_ATTEMPTS)
}

const ATTEMPT: [Column; 9] = [
    Text("job_id"),
    Integer("slot"),
    Integer("run_no"),
    Integer("started_ms"),
    Integer("ended_ms"),
    Text("daemon_id"),
    Text("result"),
    Text("error_class"),
    Text("error"),
];

/// Records runs of jobs; each takes the place of the one that had its slot before, so that there are never many of a job.
pub(super) fn insert_attempts(backend: DbBackend) -> String {
    let names = ATTEMPT.map(|column| column.name());
    let values = names.map(|name| format!("r.{name}")).join(", ");
    let replaced = names[2..].iter().map(|name| format!("{name} = excluded.{name}"));
    format!(
        "INSERT INTO attempts ({}) SELECT {values} FROM {} WHERE true ON CONFLICT (job_id, slot) DO UPDATE SET {}",
        names.join(", "),
        rows(backend, &ATTEMPT),
        replaced.collect::<Vec<_>>().join(", ")
    )
}

impl Store {
    /// The runs of a job that did not simply succeed, oldest first: the last ones, where there were many.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn attempts(&self, job: Uuid) -> Result<Vec<attempt::Model>, StoreError> {
        let query = attempt::Entity::find()
            .filter(attempt::Column::JobId.eq(job.to_string()))
            .order_by_asc(attempt::Column::RunNo);
        Ok(query.all(&self.reader).await?)
    }

    /// Records runs, within what is being done with their jobs.
    pub(super) async fn add_attempts(
        &self,
        transaction: &Transaction,
        attempts: &[NewAttempt],
    ) -> Result<(), StoreError> {
        let sql = insert_attempts(self.backend());
        transaction.change(&sql, [as_json(attempts)?]).await?;
        Ok(())
    }
}
