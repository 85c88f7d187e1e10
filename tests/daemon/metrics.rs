//! What Prometheus reads (contract, section 6), and what is made of it.

pub(crate) mod exposition;
mod monitoring;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use self::exposition::{Exposition, scrape};
use crate::steps::{JOINER, confirm};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::promtool::promtool;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(a_road_is_seen_in_every_family);

/// Scrapes until `holds`, and returns that.
async fn wait_for(daemon: &TestDaemon, wanted: &str, holds: impl Fn(&Exposition) -> bool) -> Exposition {
    let start = Instant::now();
    loop {
        let seen = scrape(daemon).await;
        if holds(&seen) {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "never {wanted}:\n{}", seen.text);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_road_is_seen_in_every_family(database: Database) {
    let target = Target::start("collector");
    target.script("joiner", [Manner::Status(503)]);
    let daemon = TestDaemon::builder(database)
        .smtp()
        .setting("dispatcher.poll", "50ms")
        .setting("metrics.every", "100ms")
        .setting("provisioning.poll", "100ms")
        .setting("provisioning.targets", toml::Value::Array(vec![target.setting()]))
        .start()
        .await;
    daemon.send_fields(&[("event", b"not JSON")]).await;
    confirm(&daemon, "reg-1", JOINER).await;
    let repeated = events::da_granted("reg-1", "boss", "customer_user");
    daemon.send(&repeated).await;
    daemon.send(&repeated).await;
    daemon.wait_state("reg-1", "active").await;

    // Both the counters, which tell of this daemon, and the gauges, which are gathered.
    let seen = wait_for(&daemon, "all that the road leaves", |seen| {
        seen.value("enrolld_registrations", &[("state", "active")]) == Some(1.0)
            && seen.value("enrolld_intake_events_total", &[("result", "repeated")]) == Some(1.0)
            && seen.value(
                "enrolld_mails_total",
                &[("kind", "access_approved"), ("result", "sent")],
            ) == Some(1.0)
            && seen.value("enrolld_events_out_total", &[("stream", "rejected")]) == Some(1.0)
            && seen.value("enrolld_queue_unread_entries", &[("kind", "notification")]) == Some(0.0)
    })
    .await;
    for (name, labels, least) in [
        ("enrolld_intake_events_total", &[("result", "applied")][..], 3.0),
        ("enrolld_intake_refusals_total", &[("reason", "malformed")], 1.0),
        (
            "enrolld_job_runs_total",
            &[("kind", "verification"), ("result", "succeeded")],
            1.0,
        ),
        (
            "enrolld_job_runs_total",
            &[("kind", "provisioning_sync"), ("result", "postponed")],
            1.0,
        ),
        (
            "enrolld_job_failures_total",
            &[("kind", "provisioning_sync"), ("class", "target_unavailable")],
            1.0,
        ),
        (
            "enrolld_target_calls_total",
            &[("target", "collector"), ("method", "PUT"), ("answer", "not_now")],
            1.0,
        ),
        ("enrolld_target_up", &[("target", "collector")], 1.0),
        ("enrolld_dependency_up", &[("dependency", "database")], 1.0),
        ("enrolld_dependency_up", &[("dependency", "redis")], 1.0),
        ("enrolld_dependency_up", &[("dependency", "smtp")], 1.0),
        ("enrolld_daemons_alive", &[], 1.0),
        ("enrolld_registration_changes_total", &[("state", "awaiting_da")], 1.0),
        (
            "enrolld_registration_state_duration_seconds_count",
            &[("state", "awaiting_da")],
            1.0,
        ),
        ("enrolld_commit_batch_transitions_count", &[], 1.0),
        ("enrolld_intake_duration_seconds_count", &[], 3.0),
        (
            "enrolld_job_wait_duration_seconds_count",
            &[("kind", "notification")],
            1.0,
        ),
    ] {
        let value = seen.value(name, labels);
        assert!(
            value.is_some_and(|value| value >= least),
            "{name} {labels:?}: {value:?}\n{}",
            seen.text
        );
    }
    seen.is_as_listed();
    let text = promtool(&["check", "metrics"], Path::new("."), &seen.text);
    assert_eq!(text, "", "promtool finds nothing");
    for personal in ["@", "joiner", "boss", "reg-1", "globex"] {
        assert!(!seen.text.contains(personal), "{personal}:\n{}", seen.text);
    }
}

#[tokio::test]
async fn with_redis_away_the_scrape_answers_and_says_so() {
    let mut daemon = TestDaemon::builder(Database::Sqlite)
        .setting("metrics.every", "100ms")
        .start()
        .await;
    let redis = |seen: &Exposition| seen.value("enrolld_dependency_up", &[("dependency", "redis")]);
    wait_for(&daemon, "all there", |seen| redis(seen) == Some(1.0)).await;
    daemon.redis.kill();
    let seen = wait_for(&daemon, "Redis away", |seen| redis(seen) == Some(0.0)).await;
    assert_eq!(
        seen.value("enrolld_dependency_up", &[("dependency", "database")]),
        Some(1.0)
    );
    // What the database tells is gathered all the same.
    let before = seen.value("enrolld_gathered_timestamp_seconds", &[("source", "database")]);
    wait_for(&daemon, "gathered again", |seen| {
        seen.value("enrolld_gathered_timestamp_seconds", &[("source", "database")]) > before
    })
    .await;
    daemon.redis.restart();
    wait_for(&daemon, "Redis back", |seen| redis(seen) == Some(1.0)).await;
}

#[tokio::test]
async fn metrics_are_on_the_private_listener_only() {
    let port = crate::support::child::free_port();
    let daemon = TestDaemon::builder(Database::Sqlite)
        .setting("http.public_bind", format!("127.0.0.1:{port}"))
        .start()
        .await;
    let status = async |url: String| {
        let answer = daemon.http().get(url).send().await.expect("the daemon answers");
        answer.status().as_u16()
    };
    assert_eq!(status(daemon.at("/metrics")).await, 200);
    assert_eq!(status(format!("http://127.0.0.1:{port}/healthz")).await, 200);
    assert_eq!(status(format!("http://127.0.0.1:{port}/metrics")).await, 404);
}

/// Whatever upstream sends, no label takes its words.
#[tokio::test]
async fn no_label_is_of_upstreams_choice() {
    let daemon = TestDaemon::builder(Database::Sqlite)
        .setting("metrics.every", "100ms")
        .start()
        .await;
    let mut unknown = events::confirmed("unheard-of");
    daemon.send(&unknown).await;
    unknown["type"] = json!("registration.unheard_of");
    daemon.send(&unknown).await;
    let answer = daemon.http().get(daemon.at("/unheard-of")).send().await;
    assert_eq!(answer.expect("the daemon answers").status().as_u16(), 404);
    let seen = wait_for(&daemon, "both refused", |seen| {
        ["unknown_registration", "unknown_type"]
            .iter()
            .all(|reason| seen.value("enrolld_intake_refusals_total", &[("reason", reason)]) == Some(1.0))
    })
    .await;
    let values: BTreeSet<_> = seen.samples.iter().flat_map(|sample| sample.labels.values()).collect();
    assert!(values.iter().all(|value| !value.contains("unheard")), "{values:?}");
}
