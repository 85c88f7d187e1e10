//! One batch of transitions in one transaction: lock and check every guard, then write what is left, with one statement a
//! table whatever the size of the batch.

use std::collections::{HashMap, HashSet};

use sea_orm::{QueryResult, Value};
use serde::Serialize;
use serde_json::json;

use super::{
    connection::Transaction,
    error::StoreError,
    statements::Statements,
    transition::{Guard, RegistrationWrite, Transition, Verdict},
};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checked {
    /// All guards hold so far.
    Good,
    /// A guard does not hold.
    Stale(Guard),
    /// This very transition is in the database: its commit came through though its answer did not.
    Present,
}

/// A batch under way.
struct Batch<'a> {
    transaction: &'a Transaction,
    statements: &'a Statements,
    items: &'a [&'a Transition],
    checked: Vec<Checked>,
}

/// Writes those of `items` whose guards hold. No two of them may be of one registration or rest on one tree.
///
/// # Errors
/// When the database refuses or fails; then the transaction must be rolled back, and none of it is written.
pub(super) async fn write(
    transaction: &Transaction,
    statements: &Statements,
    items: &[&Transition],
) -> Result<Vec<Verdict>, StoreError> {
    let checked = vec![Checked::Good; items.len()];
    let mut batch = Batch {
        transaction,
        statements,
        items,
        checked,
    };
    batch.check().await?;
    batch.write().await?;
    let verdict = |checked: Checked| match checked {
        Checked::Good | Checked::Present => Verdict::Applied,
        Checked::Stale(guard) => Verdict::Stale(guard),
    };
    Ok(batch.checked.into_iter().map(verdict).collect())
}

