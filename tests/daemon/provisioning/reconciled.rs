//! The daily look, every second here: what is missing is put again, what is there again is deleted again (D11).

use serde_json::json;

use super::{builder, sync_jobs};
use crate::delegation::role_event;
use crate::steps::wait_rejected;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(
    d11_what_a_target_has_lost_is_put_again_and_what_came_back_is_deleted_again,
    d11_a_grant_taken_back_while_it_is_being_put_ends_absent,
);

async fn d11_what_a_target_has_lost_is_put_again_and_what_came_back_is_deleted_again(database: Database) {
    let (target, steady) = (Target::start("collector"), Target::start("steady"));
    let daemon = builder(database, &[&target, &steady])
        .setting("provisioning.reconcile_at", "* * * * * *")
        .start()
        .await;
    daemon.send(&role_event("role_assigned", "joiner", "boss")).await;
    target.wait_roles("joiner", &["api_developer"]).await;
    let grant = target.heard("joiner")[0].grant.clone();
    target.set(&grant, false);
    let put = target.wait_heard("PUT", "joiner", 2).await;
    assert_eq!(put[1].grant, grant);
    assert_ne!(put[1].key, put[0].key, "a target that remembers keys would do nothing");
    target.wait_roles("joiner", &["api_developer"]).await;
    target.set(&grant, false);
    let put = target.wait_heard("PUT", "joiner", 3).await;
    assert_ne!(put[2].key, put[1].key);
    assert_eq!(
        steady.heard_as("PUT", "joiner").len(),
        1,
        "where it is there it is not put again"
    );

    daemon.send(&role_event("role_removed", "joiner", "boss")).await;
    target.wait_heard("DELETE", "joiner", 1).await;
    target.wait_roles("joiner", &[]).await;
    target.set(&grant, true);
    target.wait_heard("DELETE", "joiner", 2).await;
    target.wait_roles("joiner", &[]).await;
    // It is asked about as long as somebody may wonder.
    let asked = target.heard_as("GET", "joiner").len();
    target.wait_heard("GET", "joiner", asked + 2).await;
    assert_eq!(target.heard_as("PUT", "joiner").len(), 3);
    assert_eq!(steady.heard_as("DELETE", "joiner").len(), 1);
    assert!(daemon.rejected().await.is_empty());
}

async fn d11_a_grant_taken_back_while_it_is_being_put_ends_absent(database: Database) {
    let target = Target::start("collector");
    target.always("joiner", Manner::Hold);
    let daemon = builder(database, &[&target]).start().await;
    daemon.send(&role_event("role_assigned", "joiner", "boss")).await;
    target.wait_heard("PUT", "joiner", 1).await;
    daemon.send(&role_event("role_removed", "joiner", "deputy")).await;
    wait_ended(&daemon).await;
    target.let_go();
    // The target has it by now; the answer comes too late to count.
    target.wait_heard("DELETE", "joiner", 1).await;
    target.wait_roles("joiner", &[]).await;
    let start = std::time::Instant::now();
    let wanted = json!({"target": "collector", "phase": "absent", "losses": 0, "state": "succeeded", "attempts": 1,
        "error_class": null});
    while sync_jobs(&daemon).await != [wanted.clone()] {
        assert!(
            start.elapsed() < crate::support::child::PATIENCE,
            "{:#?}",
            sync_jobs(&daemon).await
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // What was taken back cannot be taken back again.
    daemon.send(&role_event("role_removed", "joiner", "boss")).await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "not_assigned");
}

async fn wait_ended(daemon: &TestDaemon) {
    let start = std::time::Instant::now();
    while daemon.count("grants WHERE ended_ms IS NOT NULL").await == 0 {
        assert!(
            start.elapsed() < crate::support::child::PATIENCE,
            "it is not taken back"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
