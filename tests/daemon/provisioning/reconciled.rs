//! The daily look, every second here: what is missing is put again, what is there again is deleted again (D11).

use serde_json::{Value, json};

use super::{builder, sync_jobs, wait_count};
use crate::delegation::role_event;
use crate::steps::wait_rejected;
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
    target.always("newbie", Manner::HoldThen(422));
    let daemon = builder(database, &[&target]).start().await;
    for account in ["joiner", "newbie"] {
        daemon.send(&role_event("role_assigned", account, "boss")).await;
        target.wait_heard("PUT", account, 1).await;
        daemon.send(&role_event("role_removed", account, "deputy")).await;
    }
    wait_count(&daemon, "grants WHERE ended_ms IS NOT NULL", 2).await;
    target.always("newbie", Manner::Well);
    target.let_go();
    // It has the one by now, and has refused the other: both answers come too late to count.
    for account in ["joiner", "newbie"] {
        target.wait_heard("DELETE", account, 1).await;
        target.wait_roles(account, &[]).await;
    }
    wait_count(&daemon, "syncs WHERE phase = 'absent'", 2).await;
    wait_count(
        &daemon,
        "jobs WHERE kind = 'provisioning_sync' AND state = 'succeeded'",
        2,
    )
    .await;
    for job in sync_jobs(&daemon).await {
        assert_eq!(
            (&job["attempts"], &job["error_class"]),
            (&json!(1), &Value::Null),
            "{job}"
        );
    }
    // What was taken back cannot be taken back again.
    daemon.send(&role_event("role_removed", "joiner", "boss")).await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "not_assigned");
}
