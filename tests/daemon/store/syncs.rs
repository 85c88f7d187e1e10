//! Grants on their way to targets: what counts, what is queued again, and who looks (D11).

use enrolld::store::entities::{grant, sync};
use enrolld::store::transition::{EndedGrant, GrantGuard, Guard, NewSync, SyncWrite, Transition, Verdict};
use enrolld_jobs::effect::sync_id;

use super::*;

crate::support::for_each_database!(
    d11_a_result_counts_only_while_the_grant_is_wanted_as_it_was,
    d11_taking_back_queues_the_job_whatever_has_become_of_it,
    d11_reconciling_queues_what_is_done_with_and_leaves_the_rest,
);

const KIND: &str = "provisioning_sync";
/// Every state that a job can be in.
const STATES: [&str; 8] = [
    "scheduled",
    "queued",
    "running",
    "retrying",
    "succeeded",
    "dead",
    "cancelled",
    "discarded",
];

/// A grant of no registration with its syncs at `targets`, and their jobs.
fn granted(grant: &NewGrant, targets: &[&str]) -> Transition {
    let syncs: Vec<_> = targets
        .iter()
        .map(|target| NewSync {
            id: sync_id(grant.id, target),
            grant_id: grant.id,
            target: (*target).to_owned(),
            updated_ms: ms(1),
        })
        .collect();
    Transition {
        jobs: syncs.iter().map(|sync| job_of(sync.id)).collect(),
        grants: vec![grant.clone()],
        syncs,
        ..Transition::default()
    }
}

fn job_of(id: Uuid) -> NewJob {
    NewJob {
        id,
        kind: KIND,
        registration_id: None,
        step: 0,
        step_bound: false,
        ..new_job("", 1)
    }
}

fn taken_back(id: Uuid, at: i64) -> Transition {
    Transition {
        ended_grants: vec![EndedGrant {
            id,
            ended_ms: ms(at),
            ended_by: None,
            trace: "trace-2".to_owned(),
        }],
        ..Transition::default()
    }
}

/// A target has confirmed, or so the run thinks.
fn confirmed(grant: Uuid, target: &str, is_open: bool) -> Transition {
    let id = sync_id(grant, target);
    Transition {
        job: Some(ended(id, 1, "succeeded")),
        sync: Some(SyncWrite {
            id,
            phase: if is_open { "present" } else { "absent" },
            losses: 1,
            updated_ms: ms(5),
        }),
        grant: Some(GrantGuard { id: grant, is_open }),
        ..Transition::default()
    }
}

async fn stored_sync(store: &Store, id: Uuid) -> (sync::Model, grant::Model) {
    let found = store.sync(id).await.expect("the database answers");
    found.expect("it is there")
}

async fn set_state(store: &Store, id: Uuid, state: &str) {
    let set = "attempts = 3, failures = 4, crashes = 1, error = 'e', error_class = 'c', note = 'n', run_no = 7";
    execute(
        store,
        &format!("UPDATE jobs SET state = '{state}', {set} WHERE id = '{id}'"),
    )
    .await;
}

async fn d11_a_result_counts_only_while_the_grant_is_wanted_as_it_was(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    let grant = new_grant("reg-1");
    let (left, right) = (sync_id(grant.id, "left"), sync_id(grant.id, "right"));
    applied(&store, granted(&grant, &["left", "right"])).await;
    let too_early = confirmed(grant.id, "left", false);
    assert_eq!(commit(&store, too_early).await, Verdict::Stale(Guard::Grant));
    applied(&store, confirmed(grant.id, "left", true)).await;
    let (sync, row) = stored_sync(&store, left).await;
    assert_eq!((sync.phase.as_str(), sync.losses, row.ended_ms), ("present", 1, None));

    applied(&other, taken_back(grant.id, 9)).await;
    let late = confirmed(grant.id, "right", true);
    assert_eq!(commit(&store, late).await, Verdict::Stale(Guard::Grant));
    let (sync, row) = stored_sync(&store, right).await;
    assert_eq!((sync.phase.as_str(), row.ended_ms), ("new", Some(ms(9))));
    assert_eq!(job_states(&store, &[right]).await, ["queued"], "its run goes on");
    applied(&store, confirmed(grant.id, "right", false)).await;
    // Ended once is ended then.
    applied(&store, taken_back(grant.id, 20)).await;
    assert_eq!(stored_sync(&store, right).await.1.ended_ms, Some(ms(9)));
    let nowhere = confirmed(new_id(), "left", true);
    assert_eq!(commit(&store, nowhere).await, Verdict::Stale(Guard::Job));

    // At the same moment, by two daemons: what is present at the end is wanted.
    let grants: Vec<_> = (0..40).map(|_| new_grant("reg-1")).collect();
    commit_all(&store, grants.iter().map(|grant| granted(grant, &["left"])).collect()).await;
    let results = grants.iter().map(|grant| confirmed(grant.id, "left", true)).collect();
    let ends = grants.iter().rev().map(|grant| taken_back(grant.id, 9)).collect();
    let (results, ends) = tokio::join!(commit_all(&store, results), commit_all(&other, ends));
    assert!(ends.iter().all(|answer| *answer == Ok(Verdict::Applied)), "{ends:?}");
    for (grant, result) in grants.iter().zip(results) {
        let id = sync_id(grant.id, "left");
        let (phase, state) = (
            stored_sync(&store, id).await.0.phase,
            stored_job(&store, id).await.state,
        );
        match result.expect("the database takes it") {
            Verdict::Applied => assert_eq!(
                (phase.as_str(), state.as_str()),
                ("present", "scheduled"),
                "it is taken back"
            ),
            Verdict::Stale(guard) => {
                assert_eq!(guard, Guard::Grant);
                assert_eq!((phase.as_str(), state.as_str()), ("new", "queued"));
            }
        }
    }
}

