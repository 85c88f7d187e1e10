//! Access is brought to every target, whatever the targets do (R38–R40, R60, D11).

mod overdue;
mod reconciled;
mod stopped;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, confirm, first, press, select, stable, timers};
use crate::support::child::PATIENCE;
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::database::Database;
use crate::support::events;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(
    r38_r39_a_da_grants_and_the_applicant_is_told_once_the_target_has_it,
    r60_d11_an_appointment_is_active_once_every_target_has_both_grants_however_they_behave,
    d11_a_target_that_hangs_does_not_hold_up_another,
);

const AGENTS: &str = "agents@vendor.example";

pub(crate) fn builder(database: Database, targets: &[&Target]) -> Builder {
    let targets = targets.iter().map(|target| target.setting()).collect();
    TestDaemon::builder(database)
        .setting("dispatcher.poll", "50ms")
        .setting("provisioning.poll", "100ms")
        .setting("provisioning.targets", toml::Value::Array(targets))
        .setting("review.mailbox", AGENTS)
}

/// The jobs that bring grants to targets, in a stable order.
pub(super) async fn sync_jobs(daemon: &TestDaemon) -> Vec<Value> {
    daemon
        .rows(
            "SELECT s.target, s.phase, s.losses, j.state, j.attempts, j.error_class FROM syncs s JOIN jobs j ON j.id = s.id \
             JOIN grants g ON g.id = s.grant_id ORDER BY g.account_id, g.access, s.target",
        )
        .await
}

/// Waits until a table has so many rows that hold a condition (`syncs WHERE …`).
pub(crate) async fn wait_count(daemon: &TestDaemon, rows: &str, count: usize) {
    let start = Instant::now();
    while daemon.count(rows).await != count {
        assert!(
            start.elapsed() < PATIENCE,
            "there are never {count} {rows}: {:#?}",
            sync_jobs(daemon).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn r38_r39_a_da_grants_and_the_applicant_is_told_once_the_target_has_it(database: Database) {
    let target = Target::start("collector");
    target.always("joiner", Manner::Accept);
    let daemon = builder(database, &[&target]).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::da_granted("reg-1", "boss", "api_developer")).await;
    let view = daemon.wait_state("reg-1", "provisioning").await;
    insta::assert_json_snapshot!("provisioning_view_set_up", stable(&view));

    // 202: it is asked again and again, and nobody is told yet.
    target.wait_heard("GET", "joiner", 2).await;
    let put = &target.heard("joiner")[0];
    assert_eq!(put.method, "PUT");
    assert_eq!(
        put.body,
        json!({"account_id": "joiner", "organization_id": "globex-west", "role": "api_developer"})
    );
    assert_eq!(put.key, put.grant, "contract, section 5: a key of this putting");
    assert_eq!(put.authorization, format!("Bearer {}", target.token()));
    assert_eq!(daemon.view("reg-1").await["state"], "provisioning");
    assert!(
        !daemon.kinds_about("reg-1").contains(&"access_approved".to_owned()),
        "R37"
    );
    // Nobody can withdraw what is granted, and no agent has a case.
    daemon.send(&events::withdrawn("reg-1")).await;
    daemon.send(&events::rejected("reg-1", "No.")).await;
    let refused = crate::steps::wait_rejected(&daemon, 2).await;
    assert!(
        refused.iter().all(|refused| refused.code() == "wrong_state"),
        "{refused:?}"
    );

    target.always("joiner", Manner::Well);
    let view = daemon.wait_state("reg-1", "active").await;
    insta::assert_json_snapshot!("provisioning_view_active", stable(&view));
    let told = first(daemon.wait_kind("access_approved", "reg-1", 1).await);
    assert!(told.text.contains("API Developer"), "R37: {}", told.text);
    assert_eq!(target.heard_as("PUT", "joiner").len(), 1, "accepted once");
    assert_eq!(timers(&daemon, "reg-1").await, []);
    let jobs = sync_jobs(&daemon).await;
    assert_eq!(
        jobs,
        [
            json!({"target": "collector", "phase": "present", "losses": 0, "state": "succeeded", "attempts": 1,
            "error_class": null})
        ]
    );
}

async fn r60_d11_an_appointment_is_active_once_every_target_has_both_grants_however_they_behave(database: Database) {
    let (bad, slow) = (Target::start("bad"), Target::start("slow"));
    bad.script(
        "newbie",
        [
            Manner::Reset,
            Manner::Status(500),
            Manner::Later(1),
            Manner::Flood(100 * 1024 * 1024),
            Manner::Status(503),
        ],
    );
    slow.always("newbie", Manner::Hold);
    let daemon = builder(database, &[&bad, &slow]).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "provisioning").await;
    let both = ["customer_administrator", "delegated_administrator"];
    bad.wait_roles("newbie", &both).await;
    slow.wait_heard("PUT", "newbie", 2).await;
    assert_eq!(daemon.view("reg-1").await["state"], "provisioning");
    assert_eq!(daemon.kinds_about("reg-1"), ["verification"], "R66: once it is active");

    slow.let_go();
    slow.wait_roles("newbie", &both).await;
    let view = daemon.wait_state("reg-1", "active").await;
    insta::assert_json_snapshot!("provisioning_view_appointed", stable(&view)["title"]);
    for kind in ["welcome", "customer_administrator", "da_terms"] {
        daemon.wait_kind(kind, "reg-1", 1).await;
    }
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["customer_administrator", "da_terms", "verification", "welcome"]
    );
    // A reset, 500, 503, 429 and the wait for an answer are the target's fault.
    let attempts = "SELECT max(attempts) FROM jobs WHERE kind = 'provisioning_sync'";
    assert_eq!(daemon.number(attempts).await, Some(1));
    // However often it was put, it was one putting.
    for heard in bad.heard("newbie") {
        assert_eq!((heard.method.as_str(), &heard.key), ("PUT", &heard.grant));
    }
}

