//! Nothing that the daemon asks all day reads a whole table.

use std::collections::BTreeMap;
use std::time::Duration;

use enrolld::store::jobs;
use enrolld::store::registrations;
use enrolld::store::transition::{Guard, InboxWrite, Transition, Verdict};
use enrolld_jobs::job::JobKind;
use enrolld_jobs::values::AccountId;

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

/// All that runs again and again, several times: statistics are those of generic plans then.
async fn everything_hot(store: &Store, round: i64) {
    let (early, now) = (at(0), at(10));
    for number in 0..3 {
        store.take_due(now, 100).await.expect("the database answers");
        for kind in JobKind::ALL {
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
        store
            .take_abandoned(now, Duration::from_secs(10), 100)
            .await
            .expect("the database answers");
        assert_eq!(store.waiting_events(0, 100).await.expect("the database answers"), []);
        assert_eq!(store.unannounced(100).await.expect("the database answers"), []);
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

/// Rows read by sequential scans of the large tables so far, once the sessions of `store` have ended and told.
async fn sequential_reads(server: &DatabaseServer, store: Store) -> BTreeMap<String, i64> {
    store.writer().clone().close().await.expect("the pool closes");
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
         WHERE relname IN ('registrations', 'timeline', 'jobs', 'inbox', 'refused')",
    )
    .await;
    let read = rows.iter().map(|row| {
        let name = row.try_get("", "name").expect("a name");
        (name, row.try_get("", "seq_tup_read").expect("a number"))
    });
    read.collect()
}
