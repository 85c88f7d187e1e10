//! Redis emptied, the mail server away or refusing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::steps::{Applicant, JOINER, NEWBIE, confirm, first, press, select};
use crate::support::child::PATIENCE;
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::database::{Database, DatabaseServer};
use crate::support::events;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(
    redis_may_be_emptied_while_registrations_wait,
    while_redis_stalls_work_waits,
    while_redis_is_a_replica_work_waits,
    a_mail_that_is_late_tells_what_was_decided_on,
    while_the_mail_server_is_away_mail_waits_and_is_sent_once,
    a_mail_refused_for_good_is_dead_and_the_registration_goes_on,
);

/// The audit looks for what was queued more than 30 s ago.
const AUDIT_PATIENCE: Duration = Duration::from_secs(50);

async fn redis_may_be_emptied_while_registrations_wait(database: Database) {
    const COMPANIES: usize = 60;
    // One at a time, so that the others surely wait.
    let mut daemon = TestDaemon::builder(database)
        .directory(&companies(COMPANIES, 2, false))
        .setting("workers.verification.concurrency", 1)
        .start()
        .await;
    let name = |n: usize| format!("reg-{n}");
    let submitted: Vec<_> = (0..COMPANIES).map(|n| submitted_at(&name(n), n, "a")).collect();
    daemon.send_all(&submitted).await;
    // As soon as jobs wait in the stream.
    let start = Instant::now();
    loop {
        daemon.stall();
        // More than the daemon has read ahead, so that some are in Redis alone.
        if daemon.stream_length("jobs:verification").await > 10 && daemon.intake_backlog().await == (0, 0) {
            break;
        }
        daemon.go_on();
        assert!(start.elapsed() < Duration::from_secs(20), "jobs never wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    flush(&daemon).await;
    daemon.go_on();
    // With consumer groups, leases and all gone, new ones are taken in at once.
    daemon.send(&submitted_at("reg-new", 0, "b")).await;
    daemon.wait_state("reg-new", "awaiting_organization").await;
    for n in 0..COMPANIES {
        daemon
            .wait_view_for(AUDIT_PATIENCE, &name(n), "at its choice", |view| {
                view["state"] == "awaiting_organization"
            })
            .await;
    }

    // Redis killed, and back with nothing in it; again, with the daemon stopped in between.
    daemon.redis.restart();
    daemon.send(&events::organization_selected("reg-new", Some("c0"))).await;
    daemon.wait_state("reg-new", "awaiting_email").await;
    let mail = first(daemon.wait_kind("verification", "reg-new", 1).await);
    daemon.terminate();
    daemon.redis.restart();
    daemon.start().await;
    press(&daemon, &mail).await;
    daemon.wait_state("reg-new", "active").await;
    daemon.wait_kind("welcome", "reg-new", 1).await;
    assert_eq!(daemon.number("SELECT max(attempts) FROM jobs").await, Some(1));
    assert!(
        daemon.log().contains("were not in their stream"),
        "the audit has found what was lost"
    );
}

async fn asked(daemon: &TestDaemon, path: &str) -> (u16, String) {
    let answer = reqwest::get(daemon.at(path)).await.expect("the daemon answers");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// What `/readyz` tells, once it has this status.
async fn readiness(daemon: &TestDaemon, wanted: u16) -> Value {
    let start = Instant::now();
    loop {
        let (status, body) = asked(daemon, "/readyz").await;
        if status == wanted {
            return serde_json::from_str(&body).expect("it is JSON");
        }
        assert!(start.elapsed() < PATIENCE, "{status} for {wanted}: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whatever work waits for makes the daemon unready, and it is ready again by itself.
#[tokio::test]
async fn readiness_tells_what_work_waits_for() {
    let target = Target::start("collector");
    let mut daemon = TestDaemon::builder(Database::Postgres)
        .smtp()
        .setting("provisioning.targets", toml::Value::Array(vec![target.setting()]))
        .start()
        .await;
    let server = |daemon: &mut TestDaemon, stop: bool| {
        let DatabaseServer::Postgres(server) = &mut daemon.database else {
            unreachable!("the builder was told so")
        };
        if stop { server.stop() } else { server.restart() }
    };
    server(&mut daemon, true);
    let body = readiness(&daemon, 503).await;
    assert_eq!(
        (&body["ready"], &body["checks"]["database"]["ok"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(body["checks"]["redis"]["ok"], true, "{body}");
    assert_eq!(asked(&daemon, "/healthz").await, (200, "ok".to_owned()));
    server(&mut daemon, false);
    assert_eq!(readiness(&daemon, 200).await["ready"], true);

    // A mail server: only once somebody needs it.
    daemon.smtp.as_mut().expect("the builder was told so").stop();
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    assert_eq!(asked(&daemon, "/readyz").await.0, 200);
    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    let body = readiness(&daemon, 503).await;
    assert_eq!(body["checks"]["services"]["error"], "work waits for: smtp");
    daemon.smtp.as_mut().expect("the builder was told so").restart();
    let mail = first(daemon.wait_kind("verification", "reg-1", 1).await);
    readiness(&daemon, 200).await;

    target.always(NEWBIE.account, Manner::Status(503));
    press(&daemon, &mail).await;
    let body = readiness(&daemon, 503).await;
    assert_eq!(body["checks"]["services"]["error"], "work waits for: target collector");
    target.always(NEWBIE.account, Manner::Well);
    daemon.wait_state("reg-1", "active").await;
    readiness(&daemon, 200).await;

    daemon
        .rows("ALTER TABLE directory_devices RENAME TO directory_elsewhere")
        .await;
    let body = readiness(&daemon, 503).await;
    assert_eq!(body["checks"]["directory"]["ok"], false, "{body}");
    daemon
        .rows("ALTER TABLE directory_elsewhere RENAME TO directory_devices")
        .await;
    readiness(&daemon, 200).await;
}

async fn while_redis_stalls_work_waits(database: Database) {
    const COMPANIES: usize = 20;
    let mut daemon = TestDaemon::builder(database)
        .directory(&companies(COMPANIES, 1, false))
        .start()
        .await;
    let name = |n: usize| format!("reg-{n}");
    let submitted: Vec<_> = (0..COMPANIES).map(|n| submitted_at(&name(n), n, "a")).collect();
    daemon.send_all(&submitted).await;
    daemon.redis.stall();
    tokio::time::sleep(Duration::from_secs(3)).await;
    daemon.redis.go_on();
    for n in 0..COMPANIES {
        daemon
            .wait_view_for(AUDIT_PATIENCE, &name(n), "at its choice", |view| {
                view["state"] == "awaiting_organization"
            })
            .await;
    }
    assert_eq!(daemon.number("SELECT max(attempts) FROM jobs").await, Some(1));
    daemon.wait_intake_empty().await;
}

/// After a failover the old primary may go on answering, as a replica: `READONLY` to whatever changes something.
async fn while_redis_is_a_replica_work_waits(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("dispatcher.poll", "50ms")
        .start()
        .await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    let pid = daemon.pid();
    let follow = async |host: &str, port: &str| {
        let mut connection = daemon.redis_connection().await;
        let mut follow = redis::cmd("REPLICAOF");
        follow.arg(host).arg(port);
        let followed: redis::RedisResult<()> = follow.query_async(&mut connection).await;
        followed.expect("Redis answers");
    };
    // Of a primary that is not there.
    follow("127.0.0.1", "1").await;
    let body = readiness(&daemon, 503).await;
    assert!(
        body["checks"]["redis"]["error"]
            .to_string()
            .contains("read only replica"),
        "{body}"
    );
    // Links need no Redis; what follows from them waits.
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
    let waiting = "jobs WHERE kind = 'notification' AND state = 'queued'";
    assert_eq!(daemon.count(waiting).await, 3);
    // It is told once, not at every try.
    let told = daemon.log().matches("Redis is away").count();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(daemon.log().matches("Redis is away").count(), told);
    follow("NO", "ONE").await;
    readiness(&daemon, 200).await;
    for kind in ["welcome", "customer_administrator", "da_terms"] {
        daemon.wait_kind(kind, "reg-1", 1).await;
    }
    daemon.send(&JOINER.submitted("reg-2")).await;
    daemon.wait_state("reg-2", "awaiting_confirmation").await;
    assert_eq!(daemon.number("SELECT max(attempts) FROM jobs").await, Some(1));
    assert_eq!(daemon.count("jobs WHERE state = 'dead'").await, 0);
    assert_eq!(daemon.pid(), pid, "no process ends");
}

async fn flush(daemon: &TestDaemon) {
    let mut connection = daemon.redis_connection().await;
    let flushed: redis::RedisResult<()> = redis::cmd("FLUSHALL").query_async(&mut connection).await;
    flushed.expect("Redis answers");
}

#[tokio::test]
async fn while_postgres_is_away_work_waits() {
    const COMPANIES: usize = 60;
    let mut daemon = TestDaemon::builder(Database::Postgres)
        .directory(&companies(COMPANIES, 1, true))
        .start()
        .await;
    let name = |n: usize| format!("reg-{n}");
    let submitted: Vec<_> = (0..COMPANIES).map(|n| submitted_at(&name(n), n, "a")).collect();
    daemon.send_all(&submitted).await;
    // Cut off in the middle, twice: at once, and with an orderly stop.
    daemon.wait_state(&name(0), "awaiting_confirmation").await;
    let DatabaseServer::Postgres(server) = &mut daemon.database else {
        unreachable!("asked for above");
    };
    server.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.restart();
    for n in 0..COMPANIES {
        wait_through(&daemon, &name(n), "awaiting_confirmation").await;
    }
    let confirmed: Vec<_> = (0..COMPANIES).map(|n| events::confirmed(&name(n))).collect();
    daemon.send_all(&confirmed).await;
    daemon.wait_state(&name(0), "awaiting_da").await;
    let DatabaseServer::Postgres(server) = &mut daemon.database else {
        unreachable!("asked for above");
    };
    server.restart();
    for n in 0..COMPANIES {
        wait_through(&daemon, &name(n), "awaiting_da").await;
        assert_eq!(daemon.wait_kind("access_request", &name(n), 1).await.len(), 1);
    }
    let start = Instant::now();
    // Timers are for later, or of the wait that is over.
    let open = "jobs WHERE state NOT IN ('succeeded', 'scheduled', 'cancelled')";
    while daemon.count(open).await > 0 {
        assert!(start.elapsed() < AUDIT_PATIENCE, "jobs are left over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(daemon.number("SELECT max(attempts) FROM jobs").await, Some(1));
    assert!(daemon.rejected().await.is_empty());
    daemon.wait_intake_empty().await;
}

/// Waits for a state while the daemon may answer that it cannot tell now.
async fn wait_through(daemon: &TestDaemon, registration: &str, state: &str) {
    let sql = format!("registrations WHERE id = '{registration}' AND state = '{state}'");
    let start = Instant::now();
    while daemon.count(&sql).await == 0 {
        assert!(
            start.elapsed() < AUDIT_PATIENCE,
            "{registration} is not {state}, but {:?}",
            daemon
                .rows(&format!("SELECT state FROM registrations WHERE id = '{registration}'"))
                .await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn while_the_mail_server_is_away_mail_waits_and_is_sent_once(database: Database) {
    let mut daemon = TestDaemon::builder(database).smtp().start().await;
    let smtp = daemon.smtp.as_mut().expect("the builder was told so");
    smtp.stop();
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    daemon.wait_state("reg-1", "awaiting_email").await;
    let job = wait_job(&daemon, "email_verification", |job| {
        job["state"] == "retrying" && job["failures"].as_i64() >= Some(2)
    })
    .await;
    assert_eq!(job["attempts"], 0, "an outage spends no attempt");
    assert_eq!(job["error_class"], "smtp");
    assert_eq!(mail_state(&daemon, "verification").await, "waiting");

    daemon.smtp.as_mut().expect("the builder was told so").restart();
    let mail = first(daemon.wait_kind("verification", "reg-1", 1).await);
    let job = wait_job(&daemon, "email_verification", |job| job["state"] == "succeeded").await;
    assert_eq!(job["attempts"], 1);
    assert_eq!(mail_state(&daemon, "verification").await, "sent");
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
    for kind in ["welcome", "customer_administrator", "da_terms"] {
        daemon.wait_kind(kind, "reg-1", 1).await;
    }
    assert_eq!(daemon.mails().len(), 4, "each once");
}

async fn a_mail_that_is_late_tells_what_was_decided_on(database: Database) {
    let mut daemon = TestDaemon::builder(database).smtp().start().await;
    daemon.import(
        &json!({"accounts": [{"id": "other", "name": "Mx Other", "email": "other@globex.example",
        "status": "active", "locale": "en", "flagged": false, "contracts": ["10000001"]}]}),
    );
    daemon.smtp.as_mut().expect("the builder was told so").stop();
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_state("reg-1", "active").await;
    // Another is granted too late, and begins anew with something else (D21, R28).
    let other = Applicant {
        account: "other",
        ..JOINER
    };
    confirm(&daemon, "reg-2", other).await;
    daemon.import(
        &json!({"contracts": [{"number": "10000001", "type": "solution_support", "status": "active",
        "ends_on": "2020-12-31", "organization_id": "globex-west", "flagged": false}]}),
    );
    daemon.send(&events::da_granted("reg-2", "boss", "customer_user")).await;
    daemon.wait_state("reg-2", "needs_correction").await;
    daemon.send(&events::resubmitted("reg-2", "4711", "ABC")).await;
    daemon
        .wait_view("reg-2", "told of another contract", |view| {
            view["field_errors"][0]["code"] == "contract_not_associated"
        })
        .await;
    wait_job(&daemon, "notification", |job| job["state"] == "retrying").await;

    daemon.smtp.as_mut().expect("the builder was told so").restart();
    let approved = first(daemon.wait_kind("access_approved", "reg-1", 1).await);
    assert!(approved.text.contains("Bea Boss"), "who decided: {}", approved.text);
    let correction = first(daemon.wait_kind("correction_needed", "reg-2", 1).await);
    assert!(
        correction.text.contains("not associated"),
        "what is wrong now: {}",
        correction.text
    );
    wait_job_count(&daemon, "state NOT IN ('succeeded', 'scheduled', 'cancelled')", 0).await;
    // Nobody is asked for a decision that was made, or told of a request that is another by now (D23).
    assert_eq!(daemon.kinds_about("reg-1"), ["access_approved"]);
    assert_eq!(daemon.kinds_about("reg-2"), ["correction_needed"]);
    assert_eq!(
        daemon.count("mails WHERE state = 'waiting'").await,
        0,
        "each is sent or skipped"
    );
}

async fn a_mail_refused_for_good_is_dead_and_the_registration_goes_on(database: Database) {
    let daemon = TestDaemon::builder(database).smtp().start().await;
    let smtp = daemon.smtp.as_ref().expect("the builder was told so");
    // Both: the request to the DA, and the notice to the other.
    smtp.fail_next(2, 550);
    confirm(&daemon, "reg-1", JOINER).await;
    let job = wait_job(&daemon, "notification", |job| job["state"] == "dead").await;
    assert_eq!(job["error_class"], "smtp_refused");
    let error = job["error"].as_str().expect("a dead job tells why");
    assert!(
        !error.contains("bea@globex.example") && error.contains("550"),
        "{error}"
    );
    wait_job_count(&daemon, "state = 'dead'", 2).await;
    assert_eq!(mail_state(&daemon, "access_request").await, "failed");
    assert_eq!(mail_state(&daemon, "access_request_notice").await, "failed");
    assert!(daemon.mails().is_empty());

    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_state("reg-1", "active").await;
    daemon.wait_kind("access_approved", "reg-1", 1).await;

    // Not now is not never: that spends an attempt, and comes through (greylisting).
    let mut other = NEWBIE;
    other.account = "nieuweling";
    daemon.smtp.as_ref().expect("the builder was told so").fail_next(1, 450);
    select(&daemon, "reg-2", other, "acme").await;
    let job = wait_job(&daemon, "email_verification", |job| job["state"] == "succeeded").await;
    assert_eq!(job["attempts"], 2);
}

async fn wait_job(daemon: &TestDaemon, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let sql = format!("SELECT * FROM jobs WHERE kind = '{kind}'");
    let start = Instant::now();
    loop {
        let jobs = daemon.rows(&sql).await;
        if let Some(job) = jobs.iter().find(|job| holds(job)) {
            return job.clone();
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "no job of kind {kind} is as wanted: {jobs:#?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until `count` jobs are as the condition says.
async fn wait_job_count(daemon: &TestDaemon, condition: &str, count: usize) {
    let jobs = format!("jobs WHERE {condition}");
    let start = Instant::now();
    while daemon.count(&jobs).await != count {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "there are never {count} {jobs}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn mail_state(daemon: &TestDaemon, kind: &str) -> String {
    let rows = daemon
        .rows(&format!("SELECT state FROM mails WHERE kind = '{kind}'"))
        .await;
    let state = rows.first().and_then(|row| row["state"].as_str());
    state.expect("there is one").to_owned()
}
