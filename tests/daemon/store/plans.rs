//! Nothing that the daemon asks all day reads a whole table.

mod hot;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::*;
use crate::support::child::PATIENCE;

/// Rows of every large table: so many that reading all of them is the worse plan.
const ROWS: i64 = 20_000;

#[tokio::test]
async fn no_hot_query_reads_a_whole_table_of_postgres() {
    let (server, store) = open(Database::Postgres).await;
    // Warm up while the tables are empty: a plan made then must not stay when they have grown.
    hot::everything(&store, 0).await;
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
         INSERT INTO mails (id, kind, registration_id, step, recipient, state, created_ms)
             SELECT gen_random_uuid(), 'verification', 'reg-' || n, 1, '{{}}', CASE WHEN n % 5 = 0 THEN 'waiting' ELSE 'sent' END, {late} + n
             FROM generate_series(1, {ROWS}) n;
         INSERT INTO links SELECT gen_random_uuid(), 'reg-' || n, 'verify', NULL, 'n', 'k', 'digest-' || n, n, n
             FROM generate_series(1, {ROWS}) n;
         INSERT INTO attempts SELECT id, 0, 1, 1, 1, 'd', 'dead', 'c', NULL FROM jobs;
         INSERT INTO interventions SELECT id, 1, 'requeue', 'o', '' FROM jobs;
         INSERT INTO failed_attempts SELECT gen_random_uuid(), 'account-' || n, {late} + n FROM generate_series(1, {ROWS}) n;
         INSERT INTO schedule_ticks (schedule, tick_ms, ended_ms) SELECT 'schedule-' || n % 2, n, n FROM generate_series(1, {ROWS}) n;
         INSERT INTO delegations SELECT gen_random_uuid(), n, 'e', 'account-' || n, 'organization-' || n, 'a', NULL
             FROM generate_series(1, {ROWS}) n;
         INSERT INTO erased SELECT 'digest-' || n, n FROM generate_series(1, {ROWS}) n;
         INSERT INTO directory_organizations SELECT 'organization-' || n, 'n', '[]', 'US', NULL, '[]', false FROM generate_series(1, {ROWS}) n;
         INSERT INTO directory_accounts SELECT 'account-' || n, 'n', NULL, 'active', 'en', false FROM generate_series(1, {ROWS}) n;
         INSERT INTO directory_account_contracts SELECT 'account-' || n, n, 0 FROM generate_series(1, {ROWS}) n;
         INSERT INTO directory_contracts SELECT n, 't', 'active', NULL, 'organization-' || n, false FROM generate_series(1, {ROWS}) n;
         INSERT INTO directory_devices SELECT 'DEV' || n, n FROM generate_series(1, {ROWS}) n;
         INSERT INTO directory_administrators SELECT 'organization-' || n, 'account-' || n, n, 0 FROM generate_series(1, {ROWS}) n;
         INSERT INTO refused (entry, event, reason, detail, refused_ms, announced_ms)
             SELECT n, '', 'malformed', '{{}}', n, n FROM generate_series(1, {ROWS}) n;",
            late = ms(1_000_000),
        ),
    )
    .await;
    hot::everything(&store, 1).await;
    let before = sequential_reads(&server, store).await;

    // Without statistics, as in the first minute of a new installation, and with them.
    for analyze in [false, true] {
        let store = open_again(&server).await;
        if analyze {
            execute(&store, "ANALYZE").await;
        }
        hot::everything(&store, 2 + i64::from(analyze)).await;
        let after = sequential_reads(&server, store).await;
        assert_eq!(after, before, "rows read by sequential scans, analyzed: {analyze}");
    }
}

/// Tables that are always small: a row for each daemon, queue, and so on. Of what is on its way out there is little; an erasure looks for the
/// registration in all of it.
const SMALL: [&str; 6] = ["daemons", "d", "leases", "queues", "secrets", "notices"];

/// SQLite does not count what it reads, so the plan of every statement is looked at. It has no statistics, so empty tables will do.
#[tokio::test]
async fn no_hot_query_reads_a_whole_table_of_sqlite() {
    let server = Database::Sqlite.start();
    let asked: Arc<Mutex<BTreeMap<String, Statement>>> = Arc::default();
    let watch = Arc::clone(&asked);
    let url = server.url();
    let store = Store::open_watched(&url, CONNECTIONS, move |statement| {
        let mut asked = watch.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(statement.sql.clone(), statement.clone());
    });
    let store = store.await.expect("the database can be opened");
    let forget = || std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
    store.migrate().await.expect("the migrations are sound");
    forget();
    hot::everything(&store, 0).await;
    let asked = forget();
    assert!(asked.len() > 100, "only {} statements were seen", asked.len());
    let mut slow = Vec::new();
    for (sql, mut statement) in asked {
        statement.sql = format!("EXPLAIN QUERY PLAN {sql}");
        let steps = store
            .writer()
            .query_all_raw(statement)
            .await
            .expect("the query is sound");
        let steps: Vec<String> = steps
            .iter()
            .map(|step| step.try_get("", "detail").expect("a text"))
            .collect();
        if steps.iter().any(|step| reads_all(step, &steps)) || sql.contains("LIMIT") && sorts(&steps) {
            slow.push(format!("{sql}\n    {}", steps.join("\n    ")));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

/// Whether a step of a plan reads a whole table. An index read in its order, until the limit, is as good as a search in it; what the
/// statement itself has made is as small as its limits have it.
fn reads_all(step: &str, plan: &[String]) -> bool {
    let Some(scanned) = step.strip_prefix("SCAN ") else {
        return false;
    };
    let name = scanned.split_whitespace().next().unwrap_or_default();
    let is_made = plan.iter().any(|step| {
        ["CO-ROUTINE", "MATERIALIZE"]
            .iter()
            .any(|made| *step == format!("{made} {name}"))
    });
    let by_index = ["USING", "VIRTUAL TABLE", "CONSTANT ROW"]
        .iter()
        .any(|how| scanned.contains(how));
    !(by_index || is_made || SMALL.contains(&name))
}

/// Whether it sorts, for which all that fits has to be read: more than a registration's own, or what the statement itself has made.
fn sorts(plan: &[String]) -> bool {
    let is_little = |step: &String| {
        step.contains("(registration_id=?)")
            || step.starts_with("CO-ROUTINE")
            || SMALL.iter().any(|name| *step == format!("SCAN {name}"))
    };
    plan.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY")) && !plan.iter().any(is_little)
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
         WHERE relname NOT IN ('daemons', 'leases', 'queues', 'secrets', 'notices', 'seaql_migrations')",
    )
    .await;
    let read = rows.iter().map(|row| {
        let name = row.try_get("", "name").expect("a name");
        (name, row.try_get("", "seq_tup_read").expect("a number"))
    });
    read.collect()
}
