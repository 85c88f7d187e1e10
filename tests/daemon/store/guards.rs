//! What keeps a transition from being written.

use enrolld::store::inbox::NewEvent;
use enrolld::store::leases::Lease;
use enrolld::store::transition::{Guard, InboxWrite, Transition, Verdict};
use enrolld_jobs::values::OrganizationId;
use std::time::Duration;

use super::*;

crate::support::for_each_database!(
    of_two_commits_of_one_version_one_is_applied,
    two_daemons_write_one_version_once,
    one_of_many_appointments_in_a_tree_is_applied,
    a_tree_guard_that_does_not_raise_lets_others_pass,
    a_job_in_another_run_or_ended_is_stale,
    an_event_is_applied_once,
    an_event_under_a_lost_lease_is_not_applied,
    repeats_of_one_event_are_applied_once_whatever_they_are_about,
);

fn verdicts(answers: Vec<Result<Verdict, StoreError>>) -> (usize, usize) {
    let all = answers.into_iter().map(|answer| answer.expect("no refusal"));
    let (applied, stale): (Vec<_>, Vec<_>) = all.partition(|verdict| *verdict == Verdict::Applied);
    (applied.len(), stale.len())
}

async fn of_two_commits_of_one_version_one_is_applied(database: Database) {
    let (_server, store) = open(database).await;
    for number in 1..=3 {
        let job = new_job("reg-1", number);
        let with_job = Transition {
            jobs: vec![job],
            ..version("reg-1", number)
        };
        let other = Transition {
            jobs: vec![new_job("reg-1", number)],
            ..version("reg-1", number)
        };
        let answers = commit_all(&store, vec![with_job, other]).await;
        assert_eq!(answers[0], Ok(Verdict::Applied));
        assert_eq!(answers[1], Ok(Verdict::Stale(Guard::Registration)));
    }
    assert_eq!(count(&store, "jobs").await, 3);
    assert_eq!(count(&store, "timeline").await, 3);
    assert_eq!(
        commit(&store, version("reg-1", 5)).await,
        Verdict::Stale(Guard::Registration)
    );
    assert_eq!(
        commit(&store, version("reg-2", 2)).await,
        Verdict::Stale(Guard::Registration)
    );
}

async fn two_daemons_write_one_version_once(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    for number in 1..=4 {
        // In other orders: what locks what first must not matter.
        let ids: Vec<_> = (0..40).map(|id| format!("reg-{id:02}")).collect();
        let mine = ids.iter().map(|id| version(id, number)).collect();
        let theirs = ids.iter().rev().map(|id| version(id, number)).collect();
        let (mine, theirs) = tokio::join!(commit_all(&store, mine), commit_all(&other, theirs));
        let (mine, theirs) = (verdicts(mine), verdicts(theirs));
        assert_eq!(mine.0 + theirs.0, 40, "{mine:?} {theirs:?}");
    }
    assert_eq!(count(&store, "timeline").await, 160);
    assert_eq!(count(&store, "registrations WHERE version = 4").await, 40);
}

async fn one_of_many_appointments_in_a_tree_is_applied(database: Database) {
    let (_server, store) = open(database).await;
    let acme = OrganizationId::new("acme").expect("an id");
    let epoch = store.tree_epoch(&acme).await.expect("the database answers");
    assert_eq!(epoch, 0);
    for epoch in 0..3 {
        let all = (0..30).map(|id| appointment(&format!("reg-{epoch}-{id}"), epoch));
        let answers = commit_all(&store, all.collect()).await;
        let stale = answers
            .iter()
            .filter(|answer| **answer == Ok(Verdict::Stale(Guard::Tree)));
        assert_eq!(stale.count(), 29, "{answers:?}");
        assert_eq!(verdicts(answers), (1, 29));
        assert_eq!(store.tree_epoch(&acme).await.expect("the database answers"), epoch + 1);
    }
    assert_eq!(count(&store, "appointments").await, 3);
    assert_eq!(count(&store, "registrations").await, 3);
    assert_eq!(count(&store, "notices").await, 3);
}

async fn a_tree_guard_that_does_not_raise_lets_others_pass(database: Database) {
    let (_server, store) = open(database).await;
    let acme = OrganizationId::new("acme").expect("an id");
    store.tree_epoch(&acme).await.expect("the database answers");
    let resting = |id: &str, epoch| {
        let mut transition = appointment(id, epoch);
        transition.appointments.clear();
        transition.tree.as_mut().expect("a guard").raises = false;
        transition
    };
    let answers = commit_all(&store, (0..10).map(|id| resting(&format!("reg-{id}"), 0)).collect()).await;
    assert_eq!(verdicts(answers), (10, 0));
    applied(&store, appointment("reg-11", 0)).await;
    assert_eq!(commit(&store, resting("reg-12", 0)).await, Verdict::Stale(Guard::Tree));
    applied(&store, resting("reg-12", 1)).await;
}

