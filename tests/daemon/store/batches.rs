//! Many transitions in one transaction: each stands and falls alone.

use enrolld::store::transition::{Guard, NewMail, Transition, Verdict};

use super::*;

crate::support::for_each_database!(
    five_hundred_at_once_are_all_applied,
    a_stale_version_writes_nothing_while_its_neighbours_are_written,
    a_refused_transition_fails_alone,
    the_same_transition_twice_is_written_once,
    versions_handed_in_together_are_applied_in_order,
    a_job_that_is_to_run_again_is_cancelled_when_its_step_ends_in_the_same_batch,
);

/// A first version with a job and a mail of their own.
fn whole(id: &str) -> Transition {
    let job = new_job(id, 1);
    let mail = NewMail {
        id: job.id,
        kind: "welcome",
        registration_id: Some(id.to_owned()),
        step: 1,
        recipient: "{}".to_owned(),
        created_ms: ms(1),
    };
    Transition {
        jobs: vec![job],
        mails: vec![mail],
        ..version(id, 1)
    }
}

async fn five_hundred_at_once_are_all_applied(database: Database) {
    let (_server, store) = open(database).await;
    let all = (0..500).map(|id| whole(&format!("reg-{id}"))).collect();
    for answer in commit_all(&store, all).await {
        assert_eq!(answer, Ok(Verdict::Applied));
    }
    for table in ["registrations", "timeline", "notices", "jobs", "mails"] {
        assert_eq!(count(&store, table).await, 500, "{table}");
    }
}

async fn a_stale_version_writes_nothing_while_its_neighbours_are_written(database: Database) {
    let (_server, store) = open(database).await;
    applied(&store, version("stale", 1)).await;
    let kept = timer("stale", 1, 60);
    applied(
        &store,
        Transition {
            jobs: vec![kept.clone()],
            ..version("stale", 2)
        },
    )
    .await;

    let mut all: Vec<_> = (0..40).map(|id| whole(&format!("reg-{id}"))).collect();
    let stale = Transition {
        grants: vec![],
        jobs: whole("stale").jobs,
        mails: whole("stale").mails,
        job: Some(ended(kept.id, 0, "succeeded")),
        ..appointment("stale", 0)
    };
    all.insert(
        20,
        Transition {
            registrations: version("stale", 2).registrations,
            ..stale
        },
    );
    let answers = commit_all(&store, all).await;
    for (number, answer) in answers.iter().enumerate() {
        let expected = match number {
            20 => Verdict::Stale(Guard::Registration),
            _ => Verdict::Applied,
        };
        assert_eq!(*answer, Ok(expected));
    }
    for (rows_of, expected) in [
        ("registrations", 41),
        ("timeline", 42),
        ("notices", 42),
        ("jobs", 41),
        ("mails", 40),
        ("appointments", 0),
    ] {
        assert_eq!(count(&store, rows_of).await, expected, "{rows_of}");
    }
    assert_eq!(job_states(&store, &[kept.id]).await, ["scheduled"]);
}

async fn a_refused_transition_fails_alone(database: Database) {
    let (_server, store) = open(database).await;
    let known = Transition {
        grants: vec![new_grant("known")],
        ..whole("known")
    };
    applied(&store, known.clone()).await;

    let mut all: Vec<_> = (0..60).map(|id| whole(&format!("reg-{id}"))).collect();
    // Two at fault, and not side by side.
    all[7].grants.clone_from(&known.grants);
    if database == Database::Postgres {
        "\0".clone_into(&mut all[50].registrations[0].actor);
    } else {
        all[50].grants.clone_from(&known.grants);
    }
    let answers = commit_all(&store, all).await;
    for (number, answer) in answers.iter().enumerate() {
        match (number, answer) {
            (7 | 50, Err(StoreError::Refused(_))) => (),
            (7 | 50, answer) => panic!("{answer:?}"),
            (_, answer) => assert_eq!(*answer, Ok(Verdict::Applied)),
        }
    }
    assert_eq!(count(&store, "registrations").await, 59);
    assert_eq!(count(&store, "mails").await, 59);
    assert_eq!(count(&store, "jobs").await, 59);
    // It was refused, not used up: without its fault it is taken.
    applied(&store, whole("reg-7")).await;
}

async fn the_same_transition_twice_is_written_once(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    let (first, second) = (
        whole("reg-1"),
        Transition {
            jobs: vec![new_job("reg-1", 2)],
            ..version("reg-1", 2)
        },
    );
    // As after a lost connection: again at once, again from another daemon, and again after the next version.
    let answers = commit_all(&store, vec![first.clone(), first.clone()]).await;
    assert_eq!(answers, [Ok(Verdict::Applied), Ok(Verdict::Applied)]);
    let (here, there) = tokio::join!(store.commit(second.clone()), other.commit(second.clone()));
    assert_eq!((here, there), (Ok(Verdict::Applied), Ok(Verdict::Applied)));
    applied(&store, second).await;
    applied(&store, first).await;
    for (rows_of, expected) in [
        ("registrations WHERE version = 2", 1),
        ("timeline", 2),
        ("notices", 2),
        ("jobs", 2),
    ] {
        assert_eq!(count(&store, rows_of).await, expected, "{rows_of}");
    }
    // The same for the very first version from two daemons at once.
    let third = whole("reg-3");
    let (here, there) = tokio::join!(store.commit(third.clone()), other.commit(third));
    assert_eq!((here, there), (Ok(Verdict::Applied), Ok(Verdict::Applied)));
    assert_eq!(count(&store, "mails").await, 2);
}

async fn versions_handed_in_together_are_applied_in_order(database: Database) {
    let (_server, store) = open(database).await;
    let all = (1..=30).flat_map(|number| ["reg-1", "reg-2", "reg-3"].map(|id| version(id, number)));
    for answer in commit_all(&store, all.collect()).await {
        assert_eq!(answer, Ok(Verdict::Applied));
    }
    assert_eq!(count(&store, "registrations WHERE version = 30").await, 3);
    assert_eq!(count(&store, "timeline").await, 90);
}

async fn a_job_that_is_to_run_again_is_cancelled_when_its_step_ends_in_the_same_batch(database: Database) {
    let (_server, store) = open(database).await;
    let job = new_job("reg-1", 1);
    let begun = Transition {
        jobs: vec![job.clone()],
        ..version("reg-1", 1)
    };
    applied(&store, begun).await;
    let again = Transition {
        job: Some(JobWrite {
            finished_ms: None,
            ..ended(job.id, 1, "retrying")
        }),
        ..Transition::default()
    };
    let answers = commit_all(&store, vec![again, version("reg-1", 2)]).await;
    // PostgreSQL has two committers, so the order may be the other.
    assert!(
        [Ok(Verdict::Applied), Ok(Verdict::Stale(Guard::Job))].contains(&answers[0]),
        "{answers:?}"
    );
    assert_eq!(answers[1], Ok(Verdict::Applied));
    assert_eq!(stored_job(&store, job.id).await.state, "cancelled");
}