impl Batch<'_> {
    /// Locks are taken in one order by everybody: registrations, trees, jobs, inbox, grants, each by its key.
    ///
    /// Jobs that a step's end cancels are the exception: nobody has named them, and finding them here would be done again when
    /// they are written. Should one of them be settled at the same moment, PostgreSQL ends one of the two, which is tried again.
    async fn check(&mut self) -> Result<(), StoreError> {
        self.check_registrations().await?;
        self.check_trees().await?;
        self.check_jobs().await?;
        self.check_inbox().await?;
        self.check_grants().await
    }

    async fn check_registrations(&mut self) -> Result<(), StoreError> {
        let keys = self.good_rows(|item| {
            let written = item.registrations.iter().map(|write| &write.id);
            let all = written.chain(item.unchanged.iter().map(|guard| &guard.id));
            all.map(|id| json!({"id": id})).collect()
        });
        let mut stored: HashMap<String, i64> = HashMap::new();
        for row in self.query(&self.statements.lock_registrations, &keys).await? {
            stored.insert(row.try_get("", "id")?, row.try_get("", "version")?);
        }
        let version = |id: &str| stored.get(id).copied().unwrap_or(0);
        let is_stale = |item: &Transition| {
            let overtaken = |write: &RegistrationWrite| version(&write.id) != write.version - 1;
            item.registrations.iter().any(overtaken)
                || item.unchanged.iter().any(|guard| version(&guard.id) != guard.version)
        };
        // All of a transition is written or nothing: its first registration tells of the others.
        let stale = self.good(|item| {
            let write = item.registrations.first().filter(|_| is_stale(item))?;
            Some(json!({"id": write.id, "version": write.version}))
        });
        let mut tokens: HashSet<(String, i64, String)> = HashSet::new();
        for row in self.query(&self.statements.find_tokens, &stale).await? {
            tokens.insert((
                row.try_get("", "registration_id")?,
                row.try_get("", "version")?,
                row.try_get("", "token")?,
            ));
        }
        for (item, checked) in self.items.iter().zip(&mut self.checked) {
            if let Some(write) = item.registrations.first().filter(|_| is_stale(item)) {
                let ours = (write.id.clone(), write.version, write.token.to_string());
                *checked = if tokens.contains(&ours) {
                    Checked::Present
                } else {
                    Checked::Stale(Guard::Registration)
                };
            }
        }
        Ok(())
    }

    async fn check_trees(&mut self) -> Result<(), StoreError> {
        let keys = self.good(|item| item.tree.as_ref().map(|tree| json!({"id": tree.root_id})));
        let mut epochs: HashMap<String, i64> = HashMap::new();
        for row in self.query(&self.statements.lock_trees, &keys).await? {
            epochs.insert(row.try_get("", "id")?, row.try_get("", "epoch")?);
        }
        self.stale_if(Guard::Tree, |item| {
            item.tree
                .as_ref()
                .is_some_and(|tree| epochs.get(&tree.root_id) != Some(&tree.epoch))
        });
        Ok(())
    }

    async fn check_jobs(&mut self) -> Result<(), StoreError> {
        let keys = self.good(|item| item.job.as_ref().map(|job| json!({"id": job.id})));
        let mut runs: HashMap<String, (i64, String)> = HashMap::new();
        for row in self.query(&self.statements.lock_jobs, &keys).await? {
            runs.insert(
                row.try_get("", "id")?,
                (row.try_get("", "run_no")?, row.try_get("", "state")?),
            );
        }
        self.stale_if(Guard::Job, |item| {
            item.job.as_ref().is_some_and(|job| {
                let stored = runs.get(&job.id.to_string());
                stored.is_none_or(|(run_no, state)| *run_no != job.run_no || *state != job.from)
            })
        });
        Ok(())
    }

    async fn check_inbox(&mut self) -> Result<(), StoreError> {
        let keys = self.good(|item| item.inbox.as_ref().map(|inbox| json!({"seq": inbox.seq})));
        let mut waiting: HashSet<i64> = HashSet::new();
        for row in self.query(&self.statements.lock_inbox, &keys).await? {
            let state: String = row.try_get("", "state")?;
            if state == "waiting" {
                waiting.insert(row.try_get("", "seq")?);
            }
        }
        let keys = self.good(|item| {
            item.inbox
                .as_ref()
                .map(|inbox| json!({"source": inbox.source, "event_id": inbox.event_id}))
        });
        let mut applied: HashSet<(String, String)> = HashSet::new();
        for row in self.query(&self.statements.find_applied, &keys).await? {
            applied.insert((row.try_get("", "source")?, row.try_get("", "event_id")?));
        }
        let keys = self.good(|item| item.inbox.as_ref().map(|inbox| json!({"name": inbox.lease})));
        let mut epochs: HashMap<String, i64> = HashMap::new();
        for row in self.query(&self.statements.read_leases, &keys).await? {
            epochs.insert(row.try_get("", "name")?, row.try_get("", "epoch")?);
        }
        self.stale_if(Guard::Lease, |item| {
            item.inbox
                .as_ref()
                .is_some_and(|inbox| epochs.get(&inbox.lease) != Some(&inbox.lease_epoch))
        });
        self.stale_if(Guard::Inbox, |item| {
            item.inbox.as_ref().is_some_and(|inbox| !waiting.contains(&inbox.seq))
        });
        // The first of a key in the batch is applied, so the next is a repeat.
        self.stale_if(Guard::Duplicate, |item| {
            item.inbox
                .as_ref()
                .is_some_and(|inbox| !applied.insert((inbox.source.clone(), inbox.event_id.clone())))
        });
        Ok(())
    }

    async fn check_grants(&mut self) -> Result<(), StoreError> {
        let keys = self.good(|item| item.grant.as_ref().map(|grant| json!({"id": grant.id})));
        let mut open: HashMap<String, bool> = HashMap::new();
        for row in self.query(&self.statements.lock_grants, &keys).await? {
            let ended: Option<i64> = row.try_get("", "ended_ms")?;
            open.insert(row.try_get("", "id")?, ended.is_none());
        }
        self.stale_if(Guard::Grant, |item| {
            item.grant
                .as_ref()
                .is_some_and(|grant| open.get(&grant.id.to_string()) != Some(&grant.is_open))
        });
        Ok(())
    }

    async fn write(&self) -> Result<(), StoreError> {
        let statements = self.statements;
        let (new, next): (Vec<_>, Vec<_>) = self
            .all_of(|item| &item.registrations)
            .into_iter()
            .partition(|write| write.version == 1);
        self.execute(&statements.insert_registrations, &new).await?;
        self.execute(&statements.update_registrations, &next).await?;
        let all: Vec<_> = new.into_iter().chain(next.iter().copied()).collect();
        self.execute(&statements.insert_timeline, &all).await?;
        self.execute(&statements.insert_changes, &all).await?;
        self.execute(&statements.insert_notices, &self.all_of(|item| &item.notices))
            .await?;
        let raised = |item: &Transition| {
            let tree = item.tree.as_ref().filter(|tree| tree.raises)?;
            Some(json!({"id": tree.root_id}))
        };
        self.execute(&statements.raise_trees, &self.good(raised)).await?;
        // A step's end comes after the ends of runs: a job of it that is to run again, as another of the batch says, is cancelled.
        self.execute(&statements.write_jobs, &self.good(|item| item.job.as_ref()))
            .await?;
        self.execute(&statements.insert_attempts, &self.good(|item| item.attempt.as_ref()))
            .await?;
        self.execute(
            &statements.insert_interventions,
            &self.good(|item| item.intervention.as_ref()),
        )
        .await?;
        self.execute(&statements.cancel_jobs, &next).await?;
        self.execute(&statements.insert_jobs, &self.all_of(|item| &item.jobs))
            .await?;
        self.execute(&statements.insert_mails, &self.all_of(|item| &item.mails))
            .await?;
        let once = self.all_of(|item| &item.once);
        let (jobs, mails): (Vec<_>, Vec<_>) = once.into_iter().map(|(job, mail)| (job, mail)).unzip();
        self.execute(&statements.insert_jobs_once, &jobs).await?;
        self.execute(&statements.insert_mails_once, &mails).await?;
        self.execute(&statements.write_mails, &self.good(|item| item.mail.as_ref()))
            .await?;
        self.execute(&statements.insert_links, &self.all_of(|item| &item.links))
            .await?;
        self.execute(&statements.insert_appointments, &self.all_of(|item| &item.appointments))
            .await?;
        self.execute(
            &statements.insert_failed_attempts,
            &self.all_of(|item| &item.failed_attempts),
        )
        .await?;
        self.execute(&statements.insert_grants, &self.all_of(|item| &item.grants))
            .await?;
        self.execute(&statements.insert_syncs, &self.all_of(|item| &item.syncs))
            .await?;
        self.execute(&statements.write_syncs, &self.good(|item| item.sync.as_ref()))
            .await?;
        self.write_endings().await?;
        self.execute(&statements.write_terms, &self.good(|item| item.terms.as_ref()))
            .await?;
        self.execute(&statements.insert_suppressions, &self.all_of(|item| &item.suppressions))
            .await?;
        self.execute(&statements.insert_delegations, &self.all_of(|item| &item.delegations))
            .await?;
        self.execute(&statements.apply_inbox, &self.good(|item| item.inbox.as_ref()))
            .await
    }

    /// What is taken back, and what DAs leave. Jobs come before grants, as in the checks.
    async fn write_endings(&self) -> Result<(), StoreError> {
        let statements = self.statements;
        let grants = self.all_of(|item| &item.ended_grants);
        self.execute(&statements.arm_syncs, &grants).await?;
        self.execute(&statements.end_grants, &grants).await?;
        let appointments = self.all_of(|item| &item.ended_appointments);
        self.execute(&statements.end_appointments, &appointments).await?;
        self.execute(&statements.note_removals, &appointments).await?;
        self.execute(&statements.accept_terms, &self.all_of(|item| &item.accepted_terms))
            .await
    }

    /// As [`Batch::good`], of several things a transition.
    fn good_rows<'b, T>(&'b self, part: impl Fn(&'b Transition) -> Vec<T>) -> Vec<T> {
        self.good(|item| Some(part(item))).into_iter().flatten().collect()
    }

    /// What `part` finds in the transitions whose guards hold so far.
    fn good<'b, T>(&'b self, part: impl Fn(&'b Transition) -> Option<T>) -> Vec<T> {
        let good = self
            .items
            .iter()
            .zip(&self.checked)
            .filter(|(_, checked)| **checked == Checked::Good);
        good.filter_map(|(item, _)| part(item)).collect()
    }

    fn all_of<'b, T>(&'b self, part: impl Fn(&'b Transition) -> &'b Vec<T>) -> Vec<&'b T> {
        self.good_rows(|item| part(item).iter().collect())
    }

    fn stale_if(&mut self, guard: Guard, mut fails: impl FnMut(&Transition) -> bool) {
        for (item, checked) in self.items.iter().zip(&mut self.checked) {
            if *checked == Checked::Good && fails(item) {
                *checked = Checked::Stale(guard);
            }
        }
    }

    async fn query<T: Serialize + Sync>(&self, sql: &str, parameter: &[T]) -> Result<Vec<QueryResult>, StoreError> {
        if parameter.is_empty() {
            return Ok(Vec::new());
        }
        self.transaction.rows(sql, [as_json(parameter)?]).await
    }

    async fn execute<T: Serialize + Sync>(&self, sql: &str, parameter: &[T]) -> Result<(), StoreError> {
        if !parameter.is_empty() {
            self.transaction.change(sql, [as_json(parameter)?]).await?;
        }
        Ok(())
    }
}

/// Rows as the one parameter of a statement for many.
pub(super) fn as_json<T: Serialize>(rows: &[T]) -> Result<Value, StoreError> {
    let json = serde_json::to_string(rows).map_err(|error| StoreError::refused(error.to_string()))?;
    Ok(json.into())
}