async fn a_job_in_another_run_or_ended_is_stale(database: Database) {
    let (_server, store) = open(database).await;
    let (first, second, third) = (new_job("reg-1", 1), new_job("reg-1", 1), timer("reg-1", 1, 60));
    let jobs = vec![first.clone(), second.clone(), third.clone()];
    applied(
        &store,
        Transition {
            jobs,
            ..version("reg-1", 1)
        },
    )
    .await;
    let ending = |id, run_no, number| Transition {
        job: Some(ended(id, run_no, "succeeded")),
        ..version("reg-1", number)
    };
    let stale = Verdict::Stale(Guard::Job);
    assert_eq!(commit(&store, ending(first.id, 2, 2)).await, stale);
    assert_eq!(commit(&store, ending(first.id, 0, 2)).await, stale);
    assert_eq!(commit(&store, ending(third.id, 0, 2)).await, stale, "it is not queued");
    assert_eq!(commit(&store, ending(new_id(), 1, 2)).await, stale, "it is not there");
    assert_eq!(count(&store, "timeline").await, 1);
    applied(&store, ending(first.id, 1, 2)).await;
    assert_eq!(commit(&store, ending(first.id, 1, 3)).await, stale, "it has ended");
    assert_eq!(
        commit(&store, ending(second.id, 1, 3)).await,
        stale,
        "it was cancelled with its step"
    );
    assert_eq!(count(&store, "timeline").await, 2);

    // Two runs of one job end at the same time, each with another registration's version.
    let job = new_job("reg-1", 3);
    applied(
        &store,
        Transition {
            jobs: vec![job.clone()],
            ..version("reg-1", 3)
        },
    )
    .await;
    let ends = (0..20).map(|id| Transition {
        job: Some(ended(job.id, 1, "succeeded")),
        ..version(&format!("other-{id}"), 1)
    });
    assert_eq!(verdicts(commit_all(&store, ends.collect()).await), (1, 19));
}

/// Puts events into the inbox, and returns their numbers with the lease.
async fn inbox(store: &Store, keys: &[(&str, &str)]) -> (Lease, Vec<i64>) {
    let lease = store
        .hold_lease("intake", "daemon-1", at(0), Duration::from_mins(1))
        .await;
    let lease = lease.expect("the database answers").expect("nobody else holds it");
    let events: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(number, (subject, event_id))| NewEvent {
            entry: format!("1-{number}"),
            source: "/portal".to_owned(),
            event_id: (*event_id).to_owned(),
            subject: (*subject).to_owned(),
            kind: "registration.submitted".to_owned(),
            body: "{}".to_owned(),
        })
        .collect();
    store
        .take_in(&lease, &events, &[], at(0))
        .await
        .expect("the lease is held");
    let waiting = store.waiting_events(0, 1_000).await.expect("the database answers");
    (lease, waiting.iter().map(|event| event.seq).collect())
}

fn applying(lease: &Lease, seq: i64, event_id: &str, registration: &str) -> Transition {
    Transition {
        inbox: Some(InboxWrite {
            seq,
            source: "/portal".to_owned(),
            event_id: event_id.to_owned(),
            done_ms: ms(1),
            lease: lease.name.to_owned(),
            lease_epoch: lease.epoch,
        }),
        ..version(registration, 1)
    }
}

async fn an_event_is_applied_once(database: Database) {
    let (_server, store) = open(database).await;
    let (lease, seqs) = inbox(&store, &[("reg-1", "e-1"), ("reg-2", "e-1"), ("reg-3", "e-3")]).await;
    applied(&store, applying(&lease, seqs[0], "e-1", "reg-1")).await;
    assert_eq!(
        count(&store, "inbox WHERE state = 'applied' AND done_ms IS NOT NULL").await,
        1
    );
    let again = commit(&store, applying(&lease, seqs[0], "e-1", "reg-4")).await;
    assert_eq!(again, Verdict::Stale(Guard::Inbox));
    let repeat = commit(&store, applying(&lease, seqs[1], "e-1", "reg-2")).await;
    assert_eq!(repeat, Verdict::Stale(Guard::Duplicate));
    let nowhere = commit(&store, applying(&lease, 4711, "e-9", "reg-5")).await;
    assert_eq!(nowhere, Verdict::Stale(Guard::Inbox));
    assert_eq!(count(&store, "registrations").await, 1);

    store.end_repeated(seqs[1], at(2)).await.expect("the database answers");
    let left = store.waiting_events(0, 10).await.expect("the database answers");
    assert_eq!(left.iter().map(|event| event.seq).collect::<Vec<_>>(), [seqs[2]]);
}

async fn an_event_under_a_lost_lease_is_not_applied(database: Database) {
    let (_server, store) = open(database).await;
    let (lease, seqs) = inbox(&store, &[("reg-1", "e-1")]).await;
    pass(&store, 61).await;
    let taken = store
        .hold_lease("intake", "daemon-2", at(0), Duration::from_mins(1))
        .await;
    let taken = taken.expect("the database answers").expect("it has expired");
    let late = commit(&store, applying(&lease, seqs[0], "e-1", "reg-1")).await;
    assert_eq!(late, Verdict::Stale(Guard::Lease));
    assert_eq!(count(&store, "registrations").await, 0);
    applied(&store, applying(&taken, seqs[0], "e-1", "reg-1")).await;
}

async fn repeats_of_one_event_are_applied_once_whatever_they_are_about(database: Database) {
    let (_server, store) = open(database).await;
    let subjects: Vec<_> = (0..60).map(|number| format!("reg-{number}")).collect();
    let event_ids: Vec<_> = (0..60).map(|number| format!("e-{}", number % 10)).collect();
    let keys: Vec<_> = subjects
        .iter()
        .map(String::as_str)
        .zip(event_ids.iter().map(String::as_str))
        .collect();
    let (lease, seqs) = inbox(&store, &keys).await;
    let all = keys
        .iter()
        .zip(&seqs)
        .map(|((subject, id), seq)| applying(&lease, *seq, id, subject));
    let answers = commit_all(&store, all.collect()).await;
    let repeats = answers
        .iter()
        .filter(|answer| **answer == Ok(Verdict::Stale(Guard::Duplicate)));
    assert_eq!(repeats.count(), 50, "{answers:?}");
    assert_eq!(count(&store, "inbox WHERE state = 'applied'").await, 10);
    assert_eq!(count(&store, "registrations").await, 10);
}
