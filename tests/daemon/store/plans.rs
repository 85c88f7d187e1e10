//! Nothing that the daemon asks all day reads a whole table.

use std::collections::BTreeMap;
use std::time::Duration;

use enrolld::store::counts::Waiting;
use enrolld::store::interventions::Order;
use enrolld::store::jobs;
use enrolld::store::pruning::Finished;
use enrolld::store::registrations;
use enrolld::store::selection::Place;
use enrolld::store::standing::Bounced;
use enrolld::store::transition::{EndedAppointment, EndedGrant, Guard, InboxWrite, NewSync, Transition, Verdict};
use enrolld_jobs::job::JobKind;
use enrolld_jobs::registration::{ReviewReason, StateName};
use enrolld_jobs::values::{AccountId, EmailAddress, OrganizationId, RegistrationId};

use super::*;
use crate::support::child::PATIENCE;

/// Rows of every large table: so many that reading all of them is the worse plan.
const ROWS: i64 = 20_000;

#[tokio::test]
async fn no_hot_query_reads_a_whole_table_of_postgres() {
    let (server, store) = open(Database::Postgres).await;
    // Warm up while the tables are empty: a plan made then must not stay when they have grown.
    everything_hot(&store, 0).await;
    execute(
        &store,
        &format!(
            "INSERT INTO registrations (id, account_id, state, version, since_ms, created_ms, data)
             SELECT 'reg-' || n, 'account-' || n, 'active', 1, n, n, '{{}}' FROM generate_series(1, {ROWS}) n;
         INSERT INTO timeline SELECT 'reg-' || n, 1, n, 'e', 'a', '{{}}', 't' FROM generate_series(1, {ROWS}) n;
         INSERT INTO jobs (id, kind, registration_id, step, step_bound, state, run_no, attempts, failures, crashes,
                 run_at_ms, queued_ms, created_ms)
             SELECT gen_random_uuid(), 'verification', 'reg-' || n, 1, true,
                 CASE WHEN n % 5 = 0 THEN 'scheduled' WHEN n % 5 = 1 THEN 'queued' ELSE 'succeeded' END,
                 1, 0, 0, 0, {late} + n, {late} + n, n FROM generate_series(1, {ROWS}) n;
         INSERT INTO inbox (entry, source, event_id, subject, type, body, state, crashes, received_ms, done_ms)
             SELECT n, '/portal', n, 'reg-' || n, 't', '{{}}', 'applied', 0, n, n FROM generate_series(1, {ROWS}) n;
         INSERT INTO grants SELECT 'grant-' || n, NULL, 'account-' || n, 'organization-' || n, 'customer_user', n,
             CASE WHEN n % 2 = 0 THEN n END FROM generate_series(1, {ROWS}) n;
         INSERT INTO syncs SELECT 'sync-' || n, 'grant-' || n, 'target', 'present', 0, n FROM generate_series(1, {ROWS}) n;
         INSERT INTO suppressions SELECT 'digest-' || n, '', n FROM generate_series(1, {ROWS}) n;
         INSERT INTO appointments SELECT gen_random_uuid(), 'account-' || n, 'organization-' || n, NULL, n,
             CASE WHEN n % 2 = 0 THEN n END, NULL, 0 FROM generate_series(1, {ROWS}) n;
         INSERT INTO removed_administrators SELECT 'account-' || n, 'organization-' || n, n FROM generate_series(1, {ROWS}) n;
         INSERT INTO refused (entry, event, reason, detail, refused_ms, announced_ms)
             SELECT n, '', 'malformed', '{{}}', n, n FROM generate_series(1, {ROWS}) n;",
            late = ms(1_000_000),
        ),
    )
    .await;
    everything_hot(&store, 1).await;
    let before = sequential_reads(&server, store).await;

    // Without statistics, as in the first minute of a new installation, and with them.
    for analyze in [false, true] {
        let store = open_again(&server).await;
        if analyze {
            execute(&store, "ANALYZE").await;
        }
        everything_hot(&store, 2 + i64::from(analyze)).await;
        let after = sequential_reads(&server, store).await;
        assert_eq!(after, before, "rows read by sequential scans, analyzed: {analyze}");
    }
}

