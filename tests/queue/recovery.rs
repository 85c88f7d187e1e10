//! Entries that were read and not worked off: of a daemon that is gone, or behind an answer that was lost.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_a_dead_consumer_are_claimed_once() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    assert_eq!(queue::pending_consumers(&redis, &stream).await.expect("asks"), []);
    assert_eq!(queue::claim(&redis, &stream, "dead", "me", 10).await.expect("asks"), []);
    queue::push(&redis, &jobs(&stream, 0..9)).await.expect("push");
    let mut add = redis::cmd("XADD");
    add.arg(&stream).arg("*").arg(&["no", "job"][..]);
    redis.query::<String>(&add).await.expect("adds");
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(&stream).arg(queue::GROUP).arg("0");
    redis.query::<()>(&create).await.expect("makes the group");
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP")
        .arg(queue::GROUP)
        .arg("dead")
        .arg("STREAMS")
        .arg(&stream)
        .arg(">");
    redis.query::<redis::Value>(&read).await.expect("reads");
    let pending = queue::pending_consumers(&redis, &stream).await.expect("asks");
    assert_eq!(pending, [("dead".to_owned(), 10)]);

    let idle = Duration::ZERO;
    let deleted = queue::delete_idle_consumers(&redis, &stream, queue::GROUP, idle).await;
    assert_eq!(deleted.expect("asks"), 0);

    let minute = Duration::from_mins(1);
    let none = queue::claim_idle(&redis, &stream, "dead", "me", minute, 6).await;
    assert_eq!(none.expect("asks"), []);
    let first = queue::claim(&redis, &stream, "dead", "me", 6).await.expect("claims");
    let (second, third) = tokio::join!(
        queue::claim(&redis, &stream, "dead", "me", 6),
        queue::claim(&redis, &stream, "dead", "me", 6),
    );
    assert_eq!(first.len(), 6);
    let claimed: Vec<_> = [first, second.expect("claims"), third.expect("claims")].concat();
    let ids: Vec<_> = claimed.iter().map(|claimed| claimed.job).collect();
    assert_eq!(ids, (0..9).map(|id| job(id, 1)).collect::<Vec<_>>());
    assert!(claimed.iter().all(|claimed| claimed.deliveries == 2));
    // Entries that somebody has read do not wait, however old they are.
    let unread = queue::unread(&redis, &stream).await.expect("asks");
    assert_eq!((unread.number, unread.oldest_ms), (0, None));

    let hour = Duration::from_hours(1);
    let deleted = queue::delete_idle_consumers(&redis, &stream, queue::GROUP, hour).await;
    assert_eq!(deleted.expect("asks"), 0);
    let deleted = queue::delete_idle_consumers(&redis, &stream, queue::GROUP, idle).await;
    assert_eq!(deleted.expect("asks"), 1);
    let deleted = queue::delete_idle_consumers(&redis, &stream, queue::GROUP, idle).await;
    assert_eq!(deleted.expect("asks"), 0);

    let entries: Vec<_> = claimed.iter().map(|claimed| claimed.entry_id).collect();
    queue::acknowledge(&redis, &stream, &entries)
        .await
        .expect("acknowledges");
    assert_eq!(queue::length(&redis, &stream).await.expect("asks"), 0);
    assert_eq!(queue::pending_consumers(&redis, &stream).await.expect("asks"), []);
}

#[tokio::test]
async fn entries_that_nobody_has_read_are_told_apart() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let ask = async || queue::unread(&redis, &stream).await.expect("asks");
    let nothing = ask().await;
    assert_eq!((nothing.number, nothing.oldest_ms), (0, None));
    let add = async |id: &str| {
        let mut add = redis::cmd("XADD");
        add.arg(&stream).arg(id).arg(&["job", "1", "run", "1"][..]);
        redis.query::<String>(&add).await.expect("adds");
    };
    for id in ["5000-0", "6000-0", "7000-0"] {
        add(id).await;
    }
    let without_group = ask().await;
    assert_eq!((without_group.number, without_group.oldest_ms), (3, Some(5_000)));
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(&stream).arg(queue::GROUP).arg("0");
    redis.query::<()>(&create).await.expect("makes the group");
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(queue::GROUP).arg("one").arg("COUNT").arg(2);
    read.arg("STREAMS").arg(&stream).arg(">");
    redis.query::<redis::Value>(&read).await.expect("reads");
    let some = ask().await;
    assert_eq!((some.number, some.oldest_ms), (1, Some(7_000)));
    redis.query::<redis::Value>(&read).await.expect("reads");
    let none = ask().await;
    assert_eq!((none.number, none.oldest_ms), (0, None));
    let (seconds, _): (u64, u64) = redis.query(&redis::cmd("TIME")).await.expect("tells the time");
    assert!(none.now_ms / 1_000 <= seconds && seconds - none.now_ms / 1_000 < 30);
    add("*").await;
    assert_eq!(ask().await.number, 1);
}

/// An answer of Redis can get lost with the connection: its entries are ours, and we do not have them.
#[tokio::test(flavor = "multi_thread")]
async fn entries_of_a_lost_answer_are_found_again() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let handlers = Handlers::new(true);
    queue::push(&redis, &jobs(&stream, 0..5)).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until_empty(&redis, &stream).await;
    running.pause.send_replace(true);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // As if the reader had asked, and the answer had not come.
    queue::push(&redis, &jobs(&stream, 5..55)).await.expect("push");
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP")
        .arg(queue::GROUP)
        .arg("one")
        .arg("STREAMS")
        .arg(&stream)
        .arg(">");
    redis.query::<redis::Value>(&read).await.expect("reads");
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
    redis.query::<u64>(&kill).await.expect("cuts the reader off");
    running.pause.send_replace(false);
    until("all have run", || async { handlers.total() == 55 }).await;
    until_empty(&redis, &stream).await;
    running.stopped().await;
    assert!((0..55).all(|id| handlers.runs_of(job(id, 1)) == 1));
}

/// Redis carries out after a stall what it was sent before, also for those who no longer listen.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_in_a_stall() {
    let mut server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let handlers = Handlers::new(true);
    let running = Running::start(&redis, &stream, &handlers);
    queue::push(&redis, &jobs(&stream, 0..5)).await.expect("push");
    until("they have run", || async { handlers.total() == 5 }).await;

    server.stall();
    let error = queue::push(&redis, &jobs(&stream, 5..10)).await;
    assert!(error.is_err_and(|error| error.is_away()));
    // The reader has given up its connection as well by now, on which Redis may still deliver.
    assert!(!redis.health().reachable);
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.go_on();
    until("jobs can be added", || async { redis.ping().await.is_ok() }).await;
    queue::push(&redis, &jobs(&stream, 10..15)).await.expect("push");
    until_empty(&redis, &stream).await;
    until("all have run", || async { handlers.total() >= 15 }).await;
    running.stopped().await;
    let pending = queue::pending_consumers(&redis, &stream).await;
    assert_eq!(pending.expect("asks"), []);
}
