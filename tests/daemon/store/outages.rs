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
    while store.writer().get_postgres_connection_pool().num_idle() == 0 {
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
