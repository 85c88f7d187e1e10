//! What is taken in, and what is refused.

use std::time::Duration;

use enrolld::store::entities::refused;
use enrolld::store::inbox::{NewEvent, NewRefused};
use enrolld::store::leases::Lease;

use super::*;

crate::support::for_each_database!(
    a_lease_is_extended_by_its_holder_and_taken_over_when_it_expires,
    an_entry_that_is_read_again_is_kept_once,
    nothing_is_taken_in_under_a_foreign_lease,
    waiting_events_come_in_order_and_in_parts,
    an_event_is_refused_once,
    bytes_of_any_kind_are_kept_as_refused,
    refused_events_are_announced_once,
);

const VALID: Duration = Duration::from_secs(10);

async fn hold(store: &Store, holder: &str) -> Option<i64> {
    let held = store.hold_lease("intake", holder, at(0), VALID).await;
    held.expect("the database answers").map(|lease| lease.epoch)
}

async fn a_lease_is_extended_by_its_holder_and_taken_over_when_it_expires(database: Database) {
    let (server, store) = open(database).await;
    assert_eq!(hold(&store, "a").await, Some(1));
    pass(&store, 8).await;
    assert_eq!(hold(&store, "a").await, Some(1));
    pass(&store, 5).await;
    assert_eq!(hold(&store, "b").await, None, "it was extended");
    pass(&store, 6).await;
    assert_eq!(hold(&store, "b").await, Some(2));
    assert_eq!(hold(&store, "a").await, None);
    let other = store.hold_lease("schedule", "a", at(0), VALID).await;
    let expected = Lease {
        name: "schedule",
        epoch: 1,
    };
    assert_eq!(other.expect("the database answers"), Some(expected));

    store.give_leases_back("b").await.expect("the database answers");
    let again = open_again(&server).await;
    let (one, two) = tokio::join!(hold(&store, "c"), hold(&again, "d"));
    assert!(
        matches!((one, two), (Some(3), None) | (None, Some(3))),
        "{one:?} {two:?}"
    );
    pass(&store, 40).await;
    assert_eq!(hold(&store, "e").await, Some(4));
    pass(&store, 30).await;
    assert_eq!(hold(&store, "e").await, Some(4), "nobody held it in between");
}

/// Another host's clock may be hours off: the lease goes by the database's.
#[tokio::test]
async fn a_wrong_clock_takes_no_lease() {
    let (_server, store) = open(Database::Postgres).await;
    for (holder, now, held) in [
        ("right", 0, true),
        ("ahead", 100_000_000, false),
        ("right", -100_000_000, true),
        ("behind", 0, false),
    ] {
        let lease = store.hold_lease("intake", holder, at(now), VALID).await;
        assert_eq!(lease.expect("the database answers").is_some(), held, "{holder} {now}");
    }
}

fn event(number: usize) -> NewEvent {
    NewEvent {
        entry: format!("1-{number}"),
        source: "/portal".to_owned(),
        event_id: format!("e-{number}"),
        subject: format!("reg-{}", number % 3),
        kind: "registration.submitted".to_owned(),
        body: format!("{{\"number\":{number}}}"),
    }
}

fn refusal(entry: &str, bytes: &[u8]) -> NewRefused {
    NewRefused {
        entry: entry.to_owned(),
        kind: None,
        subject: None,
        event: bytes.to_vec(),
        reason: "malformed",
        detail: "{}".to_owned(),
    }
}

async fn lease(store: &Store) -> Lease {
    let held = store.hold_lease("intake", "a", at(0), VALID).await;
    held.expect("the database answers").expect("nobody else holds it")
}

async fn waiting(store: &Store, after: i64, limit: u64) -> Vec<(i64, String)> {
    let events = store.waiting_events(after, limit).await.expect("the database answers");
    events.into_iter().map(|event| (event.seq, event.entry)).collect()
}

