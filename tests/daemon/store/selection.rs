//! Jobs are found by what they have in common, and queued again only where they wait for it.

use enrolld::store::interventions::Order;
use enrolld::store::jobs::Filter;
use enrolld::store::selection::Place;
use enrolld_jobs::job::JobKind;

use super::*;

crate::support::for_each_database!(
    every_job_is_seen_once_whatever_is_done_with_it,
    jobs_are_counted_by_what_they_died_of,
    only_what_waits_for_it_is_queued_again,
);

fn order() -> Order {
    Order {
        by: "operator".to_owned(),
        reason: String::new(),
        at: at(500),
    }
}

/// Jobs whose first run has ended so, `finished` seconds after the moment of all tests.
async fn over(store: &Store, number: usize, state: &'static str, class: &str, finished: i64) -> Vec<Uuid> {
    let jobs: Vec<_> = (0..number).map(|_| new_job("reg-1", 1)).collect();
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let begun = Transition {
        jobs,
        ..Transition::default()
    };
    applied(store, begun).await;
    let ends = ids.iter().map(|id| Transition {
        job: Some(JobWrite {
            error_class: Some(class.to_owned()),
            finished_ms: (state != "retrying").then_some(ms(finished)),
            ..ended(*id, 1, state)
        }),
        ..Transition::default()
    });
    for answer in commit_all(store, ends.collect()).await {
        assert_eq!(answer, Ok(Verdict::Applied));
    }
    ids
}

async fn every_job_is_seen_once_whatever_is_done_with_it(database: Database) {
    let (_server, store) = open(database).await;
    // All made at one moment.
    let mut ids = over(&store, 25, "dead", "panic", 10).await;
    over(&store, 3, "succeeded", "panic", 10).await;
    let filter = Filter {
        state: Some("dead".to_owned()),
        limit: 10,
        ..Filter::default()
    };
    assert_eq!(store.count_jobs(&filter).await, Ok(25));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let jobs = store
            .jobs_after(&filter, after.as_ref())
            .await
            .expect("the database answers");
        let Some(last) = jobs.last() else { break };
        after = Some(Place::of(last));
        let some: Vec<_> = jobs.iter().map(|job| job.id.parse::<Uuid>().expect("an id")).collect();
        // They leave the filter, or come back to it, as if they had died again.
        assert_eq!(
            store.requeue(&some, &order()).await.map(|done| done.len()),
            Ok(some.len())
        );
        execute(&store, "UPDATE jobs SET state = 'dead' WHERE state = 'scheduled'").await;
        seen.extend(some);
    }
    seen.sort();
    ids.sort();
    assert_eq!(seen, ids);
}

async fn jobs_are_counted_by_what_they_died_of(database: Database) {
    let (_server, store) = open(database).await;
    over(&store, 3, "dead", "smtp_refused", 10).await;
    over(&store, 2, "dead", "smtp_refused", 30).await;
    over(&store, 4, "dead", "panic", 20).await;
    over(&store, 7, "retrying", "smtp", 0).await;
    let dead = Filter {
        state: Some("dead".to_owned()),
        kind: Some(JobKind::Verification),
        ..Filter::default()
    };
    let groups = store.jobs_by_class(&dead).await.expect("the database answers");
    let told: Vec<_> = groups
        .iter()
        .map(|group| (group.name.as_str(), group.number, group.first_ms, group.last_ms))
        .collect();
    assert_eq!(
        told,
        [("smtp_refused", 5, ms(10), ms(30)), ("panic", 4, ms(20), ms(20))]
    );
    for (since, until, number) in [(None, Some(20), 3), (Some(20), None, 6), (Some(20), Some(21), 4)] {
        let filter = Filter {
            since: since.map(at),
            until: until.map(at),
            ..dead.clone()
        };
        assert_eq!(store.count_jobs(&filter).await, Ok(number), "{since:?} {until:?}");
    }
    let states = store.jobs_by_state().await.expect("the database answers");
    let told: Vec<_> = states.iter().map(|group| (group.name.as_str(), group.number)).collect();
    assert_eq!(told, [("dead", 9), ("retrying", 7)]);
}

async fn only_what_waits_for_it_is_queued_again(database: Database) {
    let (_server, store) = open(database).await;
    let states = ["dead", "retrying", "succeeded", "running", "cancelled", "discarded"];
    let mut ids = Vec::new();
    for state in states {
        ids.extend(over(&store, 1, state, "panic", 10).await);
    }
    let waiting = new_job("reg-1", 1);
    ids.push(waiting.id);
    let begun = Transition {
        jobs: vec![waiting],
        ..Transition::default()
    };
    applied(&store, begun).await;
    ids.push(new_id());
    let mut done = store.requeue(&ids, &order()).await.expect("the database answers");
    done.sort();
    assert_eq!(done, ids[..2]);
    assert_eq!(
        job_states(&store, &ids[..7]).await,
        [
            "scheduled",
            "retrying",
            "succeeded",
            "running",
            "cancelled",
            "discarded",
            "queued"
        ]
    );
    let (revived, hurried) = (stored_job(&store, ids[0]).await, stored_job(&store, ids[1]).await);
    assert_eq!(
        (revived.attempts, revived.finished_ms, revived.run_at_ms),
        (0, None, ms(500))
    );
    assert_eq!((hurried.attempts, hurried.failures, hurried.run_at_ms), (1, 0, ms(500)));
    for job in [revived, hurried] {
        assert_eq!((job.requeues, job.requeue_note), (1, Some(order().note())));
    }
    assert_eq!(count(&store, "interventions").await, 2);
    // Of one job the last interventions are kept.
    for number in 0..60 {
        let order = Order {
            at: at(600 + number),
            ..order()
        };
        assert_eq!(store.requeue(&ids[1..2], &order).await, Ok(vec![ids[1]]));
    }
    let kept = store.interventions(ids[1]).await.expect("the database answers");
    assert_eq!((kept.len(), kept[0].at_ms), (50, ms(610)));
    assert_eq!(count(&store, "interventions").await, 51, "and those of others stay");
}
