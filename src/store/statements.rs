//! The statements of a batch. Each takes one JSON array, so its text is the same for a batch of one and a batch of many.

use sea_orm::DbBackend;

use super::{
    attempts::insert_attempts,
    interventions::insert_interventions,
    sql::{
        Column::{self, Boolean, Integer, Text},
        byte_order, for_update, rows,
    },
};

/// The statements of a batch, spelled once for a database.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) lock_registrations: String,
    pub(super) find_tokens: String,
    pub(super) lock_trees: String,
    pub(super) lock_jobs: String,
    pub(super) lock_inbox: String,
    pub(super) lock_grants: String,
    pub(super) find_applied: String,
    pub(super) read_leases: String,
    pub(super) insert_registrations: String,
    pub(super) update_registrations: String,
    pub(super) insert_timeline: String,
    pub(super) insert_changes: String,
    pub(super) insert_notices: String,
    pub(super) raise_trees: String,
    pub(super) cancel_jobs: String,
    pub(super) write_jobs: String,
    pub(super) insert_attempts: String,
    pub(super) insert_interventions: String,
    pub(super) insert_jobs: String,
    pub(super) insert_jobs_once: String,
    pub(super) insert_mails: String,
    pub(super) insert_mails_once: String,
    pub(super) write_mails: String,
    pub(super) insert_links: String,
    pub(super) insert_appointments: String,
    pub(super) insert_grants: String,
    pub(super) insert_syncs: String,
    pub(super) write_syncs: String,
    pub(super) arm_syncs: String,
    pub(super) end_grants: String,
    pub(super) end_appointments: String,
    pub(super) note_removals: String,
    pub(super) accept_terms: String,
    pub(super) write_terms: String,
    pub(super) insert_suppressions: String,
    pub(super) insert_delegations: String,
    pub(super) insert_failed_attempts: String,
    pub(super) apply_inbox: String,
}

const REGISTRATION: [Column; 10] = [
    Text("id"),
    Text("account_id"),
    Text("state"),
    Integer("version"),
    Text("root_id"),
    Integer("since_ms"),
    Integer("created_ms"),
    Text("review_reason"),
    Text("da_account_id"),
    Text("data"),
];

const ENDED_APPOINTMENT: [Column; 3] = [Text("account_id"), Text("organization_id"), Integer("ended_ms")];

/// What a job's row has when it is queued again as if it had never run, but for the number of its run.
pub(super) const ARMED: &str = "state = 'scheduled', attempts = 0, failures = 0, crashes = 0, \
     run_at_ms = excluded.run_at_ms, finished_ms = NULL, error_class = NULL, error = NULL, note = NULL";

