//! Transitions of several registrations, and those that rest on others (D18).

use enrolld::store::transition::{Guard, Transition, Verdict, VersionGuard};

use super::*;

crate::support::for_each_database!(
    d18_of_two_that_rest_on_each_other_one_is_applied,
    several_registrations_change_together_or_not_at_all,
    after_a_lost_connection_a_transition_of_several_is_recognized,
);

fn resting_on(id: &str, version_of_other: i64) -> VersionGuard {
    VersionGuard {
        id: id.to_owned(),
        version: version_of_other,
    }
}

/// The next versions of several registrations in one transition, in this order.
fn versions(all: &[(&str, i64)]) -> Transition {
    Transition {
        registrations: all
            .iter()
            .flat_map(|(id, number)| version(id, *number).registrations)
            .collect(),
        ..Transition::default()
    }
}

async fn d18_of_two_that_rest_on_each_other_one_is_applied(database: Database) {
    const PAIRS: usize = 40;
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    let names = |pair: usize| (format!("a-{pair}"), format!("z-{pair}"));
    let mut first = Vec::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let (a, z) = names(pair);
        first.extend([version(&a, 1), version(&z, 1)]);
        let mut both = [
            Transition {
                unchanged: vec![resting_on(&z, 1)],
                ..version(&a, 2)
            },
            Transition {
                unchanged: vec![resting_on(&a, 1)],
                ..version(&z, 2)
            },
        ];
        // By one daemon, and by two.
        if pair % 2 == 0 {
            ours.extend(both);
        } else {
            both.rotate_left(pair / 2 % 2);
            let [here, there] = both;
            ours.push(here);
            theirs.push(there);
        }
    }
    commit_all(&store, first).await;
    let (ours, theirs) = tokio::join!(commit_all(&store, ours), commit_all(&other, theirs));
    let answers = ours.iter().chain(&theirs);
    let applied = answers
        .clone()
        .filter(|answer| **answer == Ok(Verdict::Applied))
        .count();
    let stale = answers
        .filter(|answer| **answer == Ok(Verdict::Stale(Guard::Registration)))
        .count();
    assert_eq!((applied, stale), (PAIRS, PAIRS));
    assert_eq!(count(&store, "registrations WHERE version = 2").await, 40);

    // A registration that is not there has no version, and must still have none.
    let resting = Transition {
        unchanged: vec![resting_on("nobody", 0)],
        ..version("reg-1", 1)
    };
    self::applied(&store, resting).await;
    let resting = Transition {
        unchanged: vec![resting_on("reg-1", 0)],
        ..version("reg-2", 1)
    };
    assert_eq!(commit(&store, resting).await, Verdict::Stale(Guard::Registration));
}

async fn several_registrations_change_together_or_not_at_all(database: Database) {
    let (_server, store) = open(database).await;
    let (timer_of_old, job_of_new) = (timer("old", 1, 60), new_job("new", 1));
    for (id, job) in [("old", &timer_of_old), ("new", &job_of_new)] {
        let first = Transition {
            jobs: vec![job.clone()],
            ..version(id, 1)
        };
        applied(&store, first).await;
    }
    // The other has moved on: neither is written, and the job is not settled.
    let settled = |versions: Transition| Transition {
        job: Some(ended(job_of_new.id, 1, "succeeded")),
        ..versions
    };
    for stale in [versions(&[("new", 2), ("old", 3)]), versions(&[("new", 3), ("old", 2)])] {
        let verdict = commit(&store, settled(stale)).await;
        assert_eq!(verdict, Verdict::Stale(Guard::Registration));
    }
    assert_eq!(count(&store, "timeline").await, 2);
    assert_eq!(
        job_states(&store, &[timer_of_old.id, job_of_new.id]).await,
        ["scheduled", "queued"]
    );

    applied(&store, settled(versions(&[("new", 2), ("old", 2)]))).await;
    assert_eq!(count(&store, "registrations WHERE version = 2").await, 2);
    assert_eq!(
        (count(&store, "timeline").await, count(&store, "notices").await),
        (4, 4)
    );
    // What the superseded one waited for is over.
    assert_eq!(
        job_states(&store, &[timer_of_old.id, job_of_new.id]).await,
        ["cancelled", "succeeded"]
    );
}

async fn after_a_lost_connection_a_transition_of_several_is_recognized(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    commit_all(&store, vec![version("new", 1), version("old", 1)]).await;
    let both = Transition {
        jobs: vec![new_job("new", 2)],
        unchanged: vec![],
        ..versions(&[("new", 2), ("old", 2)])
    };
    applied(&store, both.clone()).await;
    // Nobody knows whether it came through: it is handed in again, at once and after others have gone on.
    applied(&store, both.clone()).await;
    applied(&other, version("old", 3)).await;
    applied(&store, both.clone()).await;
    applied(&other, version("new", 3)).await;
    applied(&store, both).await;
    assert_eq!((count(&store, "timeline").await, count(&store, "jobs").await), (6, 1));
    // Another of the same versions is another.
    let another = versions(&[("new", 2), ("old", 2)]);
    assert_eq!(commit(&store, another).await, Verdict::Stale(Guard::Registration));
}
