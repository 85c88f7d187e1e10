//! What is counted for gauges and alerts.

use enrolld::store::counts::{Failing, MOST_COUNTED, Waiting};
use enrolld::store::inbox::NewRefused;
use enrolld::store::interventions::Order;
use enrolld_jobs::job::JobKind;
use enrolld_jobs::registration::StateName;

use super::*;

crate::support::for_each_database!(
    what_waits_is_counted_with_its_oldest,
    counting_ends_somewhere,
    a_flood_of_one_kind_hides_no_other,
);

fn waiting(number: u64, oldest: i64) -> Waiting {
    Waiting {
        number,
        oldest: Some(at(oldest)),
    }
}

async fn what_waits_is_counted_with_its_oldest(database: Database) {
    let (_server, store) = open(database).await;
    assert_eq!(store.queued(JobKind::Verification).await, Ok(Waiting::default()));
    for number in 1..=3 {
        let id = format!("reg-{number}");
        applied(
            &store,
            Transition {
                jobs: vec![new_job(&id, 1), timer(&id, 1, 10 * number)],
                ..version(&id, 1)
            },
        )
        .await;
    }
    assert_eq!(store.queued(JobKind::Verification).await, Ok(waiting(3, 1)));
    assert_eq!(store.queued(JobKind::Terms).await, Ok(Waiting::default()));
    assert_eq!(store.overdue_timers(at(25)).await, Ok(waiting(2, 10)));
    let order = Order {
        at: at(3),
        by: "ops".to_owned(),
        reason: "for a look".to_owned(),
    };
    assert_eq!(store.pause_queue(JobKind::Verification, &order).await, Ok(true));
    let while_paused = store.overdue_timers(at(25)).await;
    assert_eq!(while_paused, Ok(Waiting::default()), "they wait as they should");
    assert_eq!(store.resume_queue(JobKind::Verification).await, Ok(true));
    assert_eq!(
        store.in_state_before(StateName::Verifying, at(2)).await,
        Ok(waiting(3, 1))
    );
    assert_eq!(
        store.in_state_before(StateName::Verifying, at(1)).await,
        Ok(Waiting::default())
    );
    let counted = store.count_registrations().await.expect("the database answers");
    assert_eq!(counted, [(StateName::Verifying, 3)].into());
    assert_eq!(store.notices_waiting().await, Ok(3));

    let failing = "UPDATE jobs SET state = CASE WHEN registration_id = 'reg-1' THEN 'dead' ELSE 'retrying' END \
                   WHERE state = 'scheduled'";
    execute(&store, failing).await;
    let failing = store.failing().await.expect("the database answers");
    assert_eq!(failing[&JobKind::Verification], Failing { retrying: 2, dead: 1 });
    assert_eq!(failing[&JobKind::Terms], Failing::default());

    let lease = store
        .hold_lease("intake", "daemon-1", at(1), std::time::Duration::from_mins(1))
        .await
        .expect("the database answers")
        .expect("nobody else holds it");
    for second in 1..=4 {
        let refused = NewRefused {
            entry: format!("{second}-0"),
            kind: None,
            subject: None,
            event: vec![],
            reason: "malformed",
            detail: "{}".to_owned(),
        };
        let taken = store.take_in(&lease, &[], &[refused], at(second)).await;
        assert_eq!(taken, Ok(()));
    }
    assert_eq!(store.refused_between(at(2), at(4)).await, Ok(2));
    assert_eq!(store.inbox_waiting().await, Ok(Waiting::default()));
}

async fn counting_ends_somewhere(database: Database) {
    let (_server, store) = open(database).await;
    let more = MOST_COUNTED + 50;
    execute(
        &store,
        &format!(
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {more}) \
             INSERT INTO notices (body) SELECT 'x' FROM r"
        ),
    )
    .await;
    assert_eq!(store.notices_waiting().await, Ok(MOST_COUNTED));
}

async fn a_flood_of_one_kind_hides_no_other(database: Database) {
    let (_server, store) = open(database).await;
    let more = MOST_COUNTED + 50;
    for (state, run_at) in [("dead", 1), ("retrying", 2)] {
        for (kind, number) in [("notification", more), ("verification", 1), ("terms", 1)] {
            let fill = format!(
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {number}) \
                 INSERT INTO jobs (id, kind, step, step_bound, state, run_no, attempts, failures, crashes, run_at_ms, created_ms) \
                 SELECT '{kind}-{state}-' || n, '{kind}', 0, false, '{state}', 0, 0, 0, 0, {run_at}, 1 FROM r"
            );
            execute(&store, &fill).await;
        }
    }
    let failing = store.failing().await.expect("the database answers");
    let one = Failing { retrying: 1, dead: 1 };
    assert_eq!(failing[&JobKind::Notification].dead, MOST_COUNTED);
    assert_eq!([failing[&JobKind::Verification], failing[&JobKind::Terms]], [one, one]);
    let overdue = store.overdue_timers(at(10)).await.expect("the database answers");
    assert_eq!(overdue.number, MOST_COUNTED + 2);
}
