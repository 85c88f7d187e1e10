//! What another has to make good: the work of a daemon that is killed, and the memory of a Redis that is older than it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::steps::timeline;
use crate::support::child::PATIENCE;
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::target::{Manner, Target};

/// What is promised: silence for `heartbeat.dead_after` (20 s), and time to see it (`heartbeat.every`, 5 s) and to begin.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(30);

crate::support::for_each_database!(redis_may_fail_over_to_what_it_was_a_while_ago);

fn role_assigned(n: usize) -> Value {
    json!({"specversion": "1.0", "id": format!("role-{n}"), "source": "/portal", "type": "delegation.role_assigned",
        "subject": format!("c{n}-a"), "data": {"by": format!("c{n}-da"), "organization_id": format!("c{n}"), "role": "api_developer"}})
}

/// With the daemon's own settings: the promise is theirs.
#[tokio::test]
async fn the_running_jobs_of_a_killed_daemon_are_taken_over_in_time() {
    const CALLS: usize = 12;
    let target = Target::start("collector");
    for n in 0..CALLS {
        target.always(&format!("c{n}-a"), Manner::Hold);
    }
    let mut daemon = TestDaemon::builder(Database::Postgres)
        .directory(&companies(CALLS, 1, true))
        .setting("workers.provisioning_sync.concurrency", 4)
        .setting("provisioning.targets", toml::Value::Array(vec![target.setting()]))
        .start()
        .await;
    let mut second = daemon.start_second().await;
    let assigned: Vec<_> = (0..CALLS).map(role_assigned).collect();
    daemon.send_all(&assigned).await;
    // Both are in the middle of calls.
    let running = "SELECT d.pid, COUNT(*) AS number FROM jobs j JOIN daemons d ON d.id = j.daemon_id \
                   WHERE j.state = 'running' AND j.kind = 'provisioning_sync' GROUP BY d.pid";
    let start = Instant::now();
    let number = loop {
        let rows = daemon.rows(running).await;
        let of_second = rows.iter().find(|row| row["pid"].as_u64() == Some(second.id().into()));
        let calls = daemon.count("jobs WHERE kind = 'provisioning_sync'").await;
        if let Some(number) = of_second
            .filter(|_| rows.len() == 2 && calls == CALLS)
            .and_then(|row| row["number"].as_u64())
        {
            break number;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "one of the daemons has nothing to do: {rows:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    second.kill();
    target.let_go();
    let killed = Instant::now();
    let open = "jobs WHERE kind = 'provisioning_sync' AND state <> 'succeeded'";
    while daemon.count(open).await > 0 {
        assert!(
            killed.elapsed() < TAKEN_OVER_WITHIN,
            "{} calls are not made good",
            daemon.count(open).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!(
        "{number} running jobs of a killed daemon were through {:.1} s later",
        killed.elapsed().as_secs_f64()
    );
    // Nobody's attempt is spent, and the target knows each call again by its key.
    assert_eq!(daemon.count("jobs WHERE attempts > 1").await, 0);
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for n in 0..CALLS {
        for put in target.heard_as("PUT", &format!("c{n}-a")) {
            keys.entry(put.grant).or_default().insert(put.key);
        }
    }
    assert_eq!(keys.len(), CALLS);
    assert!(keys.values().all(|keys| keys.len() == 1), "{keys:?}");
    daemon.terminate();
}

/// Whoever could not reach Redis for a while may have been silent for the same reason as others, who are alive: nobody claims before Redis has
/// been there for `heartbeat.dead_after`.
#[tokio::test]
async fn nobody_claims_who_could_not_reach_redis_a_moment_ago() {
    const DEAD_AFTER: Duration = Duration::from_secs(4);
    let mut daemon = TestDaemon::builder(Database::Sqlite)
        .durable_redis()
        .setting("heartbeat.every", "100ms")
        .setting("heartbeat.dead_after", "4s")
        .start()
        .await;
    // One entry is a daemon's that nobody has heard of.
    let stream = daemon.key("jobs:verification");
    let mut given = redis::pipe();
    given.atomic();
    given
        .cmd("XADD")
        .arg(&stream)
        .arg("*")
        .arg("job")
        .arg(uuid::Uuid::nil().to_string())
        .arg("run")
        .arg(1);
    given
        .cmd("XREADGROUP")
        .arg("GROUP")
        .arg("workers")
        .arg("gone")
        .arg("STREAMS")
        .arg(&stream)
        .arg(">");
    let pending = async |connection: &mut redis::aio::MultiplexedConnection| {
        let mut pending = redis::cmd("XPENDING");
        pending
            .arg(&stream)
            .arg("workers")
            .arg("-")
            .arg("+")
            .arg(10)
            .arg("gone");
        let entries: Vec<redis::Value> = pending.query_async(connection).await.expect("Redis answers");
        entries.len()
    };
    // Once there is a group to read for.
    let mut connection = daemon.redis_connection().await;
    let start = Instant::now();
    loop {
        let mut groups = redis::cmd("XINFO");
        groups.arg("GROUPS").arg(&stream);
        let made: redis::RedisResult<Vec<redis::Value>> = groups.query_async(&mut connection).await;
        if made.is_ok_and(|groups| !groups.is_empty()) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "nobody reads the stream");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    daemon.redis.kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    daemon.redis.restart();
    let mut connection = daemon.redis_connection().await;
    let _: redis::Value = given.query_async(&mut connection).await.expect("Redis answers");
    assert_eq!(pending(&mut connection).await, 1);
    let back = Instant::now();
    while pending(&mut connection).await > 0 {
        assert!(back.elapsed() < PATIENCE, "it is never taken over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It may have found Redis to be back a little earlier than this test.
    let passed = back.elapsed();
    assert!(passed > DEAD_AFTER / 2, "it was claimed after {passed:?}");
    assert!(daemon.log().contains("taking over entries that nobody is working on"));
}

/// What a replica has that was not up to date: entries that were worked off are there again, and later ones are not.
async fn redis_may_fail_over_to_what_it_was_a_while_ago(database: Database) {
    const COMPANIES: usize = 30;
    let mut daemon = TestDaemon::builder(database)
        .directory(&companies(COMPANIES, 1, true))
        .start()
        .await;
    let name = |n: usize| format!("reg-{n}");
    let submitted: Vec<_> = (0..COMPANIES).map(|n| submitted_at(&name(n), n, "a")).collect();
    daemon.send_all(&submitted[..COMPANIES / 2]).await;
    for n in 0..COMPANIES / 2 {
        daemon.wait_state(&name(n), "awaiting_confirmation").await;
    }
    // Saved with entries read and unread in it, of the intake and of queues.
    daemon.stall();
    daemon.send_all(&submitted[COMPANIES / 2..]).await;
    let mut redis = daemon.redis_connection().await;
    let saved: redis::RedisResult<()> = redis::cmd("SAVE").query_async(&mut redis).await;
    saved.expect("Redis can write");
    daemon.go_on();
    for n in 0..COMPANIES {
        daemon.wait_state(&name(n), "awaiting_confirmation").await;
    }
    let confirmed: Vec<_> = (0..COMPANIES).map(|n| events::confirmed(&name(n))).collect();
    daemon.send_all(&confirmed).await;
    daemon.wait_intake_empty().await;

    daemon.redis.restart();
    assert!(
        daemon.stream_length("intake").await > 0,
        "what was taken in is there again"
    );
    for n in 0..COMPANIES {
        let view = daemon
            .wait_view_for(Duration::from_secs(50), &name(n), "with the DA", |view| {
                view["state"] == "awaiting_da"
            })
            .await;
        let steps = ["submitted", "verified", "routed", "confirmed"].map(|step| format!("registration.{step}"));
        assert_eq!(timeline(&view), steps, "each once");
        assert_eq!(daemon.wait_kind("access_request", &name(n), 1).await.len(), 1);
    }
    daemon.wait_intake_empty().await;
    assert!(daemon.rejected().await.is_empty());
    assert_eq!(daemon.count("refused").await, 0);
    assert_eq!(daemon.number("SELECT max(attempts) FROM jobs").await, Some(1));
}