async fn d11_taking_back_queues_the_job_whatever_has_become_of_it(database: Database) {
    let (_server, store) = open(database).await;
    let grants: Vec<_> = STATES.iter().map(|_| new_grant("reg-1")).collect();
    for (grant, state) in grants.iter().zip(STATES) {
        applied(&store, granted(grant, &["target"])).await;
        set_state(&store, sync_id(grant.id, "target"), state).await;
    }
    // A job of long ago is not there any more, and of a grant without targets there never was one.
    let (forgotten, nowhere) = (new_grant("reg-1"), new_grant("reg-1"));
    applied(&store, granted(&forgotten, &["target"])).await;
    let job = sync_id(forgotten.id, "target");
    execute(&store, &format!("DELETE FROM jobs WHERE id = '{job}'")).await;
    applied(&store, granted(&nowhere, &[])).await;
    let all = grants.iter().chain([&forgotten, &nowhere]);
    // In one transaction, as for an appointment's grants.
    let together = Transition {
        ended_grants: all
            .map(|grant| EndedGrant {
                id: grant.id,
                ended_ms: ms(30),
                ended_by: None,
                trace: "trace-2".to_owned(),
            })
            .collect(),
        ..Transition::default()
    };
    applied(&store, together).await;
    for (grant, state) in grants.iter().zip(STATES) {
        let row = stored_job(&store, sync_id(grant.id, "target")).await;
        let counted = (row.attempts, row.failures, row.crashes);
        if ["queued", "running"].contains(&state) {
            // Its run finds out: by what it reads at its start, or by the guard at its end.
            assert_eq!((row.state.as_str(), counted), (state, (3, 4, 1)));
            continue;
        }
        assert_eq!((row.state.as_str(), row.run_at_ms), ("scheduled", ms(30)), "{state}");
        assert_eq!((counted, row.run_no), ((0, 0, 0), 7), "{state}");
        assert_eq!(
            (row.error, row.error_class, row.note, row.finished_ms),
            (None, None, None, None)
        );
    }
    let row = stored_job(&store, job).await;
    assert_eq!(
        (row.kind.as_str(), row.state.as_str(), row.run_no),
        (KIND, "scheduled", 0)
    );
    assert_eq!(row.registration_id.as_deref(), Some("reg-1"));
    assert_eq!(count(&store, "jobs").await, 9);
    assert_eq!(count(&store, "grants WHERE ended_ms IS NULL").await, 0);
    let due = store.take_due(at(30), 100).await.expect("the database answers");
    assert_eq!(due.len(), 7, "{due:?}");
}

async fn d11_reconciling_queues_what_is_done_with_and_leaves_the_rest(database: Database) {
    let (_server, store) = open(database).await;
    let targets = ["old".to_owned(), "new".to_owned()];
    let grants: Vec<_> = STATES.iter().map(|_| new_grant("reg-1")).collect();
    for (grant, state) in grants.iter().zip(STATES) {
        applied(&store, granted(grant, &["old", "gone"])).await;
        set_state(&store, sync_id(grant.id, "old"), state).await;
        set_state(&store, sync_id(grant.id, "gone"), "succeeded").await;
    }
    // Taken back lately, and long ago; both are done with.
    let (lately, long_ago) = (new_grant("reg-1"), new_grant("reg-1"));
    for (grant, ended_at) in [(&lately, 100), (&long_ago, 99)] {
        applied(&store, granted(grant, &["old"])).await;
        applied(&store, taken_back(grant.id, ended_at)).await;
        set_state(&store, sync_id(grant.id, "old"), "succeeded").await;
    }

    let mut after = String::new();
    let mut rounds = 0;
    while let Some(last) = store
        .reconcile(&targets, &after, at(100), 4, at(200))
        .await
        .expect("the database answers")
    {
        assert!(last > after);
        after = last;
        rounds += 1;
    }
    assert_eq!(rounds, 3, "9 grants, 4 at once");
    for (grant, state) in grants.iter().zip(STATES) {
        let row = stored_job(&store, sync_id(grant.id, "old")).await;
        let expected = match state {
            "succeeded" | "cancelled" => ("scheduled", 0, ms(200)),
            other => (other, 3, ms(1)),
        };
        assert_eq!((row.state.as_str(), row.attempts, row.run_at_ms), expected);
        // A target that was configured later.
        let id = sync_id(grant.id, "new");
        assert_eq!(stored_sync(&store, id).await.0.phase, "new");
        assert_eq!(stored_job(&store, id).await.state, "scheduled");
        // One that is configured no more.
        let row = stored_job(&store, sync_id(grant.id, "gone")).await;
        assert_eq!(row.state, "succeeded");
    }
    assert_eq!(job_states(&store, &[sync_id(lately.id, "old")]).await, ["scheduled"]);
    assert_eq!(job_states(&store, &[sync_id(long_ago.id, "old")]).await, ["succeeded"]);
    let made = count(&store, "syncs WHERE target = 'new'").await;
    assert_eq!(made, 8, "what was taken back need not be brought to a new target");

    // Once more changes nothing: everything is under way, or not ours to queue.
    let jobs = rows::<job::Entity>(&store).await;
    while let Some(last) = store
        .reconcile(&targets, &after, at(100), 4, at(300))
        .await
        .expect("the database answers")
    {
        after = last;
    }
    assert_eq!(rows::<job::Entity>(&store).await, jobs);
}
