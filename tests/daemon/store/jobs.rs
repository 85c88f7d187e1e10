//! Which jobs are taken, by whom, and when.

use std::collections::HashSet;
use std::time::Duration;

use enrolld::queue::JobRef;
use enrolld::store::daemons::Daemon;
use enrolld::store::jobs::Filter;
use enrolld::store::transition::Transition;
use enrolld_jobs::job::JobKind;

use super::*;

crate::support::for_each_database!(
    due_jobs_are_taken_once_by_two_daemons,
    the_most_overdue_are_taken_first,
    jobs_queued_for_long_are_taken_once,
    crashes_are_counted_for_the_present_run_only,
    jobs_of_silent_and_stopped_daemons_are_made_due,
    jobs_are_listed,
);

const DEAD_AFTER: Duration = Duration::from_secs(22);

async fn due_jobs_are_taken_once_by_two_daemons(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    let mut jobs: Vec<_> = (0..200).map(|number| timer("reg-1", 1, number % 50)).collect();
    let late: Vec<_> = (0..5).map(|number| timer("reg-1", 1, 101 + number)).collect();
    jobs.extend(late.iter().cloned());
    let due: HashSet<_> = jobs[..200].iter().map(|job| job.id).collect();
    let late: Vec<_> = late.iter().map(|job| job.id).collect();
    applied(
        &store,
        Transition {
            jobs,
            ..version("reg-1", 1)
        },
    )
    .await;

    let take_all = async |store: &Store| {
        let mut taken = Vec::new();
        loop {
            let some = store.take_due(at(100), 16).await.expect("the database answers");
            assert!(some.len() <= 16, "{} at once", some.len());
            if some.is_empty() {
                return taken;
            }
            taken.extend(some);
            tokio::task::yield_now().await;
        }
    };
    let (mut taken, theirs) = tokio::join!(take_all(&store), take_all(&other));
    taken.extend(theirs);
    // What one had locked the other leaves out; nothing of it stays behind.
    taken.extend(take_all(&store).await);
    assert_eq!(taken.len(), 200);
    let ids: HashSet<_> = taken.iter().map(|(_, job)| job.id).collect();
    assert_eq!(ids, due);
    assert!(
        taken
            .iter()
            .all(|(kind, job)| *kind == JobKind::Verification && job.run_no == 1)
    );
    assert_eq!(
        count(
            &store,
            "jobs WHERE state = 'queued' AND run_no = 1 AND queued_ms IS NOT NULL"
        )
        .await,
        200
    );
    assert_eq!(job_states(&store, &late).await, ["scheduled"; 5]);
}

async fn the_most_overdue_are_taken_first(database: Database) {
    let (_server, store) = open(database).await;
    let jobs: Vec<_> = (0..100).map(|number| timer("reg-1", 1, (number * 37) % 100)).collect();
    applied(
        &store,
        Transition {
            jobs,
            ..version("reg-1", 1)
        },
    )
    .await;
    store.take_due(at(100), 30).await.expect("the database answers");
    let early = format!("jobs WHERE state = 'queued' AND run_at_ms < {}", ms(30));
    assert_eq!(count(&store, &early).await, 30);
    assert_eq!(count(&store, "jobs WHERE state = 'queued'").await, 30);
}

async fn jobs_queued_for_long_are_taken_once(database: Database) {
    let (_server, store) = open(database).await;
    let (old, new) = (new_job("reg-1", 1), new_job("reg-1", 50));
    let other_kind = NewJob {
        kind: "notification",
        ..new_job("reg-1", 1)
    };
    let jobs = vec![old.clone(), new, other_kind.clone(), timer("reg-1", 1, 60)];
    applied(
        &store,
        Transition {
            jobs,
            ..version("reg-1", 1)
        },
    )
    .await;

    let take = async |kind, now| {
        let taken = store.take_queued_before(kind, at(now - 30), at(now), 10).await;
        taken.expect("the database answers")
    };
    let expected = |job: &NewJob, kind| vec![(kind, JobRef { id: job.id, run_no: 1 })];
    assert_eq!(
        take(JobKind::Verification, 40).await,
        expected(&old, JobKind::Verification)
    );
    assert_eq!(take(JobKind::Verification, 40).await, [], "it counts as queued now");
    assert_eq!(
        take(JobKind::Notification, 40).await,
        expected(&other_kind, JobKind::Notification)
    );
    let count = async |before: Option<i64>, at_most| {
        let counted = store.count_queued(JobKind::Verification, before.map(at), at_most).await;
        counted.expect("the database answers")
    };
    assert_eq!((count(None, 10).await, count(None, 1).await), (2, 1));
    assert_eq!((count(Some(50), 10).await, count(Some(51), 10).await), (1, 2));
    assert_eq!(take(JobKind::Verification, 200).await.len(), 2, "30 s later again");
    assert_eq!(stored_job(&store, old.id).await.run_no, 1);
}

