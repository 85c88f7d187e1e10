//! Runs that did not simply succeed are kept, the last ones of each job, and go with it.

use std::time::Duration;

use enrolld::queue::JobRef;
use enrolld::store::attempts::NewAttempt;
use enrolld::store::interventions::Order;
use enrolld::store::pruning::Finished;
use enrolld_jobs::values::RegistrationId;

use super::*;

crate::support::for_each_database!(
    the_last_runs_of_a_job_are_kept,
    runs_whose_daemon_is_gone_are_kept,
    what_is_kept_of_a_job_goes_with_it_or_with_its_person,
);

/// A job whose run `run_no` failed.
fn failed(job: &NewJob, run_no: i64, state: &'static str) -> Transition {
    let write = JobWrite {
        error_class: Some("smtp_refused".to_owned()),
        error: Some(format!("run {run_no} was refused")),
        ..ended(job.id, run_no, state)
    };
    Transition {
        attempt: NewAttempt::of(&write, ms(10 + run_no)),
        job: Some(write),
        ..Transition::default()
    }
}

async fn with_job(store: &Store, registration: &str) -> NewJob {
    let job = new_job(registration, 1);
    let begun = Transition {
        jobs: vec![job.clone()],
        ..version(registration, 1)
    };
    applied(store, begun).await;
    job
}

async fn the_last_runs_of_a_job_are_kept(database: Database) {
    const KEPT: usize = 32;
    let (_server, store) = open(database).await;
    let job = with_job(&store, "reg-1").await;
    let last = 40;
    for run_no in 1..last {
        applied(&store, failed(&job, run_no, "retrying")).await;
        let again = store.take_due(at(100), 10).await.expect("the database answers");
        assert_eq!(again.len(), 1);
    }
    applied(&store, failed(&job, last, "dead")).await;
    let kept = store.attempts(job.id).await.expect("the database answers");
    assert_eq!(kept.len(), KEPT);
    let runs: Vec<_> = kept.iter().map(|attempt| attempt.run_no).collect();
    assert_eq!(runs, (9..=last).collect::<Vec<_>>());
    let newest = kept.last().expect("some are kept");
    assert_eq!(
        (newest.result.as_str(), newest.error.as_deref()),
        ("dead", Some("run 40 was refused"))
    );
    assert_eq!(
        (newest.started_ms, newest.ended_ms, newest.daemon_id.as_deref()),
        (Some(ms(2)), ms(50), Some("daemon-1"))
    );
    // A run that succeeds is told by the job itself.
    let other = with_job(&store, "reg-2").await;
    let write = ended(other.id, 1, "succeeded");
    assert!(NewAttempt::of(&write, ms(3)).is_none());
}

async fn runs_whose_daemon_is_gone_are_kept(database: Database) {
    let (_server, store) = open(database).await;
    let (claimed, lost) = (with_job(&store, "reg-1").await, with_job(&store, "reg-2").await);
    let reference = JobRef {
        id: claimed.id,
        run_no: 1,
    };
    let noted = store.note_crash(reference, "gone", at(5)).await;
    assert!(noted.is_ok_and(|noted| noted.is_some_and(|(crashes, next)| crashes == 1 && next.run_no == 2)));
    let running = JobWrite {
        finished_ms: None,
        ..ended(lost.id, 1, "running")
    };
    let begun = Transition {
        job: Some(running),
        ..Transition::default()
    };
    applied(&store, begun).await;
    let found = store.take_abandoned(at(100), Duration::from_secs(20), 10).await;
    assert_eq!(found, Ok(1));
    for (job, daemon, started, ended) in [(&claimed, "gone", None, 5), (&lost, "daemon-1", Some(ms(2)), 100)] {
        let kept = store.attempts(job.id).await.expect("the database answers");
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].run_no, kept[0].result.as_str()), (1, "crashed"));
        assert_eq!(
            (kept[0].daemon_id.as_deref(), kept[0].started_ms, kept[0].ended_ms),
            (Some(daemon), started, ms(ended))
        );
    }
}

async fn what_is_kept_of_a_job_goes_with_it_or_with_its_person(database: Database) {
    let (_server, store) = open(database).await;
    let (pruned, erased) = (with_job(&store, "reg-1").await, with_job(&store, "reg-2").await);
    let order = Order {
        by: "operator".to_owned(),
        reason: "newbie asked for it".to_owned(),
        at: at(20),
    };
    for job in [&pruned, &erased] {
        applied(&store, failed(job, 1, "dead")).await;
        assert_eq!(store.requeue(&[job.id], &order).await, Ok(vec![job.id]));
        assert_eq!(
            store.requeue(&[job.id], &order).await,
            Ok(vec![]),
            "it is not dead any more"
        );
        let done = store.interventions(job.id).await.expect("the database answers");
        assert_eq!(done.len(), 1);
        assert_eq!(
            (done[0].action.as_str(), done[0].done_by.as_str()),
            ("requeue", "operator")
        );
    }
    let again = store.take_due(at(100), 10).await.expect("the database answers");
    assert_eq!(again.len(), 2);
    let end = Transition {
        job: Some(ended(pruned.id, 2, "succeeded")),
        ..Transition::default()
    };
    applied(&store, end).await;
    assert_eq!(store.prune(Finished::Jobs, at(60), 10).await, Ok(1));
    let id = RegistrationId::new("reg-2").expect("an id");
    let gone = store.erase(&id, 1, "nobody", at(100)).await;
    assert!(gone.is_ok_and(|gone| gone.is_some()));
    assert_eq!(
        (count(&store, "attempts").await, count(&store, "interventions").await),
        (0, 0)
    );
    assert_eq!(count(&store, "jobs").await, 1, "the other goes on without its person");
}
