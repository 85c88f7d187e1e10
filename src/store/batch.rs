//! One batch of transitions in one transaction: lock and check every guard, then write what is left, with one statement a
//! table whatever the size of the batch.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement};
use serde::Serialize;
use serde_json::json;

use super::{
    error::StoreError,
    sql::{Column, for_update, rows},
    transition::{Guard, Transition, Verdict},
};
use Column::{Boolean, Integer, Text};

/// The statements of a batch, spelled once for a database.
#[derive(Debug)]
pub(super) struct Statements {
    backend: DbBackend,
    lock_registrations: String,
    find_tokens: String,
    lock_trees: String,
    lock_jobs: String,
    lock_inbox: String,
    find_applied: String,
    read_leases: String,
    insert_registrations: String,
    update_registrations: String,
    insert_timeline: String,
    insert_notices: String,
    raise_trees: String,
    cancel_jobs: String,
    write_jobs: String,
    insert_jobs: String,
    insert_mails: String,
    write_mails: String,
    insert_links: String,
    insert_appointments: String,
    insert_grants: String,
    apply_inbox: String,
}

const REGISTRATION: [Column; 8] = [
    Text("id"),
    Text("account_id"),
    Text("state"),
    Integer("version"),
    Text("root_id"),
    Integer("since_ms"),
    Integer("created_ms"),
    Text("data"),
];

impl Statements {
    pub(super) fn new(backend: DbBackend) -> Self {
        let lock = |table: &str, key: &str, columns: &str, kind: Column| {
            format!(
                "SELECT {columns} FROM {table} t WHERE t.{key} IN (SELECT r.{key} FROM {}) ORDER BY t.{key}{}",
                rows(backend, &[kind]),
                for_update(backend)
            )
        };
        let insert = |table: &str, columns: &[Column]| {
            let names: Vec<_> = columns.iter().map(|column| column.name()).collect();
            let values: Vec<_> = names.iter().map(|name| format!("r.{name}")).collect();
            let source = rows(backend, columns);
            format!("INSERT INTO {table} ({}) SELECT {} FROM {source}", names.join(", "), values.join(", "))
        };
        Self {
            backend,
            lock_registrations: lock("registrations", "id", "t.id, t.version", Text("id")),
            find_tokens: format!(
                "SELECT t.registration_id, t.version, t.token FROM timeline t JOIN {} \
                 ON t.registration_id = r.id AND t.version = r.version",
                rows(backend, &[Text("id"), Integer("version")])
            ),
            lock_trees: lock("organization_roots", "id", "t.id, t.epoch", Text("id")),
            lock_jobs: lock("jobs", "id", "t.id, t.run_no, t.state", Text("id")),
            lock_inbox: lock("inbox", "seq", "t.seq, t.state", Integer("seq")),
            find_applied: format!(
                "SELECT t.source, t.event_id FROM inbox t JOIN {} \
                 ON t.source = r.source AND t.event_id = r.event_id WHERE t.state = 'applied'",
                rows(backend, &[Text("source"), Text("event_id")])
            ),
            read_leases: format!(
                "SELECT t.name, t.epoch FROM leases t WHERE t.name IN (SELECT r.name FROM {})",
                rows(backend, &[Text("name")])
            ),
            insert_registrations: insert("registrations", &REGISTRATION),
            update_registrations: format!(
                "UPDATE registrations SET state = r.state, version = r.version, root_id = r.root_id, \
                 since_ms = r.since_ms, data = r.data FROM {} WHERE registrations.id = r.id",
                rows(backend, &REGISTRATION)
            ),
            insert_timeline: format!(
                "INSERT INTO timeline (registration_id, version, at_ms, event, actor, detail, token) \
                 SELECT r.id, r.version, r.at_ms, r.event, r.actor, r.detail, r.token FROM {}",
                rows(
                    backend,
                    &[
                        Text("id"),
                        Integer("version"),
                        Integer("at_ms"),
                        Text("event"),
                        Text("actor"),
                        Text("detail"),
                        Text("token"),
                    ]
                )
            ),
            insert_notices: format!(
                "INSERT INTO notices (registration_id, version, body) SELECT r.id, r.version, r.notice FROM {}",
                rows(backend, &[Text("id"), Integer("version"), Text("notice")])
            ),
            raise_trees: format!(
                "UPDATE organization_roots SET epoch = organization_roots.epoch + 1 \
                 WHERE organization_roots.id IN (SELECT r.id FROM {})",
                rows(backend, &[Text("id")])
            ),
            cancel_jobs: format!(
                "UPDATE jobs SET state = 'cancelled', finished_ms = r.at_ms, note = 'the registration has moved on' \
                 FROM {} WHERE jobs.registration_id = r.id AND jobs.step_bound AND jobs.step < r.step \
                 AND jobs.state IN ('scheduled', 'queued', 'retrying')",
                rows(backend, &[Text("id"), Integer("step"), Integer("at_ms")])
            ),
            write_jobs: format!(
                "UPDATE jobs SET state = r.state, attempts = r.attempts, failures = r.failures, crashes = r.crashes, \
                 run_at_ms = r.run_at_ms, started_ms = r.started_ms, finished_ms = r.finished_ms, \
                 daemon_id = r.daemon_id, error_class = r.error_class, error = r.error, note = r.note \
                 FROM {} WHERE jobs.id = r.id",
                rows(
                    backend,
                    &[
                        Text("id"),
                        Text("state"),
                        Integer("attempts"),
                        Integer("failures"),
                        Integer("crashes"),
                        Integer("run_at_ms"),
                        Integer("started_ms"),
                        Integer("finished_ms"),
                        Text("daemon_id"),
                        Text("error_class"),
                        Text("error"),
                        Text("note"),
                    ]
                )
            ),
            insert_jobs: format!(
                "INSERT INTO jobs (id, kind, registration_id, step, step_bound, state, run_no, attempts, failures, \
                 crashes, run_at_ms, queued_ms, created_ms) \
                 SELECT r.id, r.kind, r.registration_id, r.step, r.step_bound, r.state, r.run_no, 0, 0, 0, \
                 r.run_at_ms, r.queued_ms, r.created_ms FROM {}",
                rows(
                    backend,
                    &[
                        Text("id"),
                        Text("kind"),
                        Text("registration_id"),
                        Integer("step"),
                        Boolean("step_bound"),
                        Text("state"),
                        Integer("run_no"),
                        Integer("run_at_ms"),
                        Integer("queued_ms"),
                        Integer("created_ms"),
                    ]
                )
            ),
            insert_mails: format!(
                "INSERT INTO mails (id, kind, registration_id, step, recipient, state, created_ms) \
                 SELECT r.id, r.kind, r.registration_id, r.step, r.recipient, 'waiting', r.created_ms FROM {}",
                rows(
                    backend,
                    &[
                        Text("id"),
                        Text("kind"),
                        Text("registration_id"),
                        Integer("step"),
                        Text("recipient"),
                        Integer("created_ms"),
                    ]
                )
            ),
            write_mails: format!(
                "UPDATE mails SET state = r.state, address = r.address, locale = r.locale, subject = r.subject, \
                 note = r.note, sent_ms = r.sent_ms FROM {} WHERE mails.id = r.id",
                rows(
                    backend,
                    &[
                        Text("id"),
                        Text("state"),
                        Text("address"),
                        Text("locale"),
                        Text("subject"),
                        Text("note"),
                        Integer("sent_ms"),
                    ]
                )
            ),
            insert_links: insert(
                "links",
                &[
                    Text("id"),
                    Text("registration_id"),
                    Text("purpose"),
                    Text("nonce"),
                    Text("key_id"),
                    Text("token_digest"),
                    Integer("valid_until_ms"),
                    Integer("created_ms"),
                ],
            ),
            insert_appointments: insert(
                "appointments",
                &[
                    Text("id"),
                    Text("account_id"),
                    Text("organization_id"),
                    Text("registration_id"),
                    Integer("appointed_ms"),
                ],
            ),
            insert_grants: insert(
                "grants",
                &[
                    Text("id"),
                    Text("registration_id"),
                    Text("account_id"),
                    Text("organization_id"),
                    Text("access"),
                    Integer("granted_ms"),
                ],
            ),
            apply_inbox: format!(
                "UPDATE inbox SET state = 'applied', done_ms = r.done_ms FROM {} WHERE inbox.seq = r.seq",
                rows(backend, &[Integer("seq"), Integer("done_ms")])
            ),
        }
    }
}

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
    transaction: &'a DatabaseTransaction,
    statements: &'a Statements,
    items: &'a [&'a Transition],
    checked: Vec<Checked>,
}