/// SQLite does not count what it reads; its plans are looked at. It has no statistics, so empty tables will do. The texts are those
/// of the functions' queries, as far as the planner looks.
#[tokio::test]
async fn no_hot_query_reads_a_whole_table_of_sqlite() {
    let (_server, store) = open(Database::Sqlite).await;
    let registrations = "SELECT data FROM registrations WHERE";
    for (sql, index) in [
        (
            format!(
                "{registrations} account_id = 'a' AND state IN ('verifying', 'routing') AND id <> 'r' \
                 ORDER BY created_ms DESC LIMIT 100"
            ),
            "registrations_account",
        ),
        (
            format!("{registrations} da_account_id = 'a' AND id > 'r' ORDER BY id LIMIT 100"),
            "registrations_da",
        ),
        (
            format!("{registrations} review_reason IS NOT NULL ORDER BY since_ms, id LIMIT 100"),
            "registrations_case",
        ),
        (
            format!(
                "{registrations} review_reason IS NOT NULL AND review_reason = 'r' ORDER BY since_ms, id LIMIT 100"
            ),
            "registrations_case",
        ),
        (
            "SELECT address_digest FROM suppressions WHERE address_digest IN ('a', 'b')".to_owned(),
            "sqlite_autoindex_suppressions_1",
        ),
        (
            "SELECT * FROM grants WHERE account_id = 'a' AND organization_id IN ('o', 'p') AND ended_ms IS NULL ORDER BY id"
                .to_owned(),
            "grants_account",
        ),
        (
            "SELECT * FROM grants WHERE id > 'g' AND (ended_ms IS NULL OR ended_ms >= 1) ORDER BY id LIMIT 10".to_owned(),
            "sqlite_autoindex_grants_1",
        ),
        (
            "SELECT * FROM jobs WHERE state = 's' AND kind = 'k' AND created_ms >= 1 AND (created_ms > 1 OR id > 'i') \
             ORDER BY created_ms"
                .to_owned(),
            "jobs_listed",
        ),
        (
            "SELECT * FROM jobs INDEXED BY jobs_due_of_kind WHERE kind = 'k' AND state IN ('scheduled', 'retrying') \
             AND run_at_ms <= 1 ORDER BY run_at_ms LIMIT 10"
                .to_owned(),
            "jobs_due_of_kind",
        ),
        (
            "SELECT * FROM attempts WHERE job_id = 'j' ORDER BY run_no".to_owned(),
            "sqlite_autoindex_attempts_1",
        ),
        (
            "SELECT * FROM interventions WHERE job_id = 'j' ORDER BY at_ms LIMIT 1".to_owned(),
            "sqlite_autoindex_interventions_1",
        ),
        ("SELECT * FROM syncs WHERE id = 's'".to_owned(), "sqlite_autoindex_syncs_1"),
        ("SELECT * FROM syncs WHERE grant_id IN ('g', 'h')".to_owned(), "sqlite_autoindex_syncs_2"),
        (
            "SELECT * FROM appointments WHERE organization_id IN ('o', 'p') AND ended_ms IS NULL".to_owned(),
            "appointments_open",
        ),
        (
            "SELECT * FROM removed_administrators WHERE organization_id IN ('o', 'p')".to_owned(),
            "sqlite_autoindex_removed_administrators_1",
        ),
    ]
    .into_iter()
    .chain(asked_by_commands())
    {
        let explain = Statement::from_string(sea_orm::DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
        let steps = store.writer().query_all_raw(explain).await.expect("the query is sound");
        let steps: Vec<String> = steps
            .iter()
            .map(|step| step.try_get("", "detail").expect("a text"))
            .collect();
        // An index read in its order until the limit is as good as a search in it; sorting would have to read it all.
        let sorts = sql.contains("LIMIT") && steps.iter().any(|step| step.contains("TEMP B-TREE"));
        assert!(
            steps[0].contains(&format!("INDEX {index}")) && !sorts,
            "{sql}: {steps:?}"
        );
    }
}

/// What `enrolld status` and `report` ask, and who waits for what a command has handed in.
fn asked_by_commands() -> impl Iterator<Item = (String, &'static str)> {
    let queries = [
        (
            "SELECT data FROM registrations WHERE state = 'awaiting_da' ORDER BY since_ms LIMIT 5",
            "registrations_state",
        ),
        (
            "SELECT since_ms AS since FROM registrations INDEXED BY registrations_state WHERE state = 'provisioning' \
             AND since_ms < 1 ORDER BY since_ms LIMIT 100",
            "registrations_state",
        ),
        (
            "SELECT created_ms, id FROM registrations INDEXED BY registrations_created WHERE (created_ms, id) > (1, 'r') \
             AND created_ms < 9 AND since_ms >= 2 ORDER BY created_ms, id LIMIT 500",
            "registrations_created",
        ),
        (
            "SELECT kind, error_class FROM jobs INDEXED BY jobs_listed WHERE state = 'dead' ORDER BY created_ms LIMIT 100",
            "jobs_listed",
        ),
        (
            "SELECT since_ms FROM suppressions INDEXED BY suppressions_since WHERE since_ms >= 1 ORDER BY since_ms DESC \
             LIMIT 100",
            "suppressions_since",
        ),
        (
            "SELECT state FROM inbox WHERE entry = 'e' AND source = 's' AND event_id = 'i' LIMIT 1",
            "sqlite_autoindex_inbox_1",
        ),
        ("SELECT * FROM refused WHERE entry = 'e' LIMIT 1", "refused_entry"),
    ];
    queries.into_iter().map(|(sql, index)| (sql.to_owned(), index))
}

/// All that runs again and again, several times: statistics are those of generic plans then.
async fn everything_hot(store: &Store, round: i64) {
    let (early, now) = (at(0), at(10));
    for number in 0..3 {
        store.take_due(now, 100).await.expect("the database answers");
        assert_eq!(store.paused_queues().await, Ok(vec![]));
        for kind in JobKind::ALL {
            store.take_due_of(*kind, now, 100).await.expect("the database answers");
            store
                .take_queued_before(*kind, early, now, 100)
                .await
                .expect("the database answers");
            for before in [Some(early), None] {
                store
                    .count_queued(*kind, before, 100)
                    .await
                    .expect("the database answers");
            }
        }
        what_is_counted(store, now).await;
        store
            .take_abandoned(now, Duration::from_secs(10), 100)
            .await
            .expect("the database answers");
        assert_eq!(store.waiting_events(0, 100).await.expect("the database answers"), []);
        assert_eq!(store.unannounced(100).await.expect("the database answers"), []);
        for what in Finished::ALL {
            // As near the end as a look at the index alone still pays.
            store.newest(what, 100).await.expect("the database answers");
            store.prune(what, early, 0).await.expect("the database answers");
        }
        let of_account = registrations::Filter {
            account_id: Some(AccountId::new("account-0").expect("an id")),
            limit: 10,
            ..registrations::Filter::default()
        };
        store.registrations(&of_account).await.expect("the database answers");
        let of_registration = jobs::Filter {
            registration_id: Some("reg-1".to_owned()),
            limit: 10,
            ..jobs::Filter::default()
        };
        store.jobs(&of_registration).await.expect("the database answers");
        about_jobs(store).await;

        about_access(store, round).await;
        what_status_asks(store).await;

        let ids: Vec<_> = (0..5).map(|id| format!("new-{round}-{number}-{id}")).collect();
        let jobs: Vec<_> = ids.iter().map(|id| new_job(id, 1)).collect();
        let first = ids.iter().zip(&jobs).map(|(id, job)| Transition {
            jobs: vec![job.clone()],
            ..version(id, 1)
        });
        let first = commit_all(store, first.collect()).await;
        let next = ids.iter().zip(&jobs).map(|(id, job)| Transition {
            job: Some(ended(job.id, 1, "succeeded")),
            jobs: vec![NewJob {
                state: "succeeded",
                ..new_job(id, 2)
            }],
            ..version(id, 2)
        });
        let next = commit_all(store, next.collect()).await;
        assert!(
            first.iter().chain(&next).all(|answer| *answer == Ok(Verdict::Applied)),
            "{first:?} {next:?}"
        );
        let stale = Transition {
            inbox: Some(InboxWrite {
                seq: 1,
                source: "/portal".to_owned(),
                event_id: "1".to_owned(),
                done_ms: ms(1),
                lease: "intake".to_owned(),
                lease_epoch: 1,
            }),
            ..Transition::default()
        };
        assert_eq!(commit(store, stale).await, Verdict::Stale(Guard::Lease));
    }
}

/// What is asked by those who do something with many jobs, and of one.
async fn about_jobs(store: &Store) {
    let mut after = None;
    for state in ["dead", "retrying"] {
        let filter = jobs::Filter {
            state: Some(state.to_owned()),
            kind: Some(JobKind::Notification),
            error_class: Some("smtp_refused".to_owned()),
            since: Some(at(0)),
            limit: 10,
            ..jobs::Filter::default()
        };
        assert_eq!(store.jobs_after(&filter, after.as_ref()).await, Ok(vec![]));
        assert_eq!(store.count_jobs(&filter).await, Ok(0));
        assert_eq!(store.jobs_by_class(&filter).await, Ok(vec![]));
        let waiting = jobs::Filter {
            state: Some("queued".to_owned()),
            limit: 2,
            ..jobs::Filter::default()
        };
        let found = store.jobs_after(&waiting, None).await.expect("the database answers");
        after = found.last().map(Place::of);
        assert!(store.jobs_after(&waiting, after.as_ref()).await.is_ok());
    }
    let order = Order {
        by: "operator".to_owned(),
        reason: String::new(),
        at: at(1),
    };
    assert_eq!(store.requeue(&[new_id()], &order).await, Ok(vec![]));
    assert!(store.queue_loads(at(10)).await.is_ok());
    assert_eq!(store.attempts(new_id()).await, Ok(vec![]));
    assert_eq!(store.interventions(new_id()).await, Ok(vec![]));
}

/// What `enrolld status` asks, and who waits for what a command has handed in.
async fn what_status_asks(store: &Store) {
    for kind in JobKind::ALL {
        assert!(store.queued(*kind).await.is_ok());
    }
    for state in ["dead", "retrying"] {
        assert_eq!(store.failed_alike(state).await, Ok(vec![]));
    }
    for state in [StateName::AwaitingDa, StateName::Provisioning] {
        assert_eq!(store.longest_in(state, 5).await, Ok(vec![]));
        assert_eq!(store.in_state_before(state, at(10)).await, Ok(Waiting::default()));
    }
    let moved = store.moved_since(at(0), at(10), None, 500).await;
    assert!(moved.is_ok(), "{moved:?}");
    assert_eq!(store.overdue_timers(at(0)).await, Ok(Waiting::default()));
    assert_eq!(store.inbox_waiting().await, Ok(Waiting::default()));
    assert_eq!(store.bounced_since(at(0)).await, Ok(Bounced::default()));
    assert!(store.notices_waiting().await.is_ok());
    assert_eq!(store.event_state("0-1", "/enrolld/command", "none").await, Ok(None));
    assert_eq!(store.refused_at("0-1").await, Ok(None));
    assert_eq!(store.refused_of(&[0]).await, Ok(vec![]));
}

/// What gauges and alerts are made of.
async fn what_is_counted(store: &Store, now: DateTime<Utc>) {
    for kind in JobKind::ALL {
        store.queued(*kind).await.expect("the database answers");
    }
    for state in StateName::ALL {
        store.in_state_before(state, now).await.expect("the database answers");
    }
    store.failing().await.expect("the database answers");
    store.overdue_timers(now).await.expect("the database answers");
    store.inbox_waiting().await.expect("the database answers");
    store.notices_waiting().await.expect("the database answers");
    store.refused_between(at(0), now).await.expect("the database answers");
    store.count_registrations().await.expect("the database answers");
}

/// What is asked about access, delegation, bounces and cases.
async fn about_access(store: &Store, round: i64) {
    let account = AccountId::new("account-0").expect("an id");
    let organizations: Vec<_> = (0..3)
        .map(|n| OrganizationId::new(format!("organization-{n}")).expect("an id"))
        .collect();
    let registration = RegistrationId::new("reg-1").expect("an id");
    let open = store.open_requests(&account, &registration).await;
    assert_eq!(open, Ok(vec![]));
    let waiting = store.ids_waiting_for(&account, "reg-0", 100).await;
    assert_eq!(waiting, Ok(vec![]));
    for reason in [None, Some(ReviewReason::ProcessingFailed)] {
        assert_eq!(store.cases(reason, 100).await, Ok(vec![]));
    }
    let addresses = [EmailAddress::new("newbie@acme.example").expect("an address")];
    assert_eq!(store.suppressed(&addresses).await.map(|found| found.len()), Ok(0));
    assert_eq!(store.held(&account, &organizations).await, Ok(vec![]));
    assert_eq!(store.holds_access(&account, &organizations).await, Ok(false));
    assert!(store.appointments(&organizations).await.is_ok());
    assert!(store.removed_administrators(&organizations).await.is_ok());
    assert_eq!(store.has_accepted_terms(&account, &organizations[0]).await, Ok(false));
    let grant = new_grant("reg-1");
    let grant = NewGrant {
        organization_id: format!("organization-of-{}", grant.id),
        ..grant
    };
    let sync = NewSync {
        id: new_id(),
        grant_id: grant.id,
        target: "target".to_owned(),
        updated_ms: ms(1),
    };
    let made = Transition {
        grants: vec![grant.clone()],
        syncs: vec![sync.clone()],
        ..Transition::default()
    };
    applied(store, made).await;
    assert!(store.sync(sync.id).await.is_ok_and(|found| found.is_some()));
    assert_eq!(store.syncs_of(&[grant.id]).await.map(|found| found.len()), Ok(1));
    let ended = Transition {
        ended_grants: vec![EndedGrant {
            id: grant.id,
            ended_ms: ms(2),
            ended_by: None,
            trace: "trace-2".to_owned(),
        }],
        ended_appointments: vec![EndedAppointment {
            account_id: format!("nobody-{round}"),
            organization_id: "organization-1".to_owned(),
            ended_ms: ms(2),
        }],
        ..Transition::default()
    };
    applied(store, ended).await;
    let targets = ["target".to_owned()];
    let page = store.reconcile(&targets, "grant-1", at(0), 10, at(1)).await;
    assert!(page.is_ok(), "{page:?}");
}

/// Rows read by sequential scans of the large tables so far, once the sessions of `store` have ended and told.
async fn sequential_reads(server: &DatabaseServer, store: Store) -> BTreeMap<String, i64> {
    store
        .writer()
        .unbounded()
        .clone()
        .close()
        .await
        .expect("the pool closes");
    drop(store);
    let watcher = sea_orm::Database::connect(server.url())
        .await
        .expect("the database takes connections");
    let query = async |sql: &str| {
        let statement = Statement::from_string(watcher.get_database_backend(), sql);
        watcher.query_all_raw(statement).await.expect("the query is sound")
    };
    let start = tokio::time::Instant::now();
    while !query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'enrolld'")
        .await
        .is_empty()
    {
        assert!(start.elapsed() < PATIENCE, "the sessions do not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rows = query(
        "SELECT relname::text AS name, seq_tup_read FROM pg_stat_user_tables \
         WHERE relname IN ('registrations', 'timeline', 'jobs', 'inbox', 'refused', 'notices', 'grants', 'syncs', 'suppressions', \
         'appointments', 'removed_administrators')",
    )
    .await;
    let read = rows.iter().map(|row| {
        let name = row.try_get("", "name").expect("a name");
        (name, row.try_get("", "seq_tup_read").expect("a number"))
    });
    read.collect()
}