async fn crashes_are_counted_for_the_present_run_only(database: Database) {
    let (_server, store) = open(database).await;
    let job = new_job("reg-1", 1);
    applied(
        &store,
        Transition {
            jobs: vec![job.clone()],
            ..version("reg-1", 1)
        },
    )
    .await;
    let note = async |run_no| {
        let noted = store.note_crash(JobRef { id: job.id, run_no }, "gone", at(5)).await;
        noted.expect("the database answers")
    };
    let id = job.id;
    assert_eq!(note(1).await, Some((1, JobRef { id, run_no: 2 })));
    assert_eq!(note(1).await, None, "another run has begun");
    assert_eq!(note(2).await, Some((2, JobRef { id, run_no: 3 })));
    let running = |daemon: &str| Transition {
        job: Some(JobWrite {
            finished_ms: None,
            daemon_id: Some(daemon.to_owned()),
            ..ended(job.id, 3, "running")
        }),
        ..Transition::default()
    };
    applied(&store, running("other")).await;
    assert_eq!(note(3).await, None, "it is at work elsewhere");
    execute(&store, "UPDATE jobs SET daemon_id = 'gone'").await;
    assert_eq!(note(3).await, Some((1, JobRef { id, run_no: 4 })));
    execute(&store, "UPDATE jobs SET state = 'queued', daemon_id = NULL").await;
    applied(
        &store,
        Transition {
            job: Some(ended(job.id, 4, "dead")),
            ..Transition::default()
        },
    )
    .await;
    assert_eq!(note(4).await, None, "it has ended");
}

async fn jobs_of_silent_and_stopped_daemons_are_made_due(database: Database) {
    let (_server, store) = open(database).await;
    let daemon = |id: &str| Daemon {
        id: id.to_owned(),
        host: "here".to_owned(),
        pid: 1,
    };
    for id in ["silent", "live", "stopped"] {
        store.heartbeat(&daemon(id), at(0)).await.expect("the database answers");
    }
    pass(&store, 90).await;
    // A clock that is wrong is no reason to be taken for dead, or for alive.
    let wrong = if database == Database::Postgres { -3_600 } else { 102 };
    for id in ["live", "stopped"] {
        store
            .heartbeat(&daemon(id), at(wrong))
            .await
            .expect("the database answers");
    }
    store.stopped("stopped", at(101)).await.expect("the database answers");
    let live = store
        .live_daemons(at(102), DEAD_AFTER)
        .await
        .expect("the database answers");
    assert_eq!(live, HashSet::from(["live".to_owned()]));
    assert_eq!(store.daemons().await.expect("the database answers").len(), 3);

    let jobs: Vec<_> = [
        "silent",
        "live",
        "stopped",
        "never seen",
        "silent, but only just started",
    ]
    .map(|name| (name, new_job("reg-1", 1)))
    .into();
    let new = jobs.iter().map(|(_, job)| job.clone()).collect();
    applied(
        &store,
        Transition {
            jobs: new,
            ..version("reg-1", 1)
        },
    )
    .await;
    for (name, job) in &jobs {
        let mut running = ended(job.id, 1, "running");
        (running.daemon_id, running.finished_ms, running.started_ms) = (Some((*name).to_owned()), None, Some(ms(5)));
        if name.contains("just") {
            (running.daemon_id, running.started_ms) = (Some("silent".to_owned()), Some(ms(90)));
        }
        applied(
            &store,
            Transition {
                job: Some(running),
                ..Transition::default()
            },
        )
        .await;
    }
    assert_eq!(
        store
            .take_abandoned(at(102), DEAD_AFTER, 2)
            .await
            .expect("the database answers"),
        2
    );
    assert_eq!(
        store
            .take_abandoned(at(102), DEAD_AFTER, 10)
            .await
            .expect("the database answers"),
        1
    );
    assert_eq!(
        store
            .take_abandoned(at(102), DEAD_AFTER, 10)
            .await
            .expect("the database answers"),
        0
    );
    let ids: Vec<_> = jobs.iter().map(|(_, job)| job.id).collect();
    assert_eq!(
        job_states(&store, &ids).await,
        ["retrying", "running", "retrying", "retrying", "running"]
    );
    assert_eq!(stored_job(&store, ids[0]).await.crashes, 1);
    let again = store.take_due(at(102), 10).await.expect("the database answers");
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|(_, job)| job.run_no == 2), "{again:?}");
}

async fn jobs_are_listed(database: Database) {
    let (_server, store) = open(database).await;
    for number in 1..=3 {
        let jobs = vec![
            new_job("reg-1", number),
            NewJob {
                kind: "notification",
                ..timer("reg-1", number, 60)
            },
        ];
        applied(
            &store,
            Transition {
                jobs,
                ..version("reg-1", number)
            },
        )
        .await;
    }
    applied(
        &store,
        Transition {
            jobs: vec![new_job("reg-2", 9)],
            ..version("reg-2", 1)
        },
    )
    .await;
    let list = async |filter: Filter| store.jobs(&filter).await.expect("the database answers");
    let all = list(Filter {
        limit: 100,
        ..Filter::default()
    })
    .await;
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by_key(|job| std::cmp::Reverse(job.created_ms)));
    assert_eq!(
        list(Filter {
            limit: 2,
            ..Filter::default()
        })
        .await,
        all[..2]
    );
    let of_one = Filter {
        registration_id: Some("reg-1".to_owned()),
        limit: 100,
        ..Filter::default()
    };
    assert_eq!(list(of_one.clone()).await.len(), 6);
    assert_eq!(
        list(Filter {
            kind: Some(JobKind::Notification),
            ..of_one.clone()
        })
        .await
        .len(),
        3
    );
    let cancelled = Filter {
        state: Some("cancelled".to_owned()),
        ..of_one
    };
    assert_eq!(list(cancelled).await.len(), 4);
}