impl Statements {
    #[expect(clippy::too_many_lines, reason = "one statement after the other")]
    pub(super) fn new(backend: DbBackend) -> Self {
        let lock = |table: &str, columns: &str, key: Column| {
            let name = key.name();
            format!(
                "SELECT {columns} FROM {table} t WHERE t.{name} IN (SELECT r.{name} FROM {}) ORDER BY t.{name}{}{}",
                rows(backend, &[key]),
                byte_order(backend, key),
                for_update(backend)
            )
        };
        let insert = |table: &str, columns: &[Column]| {
            let names: Vec<_> = columns.iter().map(Column::name).collect();
            let values: Vec<_> = names.iter().map(|name| format!("r.{name}")).collect();
            let source = rows(backend, columns);
            format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {source}",
                names.join(", "),
                values.join(", ")
            )
        };
        let insert_jobs = format!(
            "INSERT INTO jobs (id, kind, registration_id, account_id, step, step_bound, state, run_no, attempts, \
                 failures, crashes, run_at_ms, queued_ms, created_ms, trace) \
                 SELECT r.id, r.kind, r.registration_id, r.account_id, r.step, r.step_bound, r.state, r.run_no, 0, 0, 0, \
                 r.run_at_ms, r.queued_ms, r.created_ms, r.trace FROM {}",
            rows(
                backend,
                &[
                    Text("id"),
                    Text("kind"),
                    Text("registration_id"),
                    Text("account_id"),
                    Integer("step"),
                    Boolean("step_bound"),
                    Text("state"),
                    Integer("run_no"),
                    Integer("run_at_ms"),
                    Integer("queued_ms"),
                    Integer("created_ms"),
                    Text("trace"),
                ]
            )
        );
        let insert_mails = format!(
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
        );
        // What may be there already, and is left as it is then.
        let once = |sql: &str| format!("{sql} WHERE true ON CONFLICT (id) DO NOTHING");
        Self {
            lock_registrations: lock("registrations", "t.id, t.version", Text("id")),
            find_tokens: format!(
                "SELECT t.registration_id, t.version, t.token FROM timeline t JOIN {} \
                 ON t.registration_id = r.id AND t.version = r.version",
                rows(backend, &[Text("id"), Integer("version")])
            ),
            lock_trees: lock("organization_roots", "t.id, t.epoch", Text("id")),
            lock_jobs: lock("jobs", "t.id, t.run_no, t.state", Text("id")),
            lock_inbox: lock("inbox", "t.seq, t.state", Integer("seq")),
            lock_grants: lock("grants", "t.id, t.ended_ms", Text("id")),
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
                 since_ms = r.since_ms, review_reason = r.review_reason, da_account_id = r.da_account_id, \
                 data = r.data FROM {} WHERE registrations.id = r.id",
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
            insert_changes: format!(
                "INSERT INTO notices (body) SELECT r.notice FROM {}",
                rows(backend, &[Text("notice")])
            ),
            insert_notices: insert("notices", &[Text("body")]),
            raise_trees: format!(
                "UPDATE organization_roots SET epoch = organization_roots.epoch + 1 \
                 WHERE organization_roots.id IN (SELECT r.id FROM {})",
                rows(backend, &[Text("id")])
            ),
            // `|| ''` keeps both databases from starting at the index of states: nearly all jobs that wait are others'.
            cancel_jobs: format!(
                "UPDATE jobs SET state = 'cancelled', finished_ms = r.at_ms, note = 'the registration has moved on' \
                 FROM {} WHERE jobs.registration_id = r.id AND jobs.step_bound AND jobs.step < r.step \
                 AND jobs.state || '' IN ('scheduled', 'queued', 'retrying')",
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
            insert_attempts: insert_attempts(backend),
            insert_interventions: insert_interventions(backend),
            insert_jobs_once: once(&insert_jobs),
            insert_jobs,
            insert_mails_once: once(&insert_mails),
            insert_mails,
            write_mails: format!(
                // What is known of an earlier sending stays.
                "UPDATE mails SET state = r.state, address = COALESCE(r.address, mails.address), \
                 locale = COALESCE(r.locale, mails.locale), subject = COALESCE(r.subject, mails.subject), \
                 note = r.note, sent_ms = COALESCE(r.sent_ms, mails.sent_ms) FROM {} WHERE mails.id = r.id",
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
                    Text("account_id"),
                    Text("nonce"),
                    Text("key_id"),
                    Text("token_digest"),
                    Integer("valid_until_ms"),
                    Integer("created_ms"),
                ],
            ),
            insert_appointments: format!(
                "INSERT INTO appointments (id, account_id, organization_id, registration_id, appointed_ms, terms_sent) \
                 SELECT r.id, r.account_id, r.organization_id, r.registration_id, r.appointed_ms, 0 FROM {}",
                rows(
                    backend,
                    &[
                        Text("id"),
                        Text("account_id"),
                        Text("organization_id"),
                        Text("registration_id"),
                        Integer("appointed_ms"),
                    ]
                )
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
            insert_syncs: format!(
                "INSERT INTO syncs (id, grant_id, target, phase, losses, updated_ms) \
                 SELECT r.id, r.grant_id, r.target, 'new', 0, r.updated_ms FROM {}",
                rows(
                    backend,
                    &[Text("id"), Text("grant_id"), Text("target"), Integer("updated_ms")]
                )
            ),
            write_syncs: format!(
                "UPDATE syncs SET phase = r.phase, losses = r.losses, updated_ms = r.updated_ms FROM {} WHERE syncs.id = r.id",
                rows(
                    backend,
                    &[Text("id"), Text("phase"), Integer("losses"), Integer("updated_ms")]
                )
            ),
            // One that is running finds out when it ends, by the guard on its grant.
            arm_syncs: format!(
                "INSERT INTO jobs (id, kind, registration_id, step, step_bound, state, run_no, attempts, failures, crashes, \
                 run_at_ms, created_ms, trace) \
                 SELECT s.id, 'provisioning_sync', g.registration_id, 0, false, 'scheduled', 0, 0, 0, 0, r.ended_ms, r.ended_ms, r.trace \
                 FROM {} JOIN syncs s ON s.grant_id = r.id JOIN grants g ON g.id = r.id WHERE true \
                 ON CONFLICT (id) DO UPDATE SET {}, trace = excluded.trace WHERE jobs.state NOT IN ('queued', 'running')",
                rows(backend, &[Text("id"), Integer("ended_ms"), Text("trace")]),
                ARMED
            ),
            end_grants: format!(
                "UPDATE grants SET ended_ms = r.ended_ms, ended_by = r.ended_by FROM {} \
                 WHERE grants.id = r.id AND grants.ended_ms IS NULL",
                rows(backend, &[Text("id"), Integer("ended_ms"), Text("ended_by")])
            ),
            end_appointments: format!(
                "UPDATE appointments SET ended_ms = r.ended_ms FROM {} WHERE appointments.organization_id = r.organization_id \
                 AND appointments.account_id = r.account_id AND appointments.ended_ms IS NULL",
                rows(backend, &ENDED_APPOINTMENT)
            ),
            note_removals: format!(
                "INSERT INTO removed_administrators (account_id, organization_id, removed_ms) \
                 SELECT r.account_id, r.organization_id, r.ended_ms FROM {} WHERE true \
                 ON CONFLICT (organization_id, account_id) DO UPDATE SET removed_ms = excluded.removed_ms",
                rows(backend, &ENDED_APPOINTMENT)
            ),
            accept_terms: format!(
                "UPDATE appointments SET terms_accepted_ms = r.accepted_ms FROM {} \
                 WHERE appointments.organization_id = r.organization_id AND appointments.account_id = r.account_id \
                 AND appointments.ended_ms IS NULL AND appointments.terms_accepted_ms IS NULL",
                rows(
                    backend,
                    &[Text("account_id"), Text("organization_id"), Integer("accepted_ms")]
                )
            ),
            write_terms: format!(
                "UPDATE appointments SET terms_sent = r.sent FROM {} WHERE appointments.id = r.id",
                rows(backend, &[Text("id"), Integer("sent")])
            ),
            insert_suppressions: format!(
                "INSERT INTO suppressions (address_digest, masked, since_ms) \
                 SELECT r.address_digest, r.masked, r.since_ms FROM {} WHERE true ON CONFLICT (address_digest) DO NOTHING",
                rows(backend, &[Text("address_digest"), Text("masked"), Integer("since_ms")])
            ),
            insert_delegations: insert(
                "delegations",
                &[
                    Text("id"),
                    Integer("at_ms"),
                    Text("event"),
                    Text("account_id"),
                    Text("organization_id"),
                    Text("actor"),
                    Text("role"),
                ],
            ),
            insert_failed_attempts: insert("failed_attempts", &[Text("id"), Text("account_id"), Integer("at_ms")]),
            apply_inbox: format!(
                "UPDATE inbox SET state = 'applied', done_ms = r.done_ms FROM {} WHERE inbox.seq = r.seq",
                rows(backend, &[Integer("seq"), Integer("done_ms")])
            ),
        }
    }
}
