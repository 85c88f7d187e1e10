//! What goes out, what is kept once for all daemons, and what is deleted in the end.

use enrolld::store::pruning::Finished;
use sea_orm::TransactionTrait as _;

use super::*;

crate::support::for_each_database!(
    notices_go_out_in_order_and_are_deleted,
    one_link_key_is_made,
    of_what_is_finished_the_newest_are_told_by_number,
    a_database_answers,
);

#[tokio::test]
async fn a_job_that_is_queued_again_while_it_is_pruned_stays() {
    let (server, store) = open(Database::Postgres).await;
    let job = new_job("reg-1", 1);
    let begun = Transition {
        jobs: vec![job.clone()],
        ..version("reg-1", 1)
    };
    applied(&store, begun).await;
    let end = Transition {
        job: Some(ended(job.id, 1, "succeeded")),
        ..Transition::default()
    };
    applied(&store, end).await;

    // As the end of a grant has the jobs of its targets run again.
    let again = store.writer().unbounded().begin().await.expect("the database answers");
    let arm = "UPDATE jobs SET state = 'scheduled', finished_ms = NULL";
    again.execute_unprepared(arm).await.expect("the statement is sound");
    let other = open_again(&server).await;
    let pruning = tokio::spawn(async move { other.prune(Finished::Jobs, at(60), 10).await });
    while count(&store, "pg_stat_activity WHERE wait_event_type = 'Lock'").await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    again.commit().await.expect("the database answers");
    assert_eq!(pruning.await.expect("no panic"), Ok(0));
    assert_eq!(stored_job(&store, job.id).await.state, "scheduled");
}

async fn notices_go_out_in_order_and_are_deleted(database: Database) {
    let (_server, store) = open(database).await;
    for number in 1..=4 {
        let both = vec![version("reg-1", number), version("reg-2", number)];
        commit_all(&store, both).await;
    }
    let notices = store.notices(100).await.expect("the database answers");
    assert_eq!(notices.len(), 8);
    assert!(notices.is_sorted_by_key(|notice| notice.seq));
    for id in ["reg-1", "reg-2"] {
        let bodies = notices.iter().map(|notice| notice.body.as_str());
        let of_one: Vec<_> = bodies.filter(|body| body.contains(id)).collect();
        assert_eq!(
            of_one,
            [1, 2, 3, 4].map(|version| format!("{{\"id\":\"{id}:{version}\"}}"))
        );
    }
    let sent: Vec<_> = notices[..5].iter().map(|notice| notice.seq).collect();
    store.delete_notices(&sent).await.expect("the database answers");
    store.delete_notices(&sent).await.expect("twice does no harm");
    store.delete_notices(&[]).await.expect("nothing is nothing");
    assert_eq!(store.notices(100).await.expect("the database answers"), notices[5..]);
    assert_eq!(store.notices(1).await.expect("the database answers"), notices[5..6]);
    // A number is not given twice, not even after the newest was deleted.
    let rest: Vec<_> = notices.iter().map(|notice| notice.seq).collect();
    store.delete_notices(&rest).await.expect("the database answers");
    applied(&store, version("reg-1", 5)).await;
    assert!(store.notices(1).await.expect("the database answers")[0].seq > rest[7]);
}

async fn of_what_is_finished_the_newest_are_told_by_number(database: Database) {
    const FINISHED: i64 = 7;
    let (_server, store) = open(database).await;
    for number in 1..=FINISHED {
        let job = new_job("reg-1", number);
        let begun = Transition {
            jobs: vec![job.clone()],
            ..version("reg-1", number)
        };
        applied(&store, begun).await;
        let end = Transition {
            job: Some(JobWrite {
                finished_ms: Some(ms(number)),
                ..ended(job.id, 1, "succeeded")
            }),
            ..Transition::default()
        };
        applied(&store, end).await;
    }
    let newest = async |number| {
        store
            .newest(Finished::Jobs, number)
            .await
            .expect("the database answers")
    };
    assert_eq!(newest(1).await, Some(at(FINISHED)));
    assert_eq!(newest(3).await, Some(at(FINISHED - 2)));
    for all in [7, 8, u64::MAX] {
        assert_eq!(newest(all).await, None, "none is beyond {all}");
    }
    let pruned = store.prune(Finished::Jobs, at(FINISHED - 2), 100).await;
    assert_eq!(pruned, Ok(4));
    assert_eq!(count(&store, "jobs").await, 3);
    assert_eq!(
        store.newest(Finished::Daemons, 1).await,
        Ok(None),
        "nobody counts these"
    );
}

async fn one_link_key_is_made(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    let (one, two) = tokio::join!(store.link_key("one", at(1)), other.link_key("two", at(1)));
    let key = one.expect("the database answers");
    assert_eq!(key, two.expect("the database answers"));
    assert!(["one", "two"].contains(&key.as_str()));
    assert_eq!(store.link_key("three", at(2)).await.expect("the database answers"), key);
}

async fn a_database_answers(database: Database) {
    let (server, store) = open(database).await;
    store.ping().await.expect("it is there");
    if let DatabaseServer::Postgres(mut postgres) = server {
        postgres.stop();
        let error = store.ping().await.expect_err("it is away");
        assert!(error.is_temporary(), "{error:?}");
    }
}
