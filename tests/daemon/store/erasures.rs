//! What is taken out of the database with a registration, and what is waited for before (D24).

use enrolld::store::erasure::UnderWay;
use enrolld::store::inbox::NewRefused;
use enrolld_jobs::values::RegistrationId;

use super::*;

crate::support::for_each_database!(
    d24_no_other_registration_is_untold_by_an_erasure,
    d24_what_is_under_way_is_told,
);

fn id(text: &str) -> RegistrationId {
    RegistrationId::new(text).expect("an id")
}

/// A change of the registration, with the event out as it is.
fn change(registration: &str, number: i64) -> Transition {
    let mut change = version(registration, number);
    change.registrations[0].notice =
        format!(r#"{{"id":"{registration}:{number}","subject":"{registration}","data":{{}}}}"#);
    change
}

/// `_` is a character of ids, and in `LIKE` any character.
async fn d24_no_other_registration_is_untold_by_an_erasure(database: Database) {
    let (_server, store) = open(database).await;
    for registration in ["reg_1", "reg-1", "reg_10"] {
        applied(&store, change(registration, 1)).await;
    }
    let erased = store.erase(&id("reg_1"), 1, "nobody", at(2)).await;
    assert!(erased.is_ok_and(|erased| erased.is_some()));
    let left = store.notices(10).await.expect("the database answers");
    let left: Vec<_> = left.iter().map(|notice| notice.body.contains("reg_1\"")).collect();
    assert_eq!(left, [false, false]);
}

async fn d24_what_is_under_way_is_told(database: Database) {
    let (_server, store) = open(database).await;
    let under_way = async |registration: &str| {
        let found = store.under_way(&id(registration), at(9)).await;
        found.expect("the database answers")
    };
    let mail = NewJob {
        kind: "notification",
        step_bound: false,
        ..new_job("reg-1", 1)
    };
    let waiting = NewJob {
        id: new_id(),
        ..mail.clone()
    };
    let made = Transition {
        jobs: vec![mail.clone(), waiting.clone()],
        ..change("reg-1", 1)
    };
    applied(&store, made).await;
    applied(&store, change("reg-2", 1)).await;
    let begun = Transition {
        job: Some(JobWrite {
            finished_ms: None,
            ..ended(mail.id, 1, "running")
        }),
        ..Transition::default()
    };
    applied(&store, begun).await;

    let (yes, no) = (
        UnderWay { mail: true, news: true },
        UnderWay {
            mail: false,
            news: false,
        },
    );
    assert_eq!(under_way("reg-1").await, yes);
    assert_eq!(
        stored_job(&store, waiting.id).await.state,
        "cancelled",
        "what has not begun does not"
    );
    assert_eq!(under_way("reg-2").await, UnderWay { mail: false, ..yes });
    let all: Vec<_> = store
        .notices(10)
        .await
        .expect("the database answers")
        .iter()
        .map(|notice| notice.seq)
        .collect();
    store.delete_notices(&all).await.expect("the database answers");
    assert_eq!(under_way("reg-1").await, UnderWay { news: false, ..yes });
    let end = Transition {
        job: Some(JobWrite {
            from: "running".to_owned(),
            ..ended(mail.id, 1, "succeeded")
        }),
        ..Transition::default()
    };
    applied(&store, end).await;
    assert_eq!(under_way("reg-1").await, no);

    let lease = store
        .hold_lease("intake", "a", at(0), std::time::Duration::from_secs(10))
        .await;
    let lease = lease.expect("the database answers").expect("nobody else holds it");
    let refused = NewRefused {
        entry: "1-1".to_owned(),
        kind: Some("registration.confirmed".to_owned()),
        subject: Some("reg-1".to_owned()),
        event: b"{}".to_vec(),
        reason: "not_allowed",
        detail: "{}".to_owned(),
    };
    let kept = store.take_in(&lease, &[], &[refused], at(3)).await;
    assert_eq!(kept, Ok(()));
    assert_eq!(under_way("reg-1").await, UnderWay { news: true, ..no });
    assert_eq!(under_way("reg-2").await, no);
}
