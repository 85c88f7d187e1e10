//! Operations while Redis does not answer, or has been away.

use super::*;

#[tokio::test]
async fn operations_end_in_time_when_nothing_answers() {
    // A listener that takes connections and never says a word.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let silent = listener.local_addr().expect("an address");
    let redis = Redis::open(&format!("redis://{silent}")).expect("a good address");
    let asked = Instant::now();
    let answers = futures::future::join_all((0..20).map(|_| redis.ping())).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Away { .. }))));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    drop(listener);
    assert!(!redis.health().reachable);
}

#[tokio::test]
async fn an_error_of_a_command_does_not_count_as_redis_being_away() {
    let server = RedisServer::start();
    let redis = open(&server);
    redis
        .query::<()>(redis::cmd("SET").arg("t:jobs:x").arg(1))
        .await
        .expect("sets");
    let error = queue::length(&redis, "t:jobs:x").await.expect_err("it is no stream");
    assert_eq!(error.code(), Some("WRONGTYPE"));
    assert!(redis.health().reachable);
    assert!(redis.health().reachable_for(Duration::ZERO));
}

/// A connection that was lost while idle costs nobody an error, once Redis is there again.
#[tokio::test]
async fn a_restart_between_two_operations_goes_unnoticed() {
    let mut server = RedisServer::start();
    let redis = open(&server);
    redis.ping().await.expect("pings");
    server.restart();
    redis.ping().await.expect("pings again");
    assert!(redis.health().reachable);
}
