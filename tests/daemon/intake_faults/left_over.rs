//! Entries that were read, and not acknowledged.

use redis::{AsyncCommands as _, aio::MultiplexedConnection};

use crate::steps::{NEWBIE, wait_rejected};
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    only_an_entry_that_ended_three_daemons_is_poison,
    deleted_entries_do_not_hide_those_that_are_there,
    what_a_lost_connection_was_given_is_taken_in,
);

/// All of the intake is given to a daemon that is gone.
async fn read_by_another(daemon: &TestDaemon) -> MultiplexedConnection {
    let mut connection = daemon.redis_connection().await;
    let stream = daemon.key("intake");
    let made: redis::RedisResult<()> = connection.xgroup_create(&stream, "enrolld", "0").await;
    made.expect("the stream is there, and no group yet");
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP")
        .arg("enrolld")
        .arg("gone")
        .arg("STREAMS")
        .arg(&stream)
        .arg(">");
    let _: redis::Value = read.query_async(&mut connection).await.expect("Redis answers");
    connection
}

async fn only_an_entry_that_ended_three_daemons_is_poison(database: Database) {
    const TOKEN: &str = "a-token-that-nobody-may-keep";
    let mut daemon = TestDaemon::builder(database).install();
    daemon.prepare();
    let twice = daemon.send(&NEWBIE.submitted("reg-1")).await;
    let thrice = daemon.send(&events::email_verified("reg-1", TOKEN)).await;
    let mut connection = read_by_another(&daemon).await;
    for (entry, deliveries) in [(&twice, 2), (&thrice, 3)] {
        let mut claim = redis::cmd("XCLAIM");
        claim
            .arg(daemon.key("intake"))
            .arg("enrolld")
            .arg("gone")
            .arg(0)
            .arg(entry);
        claim.arg("RETRYCOUNT").arg(deliveries).arg("JUSTID");
        let _: redis::Value = claim.query_async(&mut connection).await.expect("Redis answers");
    }
    daemon.start().await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    let rejected = wait_rejected(&daemon, 1).await;
    assert_eq!(
        (rejected[0].entry.as_str(), rejected[0].reason.as_str()),
        (thrice.as_str(), "poison")
    );
    let event = String::from_utf8_lossy(&rejected[0].event);
    assert!(event.contains("registration.email_verified"), "{event}");
    assert!(!event.contains(TOKEN), "D7: {event}");
    assert_eq!(daemon.intake_backlog().await, (0, 0));
}

async fn deleted_entries_do_not_hide_those_that_are_there(database: Database) {
    let mut daemon = TestDaemon::builder(database)
        .directory(&companies(14, 1, false))
        .install();
    daemon.prepare();
    let mut entries = Vec::new();
    for number in 0..14 {
        entries.push(daemon.send(&submitted_at(&format!("reg-{number}"), number, "a")).await);
    }
    let mut connection = read_by_another(&daemon).await;
    let deleted: redis::RedisResult<u64> = connection.xdel(daemon.key("intake"), &entries[..11]).await;
    assert_eq!(deleted.expect("Redis answers"), 11);
    daemon.start().await;
    for number in 11..14 {
        daemon
            .wait_state(&format!("reg-{number}"), "awaiting_organization")
            .await;
    }
    assert_eq!(daemon.count("registrations").await, 3);
    assert_eq!(daemon.intake_backlog().await, (0, 0));
}

async fn what_a_lost_connection_was_given_is_taken_in(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let mut connection = daemon.redis_connection().await;
    let (stream, event) = (daemon.key("intake"), NEWBIE.submitted("reg-1").to_string());
    // A daemon that is ready need not have come to its intake yet: whoever is first makes the group.
    let made: redis::RedisResult<()> = connection.xgroup_create_mkstream(&stream, "enrolld", "0").await;
    assert!(
        made.is_ok() || made.as_ref().is_err_and(|error| error.code() == Some("BUSYGROUP")),
        "{made:?}"
    );
    // Added and read in one step, so that the daemon, which waits for it, does not get it.
    let mut both = redis::pipe();
    both.atomic();
    both.cmd("XADD").arg(&stream).arg("*").arg("event").arg(&event).ignore();
    both.cmd("XREADGROUP").arg("GROUP").arg("enrolld").arg("lost");
    both.arg("STREAMS").arg(&stream).arg(">").ignore();
    let given: redis::RedisResult<()> = both.query_async(&mut connection).await;
    given.expect("Redis answers");
    daemon.wait_state("reg-1", "awaiting_organization").await;
    assert_eq!(daemon.intake_backlog().await, (0, 0));
}