async fn d11_a_target_that_hangs_does_not_hold_up_another(database: Database) {
    const COMPANIES: usize = 8;
    let (hanging, other) = (Target::start("hanging"), Target::start("other"));
    let daemon = builder(database, &[&hanging, &other])
        .directory(&companies(COMPANIES, 1, true))
        .setting("workers.provisioning_sync.concurrency", 2)
        .start()
        .await;
    let name = |n: usize| format!("reg-{n}");
    for n in 0..COMPANIES {
        hanging.always(&format!("c{n}-a"), Manner::Hold);
    }
    let submitted: Vec<_> = (0..COMPANIES).map(|n| submitted_at(&name(n), n, "a")).collect();
    daemon.send_all(&submitted).await;
    for n in 0..COMPANIES {
        daemon.wait_state(&name(n), "awaiting_confirmation").await;
    }
    let confirmed: Vec<_> = (0..COMPANIES).map(|n| events::confirmed(&name(n))).collect();
    let granted: Vec<_> = (0..COMPANIES)
        .map(|n| events::da_granted(&name(n), &format!("c{n}-da"), "customer_user"))
        .collect();
    daemon.send_all(&[confirmed, granted].concat()).await;
    // One of its two workers hangs at a time.
    for n in 0..COMPANIES {
        other.wait_roles(&format!("c{n}-a"), &["customer_user"]).await;
    }
    assert_eq!(
        daemon.count("syncs WHERE target = 'hanging' AND phase <> 'new'").await,
        0
    );
    for n in 0..COMPANIES {
        hanging.always(&format!("c{n}-a"), Manner::Well);
    }
    hanging.let_go();
    for n in 0..COMPANIES {
        daemon.wait_state(&name(n), "active").await;
    }
    let attempts = "SELECT max(attempts) FROM jobs WHERE kind = 'provisioning_sync'";
    assert_eq!(daemon.number(attempts).await, Some(1));
}
