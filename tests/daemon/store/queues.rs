//! Pauses, and how much waits in each queue.

use enrolld::store::interventions::Order;
use enrolld::store::queues::Load;
use enrolld_jobs::job::JobKind;

use super::*;

crate::support::for_each_database!(
    a_queue_is_paused_once_until_it_goes_on,
    of_one_kind_what_is_due_is_taken_alone,
    what_waits_is_counted,
);

fn order(by: &str, seconds: i64) -> Order {
    Order {
        by: by.to_owned(),
        reason: "it must rest".to_owned(),
        at: at(seconds),
    }
}

async fn a_queue_is_paused_once_until_it_goes_on(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    let (first, second) = (order("first", 1), order("second", 2));
    let kind = JobKind::Notification;
    assert_eq!(store.pause_queue(kind, &first).await, Ok(true));
    assert_eq!(other.pause_queue(kind, &second).await, Ok(false));
    let paused = other.paused_queues().await.expect("the database answers");
    assert_eq!(paused.len(), 1);
    assert_eq!((paused[0].paused_by.as_str(), paused[0].paused_ms), ("first", ms(1)));
    assert_eq!(other.resume_queue(kind).await, Ok(true));
    assert_eq!(store.resume_queue(kind).await, Ok(false));
    assert_eq!(store.paused_queues().await, Ok(vec![]));
}

/// Timers of two kinds, those of mails due first.
async fn timers(store: &Store) {
    let mails = (0..30).map(|number| NewJob {
        kind: "notification",
        ..timer("reg-1", 1, number)
    });
    let others = (30..40).map(|number| timer("reg-1", 1, number));
    let jobs = mails.chain(others).collect();
    let write = Transition {
        jobs,
        ..version("reg-1", 1)
    };
    applied(store, write).await;
}

async fn of_one_kind_what_is_due_is_taken_alone(database: Database) {
    let (_server, store) = open(database).await;
    timers(&store).await;
    let take = async |kind, now, limit| {
        let taken = store.take_due_of(kind, at(now), limit).await;
        taken.expect("the database answers")
    };
    let taken = take(JobKind::Verification, 34, 100).await;
    assert_eq!(taken.len(), 5, "those due by then");
    assert!(
        taken
            .iter()
            .all(|(kind, job)| *kind == JobKind::Verification && job.run_no == 1)
    );
    assert_eq!(take(JobKind::Verification, 100, 3).await.len(), 3);
    assert_eq!(take(JobKind::Verification, 100, 100).await.len(), 2);
    assert_eq!(take(JobKind::Terms, 100, 100).await, []);
    assert_eq!(
        count(&store, "jobs WHERE kind = 'notification' AND state = 'scheduled'").await,
        30
    );
}

async fn what_waits_is_counted(database: Database) {
    let (_server, store) = open(database).await;
    timers(&store).await;
    let more = vec![new_job("reg-2", 3), new_job("reg-2", 4), new_job("reg-2", 5)];
    let ids: Vec<_> = more.iter().map(|job| job.id).collect();
    let begun = Transition {
        jobs: more,
        ..version("reg-2", 1)
    };
    applied(&store, begun).await;
    for (id, state) in [(ids[0], "dead"), (ids[1], "running")] {
        let end = Transition {
            job: Some(ended(id, 1, state)),
            ..Transition::default()
        };
        applied(&store, end).await;
    }
    let loads = store.queue_loads(at(10)).await.expect("the database answers");
    let kinds: Vec<_> = loads.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, JobKind::ALL);
    let of = |kind| loads.iter().find(|(of, _)| *of == kind).map(|(_, load)| *load);
    let mails = Load {
        waiting: 11,
        waiting_since_ms: Some(ms(0)),
        scheduled: 19,
        ..Load::default()
    };
    assert_eq!(of(JobKind::Notification), Some(mails));
    let verifications = Load {
        waiting: 1,
        waiting_since_ms: Some(ms(5)),
        running: 1,
        scheduled: 10,
        dead: 1,
    };
    assert_eq!(of(JobKind::Verification), Some(verifications));
    assert_eq!(of(JobKind::Terms), Some(Load::default()));
}