/// Writes those of `items` whose guards hold. No two of them may be of one registration or rest on one tree.
///
/// # Errors
/// When the database refuses or fails; then the transaction must be rolled back, and none of it is written.
pub(super) async fn write(
    transaction: &DatabaseTransaction,
    statements: &Statements,
    items: &[&Transition],
) -> Result<Vec<Verdict>, StoreError> {
    let checked = vec![Checked::Good; items.len()];
    let mut batch = Batch { transaction, statements, items, checked };
    batch.check().await?;
    batch.write().await?;
    let verdict = |checked: Checked| match checked {
        Checked::Good | Checked::Present => Verdict::Applied,
        Checked::Stale(guard) => Verdict::Stale(guard),
    };
    Ok(batch.checked.into_iter().map(verdict).collect())
}

impl Batch<'_> {
    /// Locks are taken in one order by everybody: registrations, trees, jobs, inbox, each by its key.
    async fn check(&mut self) -> Result<(), StoreError> {
        self.check_registrations().await?;
        self.check_trees().await?;
        self.check_jobs().await?;
        self.check_inbox().await
    }

    async fn check_registrations(&mut self) -> Result<(), StoreError> {
        let keys = self.good(|item| item.registration.as_ref().map(|write| json!({"id": write.id})));
        let mut stored: HashMap<String, i64> = HashMap::new();
        for row in self.query(&self.statements.lock_registrations, &keys).await? {
            stored.insert(row.try_get("", "id")?, row.try_get("", "version")?);
        }
        let is_stale = |item: &Transition| {
            let write = item.registration.as_ref()?;
            (stored.get(&write.id).copied().unwrap_or(0) != write.version - 1).then_some(write)
        };
        let stale = self.good(|item| is_stale(item).map(|write| json!({"id": write.id, "version": write.version})));
        let mut tokens: HashSet<(String, i64, String)> = HashSet::new();
        for row in self.query(&self.statements.find_tokens, &stale).await? {
            tokens.insert((row.try_get("", "registration_id")?, row.try_get("", "version")?, row.try_get("", "token")?));
        }
        for (item, checked) in self.items.iter().zip(&mut self.checked) {
            if let Some(write) = is_stale(item) {
                let ours = (write.id.clone(), write.version, write.token.to_string());
                *checked = if tokens.contains(&ours) { Checked::Present } else { Checked::Stale(Guard::Registration) };
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
            item.tree.as_ref().is_some_and(|tree| epochs.get(&tree.root_id) != Some(&tree.epoch))
        });
        Ok(())
    }

    async fn check_jobs(&mut self) -> Result<(), StoreError> {
        let keys = self.good(|item| item.job.as_ref().map(|job| json!({"id": job.id})));
        let mut runs: HashMap<String, i64> = HashMap::new();
        for row in self.query(&self.statements.lock_jobs, &keys).await? {
            let state: String = row.try_get("", "state")?;
            if matches!(state.as_str(), "queued" | "running") {
                runs.insert(row.try_get("", "id")?, row.try_get("", "run_no")?);
            }
        }
        self.stale_if(Guard::Job, |item| {
            item.job.as_ref().is_some_and(|job| runs.get(&job.id.to_string()) != Some(&job.run_no))
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
            item.inbox.as_ref().map(|inbox| json!({"source": inbox.source, "event_id": inbox.event_id}))
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
            item.inbox.as_ref().is_some_and(|inbox| epochs.get(&inbox.lease) != Some(&inbox.lease_epoch))
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

    async fn write(&self) -> Result<(), StoreError> {
        let statements = self.statements;
        let (new, next): (Vec<_>, Vec<_>) = self
            .good(|item| item.registration.as_ref())
            .into_iter()
            .partition(|write| write.version == 1);
        self.execute(&statements.insert_registrations, &new).await?;
        self.execute(&statements.update_registrations, &next).await?;
        let all: Vec<_> = new.into_iter().chain(next.iter().copied()).collect();
        self.execute(&statements.insert_timeline, &all).await?;
        self.execute(&statements.insert_notices, &all).await?;
        let raised = |item: &Transition| {
            let tree = item.tree.as_ref().filter(|tree| tree.raises)?;
            Some(json!({"id": tree.root_id}))
        };
        self.execute(&statements.raise_trees, &self.good(raised)).await?;
        self.execute(&statements.cancel_jobs, &next).await?;
        self.execute(&statements.write_jobs, &self.good(|item| item.job.as_ref())).await?;
        self.execute(&statements.insert_jobs, &self.all_of(|item| &item.jobs)).await?;
        self.execute(&statements.insert_mails, &self.all_of(|item| &item.mails)).await?;
        self.execute(&statements.write_mails, &self.good(|item| item.mail.as_ref())).await?;
        self.execute(&statements.insert_links, &self.all_of(|item| &item.links)).await?;
        self.execute(&statements.insert_appointments, &self.all_of(|item| &item.appointments)).await?;
        self.execute(&statements.insert_grants, &self.all_of(|item| &item.grants)).await?;
        self.execute(&statements.apply_inbox, &self.good(|item| item.inbox.as_ref())).await
    }

    /// What `part` finds in the transitions whose guards hold so far.
    fn good<'b, T>(&'b self, part: impl Fn(&'b Transition) -> Option<T>) -> Vec<T> {
        let good = self.items.iter().zip(&self.checked).filter(|(_, checked)| **checked == Checked::Good);
        good.filter_map(|(item, _)| part(item)).collect()
    }

    fn all_of<'b, T>(&'b self, part: impl Fn(&'b Transition) -> &'b Vec<T>) -> Vec<&'b T> {
        self.good(|item| Some(part(item))).into_iter().flatten().collect()
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
        Ok(self.transaction.query_all_raw(self.statement(sql, parameter)?).await?)
    }

    async fn execute<T: Serialize + Sync>(&self, sql: &str, parameter: &[T]) -> Result<(), StoreError> {
        if !parameter.is_empty() {
            self.transaction.execute_raw(self.statement(sql, parameter)?).await?;
        }
        Ok(())
    }

    fn statement<T: Serialize>(&self, sql: &str, parameter: &[T]) -> Result<Statement, StoreError> {
        let json = serde_json::to_string(parameter).map_err(|error| StoreError::refused(error.to_string()))?;
        Ok(Statement::from_sql_and_values(self.statements.backend, sql, [json.into()]))
    }
}
