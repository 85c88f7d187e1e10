//! The database goes away in the middle, and comes back.

use std::time::Duration;

use enrolld::store::transition::{Transition, Verdict};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::support::child::PATIENCE;

const WRITERS: usize = 24;
const KILLS: i64 = 3;

/// Each writer raises the version of a registration of its own until it is told to stop.
async fn raise_versions(store: Store, id: String, told: watch::Sender<i64>, stop: watch::Receiver<bool>) -> i64 {
    let mut number = 0;
    while !*stop.borrow() {
        number += 1;
        let job = new_job(&id, number);
        let verdict = store
            .commit(Transition {
                jobs: vec![job],
                ..version(&id, number)
            })
            .await;
        // The answer of a commit whose connection was lost tells that it came through, not that somebody else was first.
        assert_eq!(verdict, Ok(Verdict::Applied), "{id}:{number}");
        told.send_replace(number);
    }
    number
}

// Several threads: commits go on while this one waits for the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_on_after_postgres_was_killed_and_none_is_lost_or_doubled() {
    let (mut server, store) = open(Database::Postgres).await;
    let (stop, stopped) = watch::channel(false);
    let mut seen = Vec::new();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (told, written) = watch::channel(0);
            seen.push(written);
            tokio::spawn(raise_versions(
                store.clone(),
                format!("reg-{writer}"),
                told,
                stopped.clone(),
            ))
        })
        .collect();
    for _ in 0..KILLS {
        for written in &mut seen {
            let goal = *written.borrow() + 10;
            let reached = written.wait_for(|number| *number >= goal);
            let reached = tokio::time::timeout(PATIENCE, reached).await;
            reached.expect("commits go on").expect("the writer lives");
        }
        let DatabaseServer::Postgres(postgres) = &mut server else {
            unreachable!("it was asked for")
        };
        postgres.kill();
        tokio::time::sleep(Duration::from_millis(150)).await;
        postgres.restart();
    }
    stop.send_replace(true);
    let mut total = 0;
    for writer in writers {
        let number = tokio::time::timeout(PATIENCE, writer)
            .await
            .expect("the last commits are answered");
        total += number.expect("no writer fails");
    }
    // A connection that was cut while it lay idle answers its next user with an error, once.
    let mut tries = 0;
    while store.ping().await.is_err() {
        tries += 1;
        assert!(tries <= CONNECTIONS, "the pool keeps broken connections");
    }
    let fresh = open_again(&server).await;
    assert_eq!(
        count(&fresh, "registrations").await,
        i64::try_from(WRITERS).expect("few")
    );
    for table in ["timeline", "notices", "jobs"] {
        assert_eq!(count(&fresh, table).await, total, "{table}");
    }
    let sum = format!("(SELECT SUM(version) AS sum FROM registrations) AS s WHERE s.sum = {total}");
    assert_eq!(count(&fresh, &sum).await, 1);
}

/// Passes connections on to PostgreSQL. Those of before the moment that it is told to forget stay open, and nothing comes through
/// any more: as when a host has lost its power, and another one has its address.
async fn pass_on(listener: TcpListener, address: String, forget: watch::Receiver<()>) {
    loop {
        let (mut near, _) = listener.accept().await.expect("a listener accepts");
        let mut far = TcpStream::connect(&address).await.expect("PostgreSQL listens");
        let mut forget = forget.clone();
        forget.mark_unchanged();
        tokio::spawn(async move {
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = forget.changed() => {
                    drop(far);
                    std::future::pending::<()>().await;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_server_that_vanishes_without_a_word_is_not_waited_for() {
    let (server, direct) = open(Database::Postgres).await;
    let url = server.url();
    let address = url.split(['@', '/']).nth(3).expect("the address is in the URL");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let near = listener.local_addr().expect("it is bound").to_string();
    let (forget, forgotten) = watch::channel(());
    let passing = tokio::spawn(pass_on(listener, address.to_owned(), forgotten));
    let store = Store::open(&url.replace(address, &near), CONNECTIONS)
        .await
        .expect("the database takes connections");
    applied(&store, version("reg-1", 1)).await;

    // Its connection is back in the pool, and will be the next one's.
    while store.writer().unbounded().get_postgres_connection_pool().num_idle() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    forget.send_replace(());
    // One waits for an answer that does not come; the next ones find out sooner.
    let both = async { tokio::join!(store.commit(version("reg-1", 2)), store.commit(version("reg-2", 1))) };
    let answers = tokio::time::timeout(Duration::from_secs(90), both).await;
    assert_eq!(
        answers.expect("not in time"),
        (Ok(Verdict::Applied), Ok(Verdict::Applied))
    );
    assert_eq!(count(&direct, "timeline").await, 3);
    passing.abort();
}

/// Somebody else has the file: a backup, a person with a shell. Longer than SQLite waits by itself.
#[tokio::test]
async fn a_commit_waits_for_whoever_has_the_file_of_sqlite() {
    const HELD: Duration = Duration::from_secs(6);
    let (server, store) = open(Database::Sqlite).await;
    let other = open_again(&server).await;
    execute(&store, "CREATE TABLE other (n BIGINT)").await;
    let holds = sea_orm::TransactionTrait::begin(other.writer().unbounded())
        .await
        .expect("the database answers");
    holds
        .execute_unprepared("INSERT INTO other VALUES (1)")
        .await
        .expect("the statement is sound");
    let committing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(version("reg-1", 1)).await }
    });
    tokio::time::sleep(HELD).await;
    assert!(!committing.is_finished(), "it waits");
    holds.commit().await.expect("the database answers");
    let verdict = tokio::time::timeout(PATIENCE, committing).await;
    assert_eq!(verdict.expect("in time").expect("no panic"), Ok(Verdict::Applied));
    assert_eq!(count(&store, "timeline").await, 1);
}

/// PostgreSQL ends one of two that are in each other's way, whoever is at fault.
#[tokio::test]
async fn a_commit_that_postgres_sacrifices_is_tried_again() {
    let (_server, store) = open(Database::Postgres).await;
    for (number, code) in (1..).zip(["40P01", "40001", "55P03", "57014", "25P03"]) {
        // What a sequence has counted stays, whatever becomes of the transaction.
        let sacrifice = format!(
            "CREATE SEQUENCE tries_{number}; \
             CREATE FUNCTION sacrifice_{number}() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN IF nextval(''tries_{number}'') <= 3 THEN RAISE EXCEPTION ''in the way'' USING ERRCODE = ''{code}''; END IF; \
             RETURN NEW; END'; \
             CREATE TRIGGER sacrifice_{number} BEFORE INSERT ON timeline FOR EACH ROW EXECUTE FUNCTION sacrifice_{number}()"
        );
        execute(&store, &sacrifice).await;
        let committing = tokio::time::timeout(PATIENCE, store.commit(version(&format!("reg-{number}"), 1)));
        assert_eq!(committing.await.expect("in time"), Ok(Verdict::Applied), "{code}");
        execute(&store, &format!("DROP TRIGGER sacrifice_{number} ON timeline")).await;
    }
    assert_eq!(count(&store, "timeline").await, 5);
}
