//! D7: whatever is wrong with an event, the token in it is not kept, and not announced.

use enrolld::links;
use serde_json::json;

use crate::steps::wait_rejected;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(d7_no_token_is_kept_of_a_refused_event);

const TOKEN: &str = "Kf3-a_token_that_might_open_something_9Zq";

async fn d7_no_token_is_kept_of_a_refused_event(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let good = events::email_verified("reg-1", TOKEN);
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut event = good.clone();
        change(&mut event);
        event.to_string().into_bytes()
    };
    let mut not_utf8 = good.to_string().replace("/portal", "/port?l").into_bytes();
    let at = not_utf8.iter().position(|byte| *byte == b'?').expect("it is there");
    not_utf8[at] = 0xff;
    let whole = good.to_string();
    let bad = vec![
        with(&|event| event["specversion"] = json!("0.3")),
        with(&|event| drop(event.as_object_mut().expect("an object").remove("id"))),
        with(&|event| event["subject"] = json!("reg 1")),
        with(&|event| event["type"] = json!("registration.email_verifed")),
        with(&|event| event["data"] = json!(event["data"].to_string())),
        with(&|event| event["padding"] = json!("x".repeat(100_000))),
        // Under another name, as a part of the link, and with slashes as PHP writes them.
        with(&|event| event["data"] = json!({ "Token": TOKEN })),
        with(&|event| event["data"] = json!(format!("http://portal.example/verify/{TOKEN}"))),
        with(&|event| event["data"] = json!([TOKEN])),
        with(&|event| {
            event["type"] = json!("registration.da_decided");
            event["data"] = json!({"decision": format!("http://portal.example/decide/{TOKEN}")});
        }),
        good.to_string()
            .replace(TOKEN, &format!("http:\\/\\/portal.example\\/verify\\/{TOKEN}"))
            .replace("\"token\"", "\"link\"")
            .into_bytes(),
        // Read, and refused only afterwards; in the second, the token is a field that is ignored.
        with(&|_| ()),
        with(&|event| event["type"] = json!("registration.withdrawn")),
        whole.as_bytes()[..whole.len() - 1].to_vec(),
        not_utf8,
    ];
    let mut expected = Vec::new();
    let digest = links::digest(TOKEN);
    for event in &bad {
        let entry = daemon.send_raw(event).await;
        let mut kept = replaced(event, TOKEN, &digest);
        // Of what is too large, no more than of what is not.
        kept.truncate(64 * 1024);
        expected.push((entry, kept));
    }
    // Without the field `event`.
    daemon.send_fields(&[("payload", whole.as_bytes())]).await;
    daemon.send_fields(&[("token", TOKEN.as_bytes())]).await;

    let rejected = wait_rejected(&daemon, bad.len() + 2).await;
    for (entry, event) in expected {
        let refusal = rejected
            .iter()
            .find(|refusal| refusal.entry == entry)
            .expect("it is there");
        assert!(
            refusal.event == event,
            "else as it came: {}",
            String::from_utf8_lossy(&refusal.event)
        );
    }
    assert!(
        !contains(&daemon.database_dump().await, TOKEN.as_bytes()),
        "not in the database"
    );
    assert!(!daemon.redis_dump().await.contains(TOKEN), "not in Redis");
    assert!(!daemon.log().contains(TOKEN), "not in the log");
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.expect("it is there");
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