async fn an_entry_that_is_read_again_is_kept_once(database: Database) {
    let (_server, store) = open(database).await;
    let lease = lease(&store).await;
    let (first, second) = ([event(1), event(2)], [event(1), event(2), event(3)]);
    let bad = [refusal("1-9", b"\xff")];
    store
        .take_in(&lease, &first, &bad, at(1))
        .await
        .expect("the lease is held");
    store
        .take_in(&lease, &second, &bad, at(2))
        .await
        .expect("the lease is held");
    assert_eq!(count(&store, "inbox").await, 3);
    assert_eq!(count(&store, "refused").await, 1);
    let stored = store
        .waiting_events(0, 1)
        .await
        .expect("the database answers")
        .remove(0);
    assert_eq!((stored.received_ms, stored.crashes), (ms(1), 0));
    assert_eq!((stored.source.as_str(), stored.event_id.as_str()), ("/portal", "e-1"));
    assert_eq!(
        (stored.subject.as_str(), stored.r#type.as_str()),
        ("reg-1", "registration.submitted")
    );
    assert_eq!(stored.body, "{\"number\":1}");

    // Applied or refused, it stays known.
    store
        .refuse_event(stored.seq, &refusal("1-1", b"{}"), at(3))
        .await
        .expect("the database answers");
    store
        .take_in(&lease, &first, &[], at(4))
        .await
        .expect("the lease is held");
    assert_eq!(waiting(&store, 0, 10).await.len(), 2);
    // Redis was replaced, and counts anew: the same number with another event is another entry.
    let other = NewEvent {
        event_id: "e-new".to_owned(),
        ..event(1)
    };
    store
        .take_in(&lease, &[other], &[], at(5))
        .await
        .expect("the lease is held");
    assert_eq!(waiting(&store, 0, 10).await.len(), 3);
}

async fn nothing_is_taken_in_under_a_foreign_lease(database: Database) {
    let (_server, store) = open(database).await;
    let lost = lease(&store).await;
    pass(&store, 20).await;
    assert_eq!(hold(&store, "b").await, Some(2));
    let refused = store.take_in(&lost, &[event(1)], &[refusal("1-2", b"")], at(21)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    let never = Lease {
        name: "never",
        epoch: 1,
    };
    assert!(store.take_in(&never, &[event(1)], &[], at(21)).await.is_err());
    assert_eq!(count(&store, "inbox").await + count(&store, "refused").await, 0);
}

async fn waiting_events_come_in_order_and_in_parts(database: Database) {
    let (_server, store) = open(database).await;
    let lease = lease(&store).await;
    let events: Vec<_> = (0..25).map(event).collect();
    store
        .take_in(&lease, &events, &[], at(1))
        .await
        .expect("the lease is held");
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let part = waiting(&store, after, 10).await;
        let Some((last, _)) = part.last() else { break };
        after = *last;
        seen.extend(part);
    }
    assert!(seen.is_sorted_by_key(|(seq, _)| *seq));
    let entries: Vec<_> = seen.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(
        entries,
        events.iter().map(|event| event.entry.clone()).collect::<Vec<_>>()
    );
}

async fn an_event_is_refused_once(database: Database) {
    let (_server, store) = open(database).await;
    let lease = lease(&store).await;
    store
        .take_in(&lease, &[event(1)], &[], at(1))
        .await
        .expect("the lease is held");
    let seq = waiting(&store, 0, 1).await[0].0;
    let refusal = NewRefused {
        kind: Some("registration.submitted".to_owned()),
        subject: Some("reg-1".to_owned()),
        reason: "not_allowed",
        ..refusal("1-1", b"{\"id\":\"e-1\"}")
    };
    for _ in 0..2 {
        store
            .refuse_event(seq, &refusal, at(2))
            .await
            .expect("the database answers");
    }
    store
        .refuse_event(
            4711,
            &NewRefused {
                entry: "1-7".to_owned(),
                ..refusal.clone()
            },
            at(2),
        )
        .await
        .expect("nothing waits");
    assert_eq!(waiting(&store, 0, 1).await, []);
    assert_eq!(
        count(&store, "inbox WHERE state = 'refused' AND done_ms IS NOT NULL").await,
        1
    );
    let stored = store.refused_events(10).await.expect("the database answers");
    assert_eq!(stored.len(), 1);
    assert_eq!(
        (stored[0].reason.as_str(), stored[0].refused_ms),
        ("not_allowed", ms(2))
    );
    assert_eq!(stored[0].event, refusal.event);
}

async fn bytes_of_any_kind_are_kept_as_refused(database: Database) {
    let (_server, store) = open(database).await;
    let lease = lease(&store).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let nul = NewRefused {
        kind: Some("registration.\0".to_owned()),
        subject: Some("\0".to_owned()),
        ..refusal("1-1", &every_byte)
    };
    let big = refusal("1-2", &vec![b'x'; 1_000_000]);
    store
        .take_in(&lease, &[event(1)], &[nul, big], at(1))
        .await
        .expect("one broken entry stops nothing");
    let stored: Vec<refused::Model> = store.refused_events(10).await.expect("the database answers");
    assert_eq!((stored[0].event.len(), &stored[1].event), (1_000_000, &every_byte));
    assert_eq!(stored[1].r#type.as_deref(), Some("registration.\u{fffd}"));
    assert_eq!(waiting(&store, 0, 1).await.len(), 1);
}

async fn refused_events_are_announced_once(database: Database) {
    let (_server, store) = open(database).await;
    let lease = lease(&store).await;
    let all: Vec<_> = (0..5).map(|number| refusal(&format!("1-{number}"), b"?")).collect();
    store
        .take_in(&lease, &[], &all, at(1))
        .await
        .expect("the lease is held");
    let unannounced = async |limit| -> Vec<i64> {
        let rows = store.unannounced(limit).await.expect("the database answers");
        rows.iter().map(|row| row.seq).collect()
    };
    let all = unannounced(10).await;
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted());
    assert_eq!(unannounced(2).await, all[..2]);
    store.announced(&all[..3], at(2)).await.expect("the database answers");
    store.announced(&[], at(2)).await.expect("the database answers");
    assert_eq!(unannounced(10).await, all[3..]);
}
