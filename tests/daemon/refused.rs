//! Bad input: refused with a clear reason, or a field error; and the daemon goes on (contract, section 1).

use serde_json::{Value, json};

use crate::steps::{NEWBIE, NOOR, Rejected, codes, timeline, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    bad_input_is_refused_and_the_daemon_goes_on,
    events_that_do_not_fit_the_state_are_refused_and_repeats_are_not,
);

/// Every kind of entry that is none, with the reason and code it gets. The first has other fields than `event`.
fn bad_entries() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let good = NEWBIE.submitted("reg-bad");
    let with = |key: &str, value: Value| {
        let mut event = good.clone();
        event[key] = value;
        event.to_string().into_bytes()
    };
    let mut invalid_utf8 = good.to_string().replace("newbie", "newbi?").into_bytes();
    let at = invalid_utf8.iter().position(|byte| *byte == b'?').expect("it is there");
    invalid_utf8[at] = 0xff;
    let broken = good.to_string();
    vec![
        (broken.as_bytes()[..broken.len() - 1].to_vec(), "malformed", "not_json"),
        (b"".to_vec(), "malformed", "not_json"),
        (b"null".to_vec(), "malformed", "not_a_cloud_event"),
        (json!([good]).to_string().into_bytes(), "malformed", "not_a_cloud_event"),
        (invalid_utf8, "malformed", "not_utf8"),
        (
            with("data", json!({"account_id": "new\u{0}bie"})),
            "malformed",
            "nul_character",
        ),
        (with("specversion", json!("0.3")), "malformed", "specversion"),
        (with("source", json!("")), "malformed", "attribute"),
        (with("id", json!("x".repeat(300))), "malformed", "attribute"),
        (
            with("type", json!("registration.sumbitted")),
            "unknown_type",
            "unknown_type",
        ),
        (with("data", json!({})), "invalid_data", "invalid_data"),
        (with("data", json!("text")), "invalid_data", "invalid_data"),
        (
            with("data", json!({"account_id": "a", "serial_number": 7})),
            "invalid_data",
            "invalid_data",
        ),
        (with("subject", json!("reg 1/..")), "invalid_data", "invalid_data"),
        (with("subject", json!("x".repeat(65))), "invalid_data", "invalid_data"),
        (with("padding", json!("x".repeat(1_000_000))), "too_large", "too_large"),
        (
            events::withdrawn("reg-nobody").to_string().into_bytes(),
            "unknown_registration",
            "unknown_registration",
        ),
        (
            associated("boss", "no-such-organization"),
            "invalid_data",
            "organization_unknown",
        ),
        (
            associated("newbie", "globex"),
            "not_entitled",
            "not_a_delegated_administrator",
        ),
    ]
}

/// Somebody associates `joiner` with an organization.
fn associated(by: &str, organization: &str) -> Vec<u8> {
    let data = json!({"by": by, "organization_id": organization});
    let event = events::event("delegation.user_associated", "joiner", &data);
    event.to_string().into_bytes()
}

async fn bad_input_is_refused_and_the_daemon_goes_on(database: Database) {
    let mut daemon = TestDaemon::builder(database).install();
    daemon.prepare();
    // All of it stands in the stream before the first start, good ones among the bad.
    daemon.send(&NEWBIE.submitted("reg-before")).await;
    let no_event = daemon.send_fields(&[("evnt", b"{}"), ("bytes", b"\xfe\x00")]).await;
    let bad = bad_entries();
    let mut entries = Vec::new();
    for (event, _, _) in &bad {
        entries.push(daemon.send_raw(event).await);
    }
    // An entry has the field `event` among others: it is taken.
    let good = NOOR.submitted("reg-extra").to_string();
    daemon.send_fields(&[("trace", b"1"), ("event", good.as_bytes())]).await;
    daemon.start().await;

    daemon.wait_state("reg-before", "awaiting_organization").await;
    daemon.wait_state("reg-extra", "awaiting_organization").await;
    let rejected = wait_rejected(&daemon, bad.len() + 1).await;
    let find = |entry: &str| -> Rejected {
        let found = rejected.iter().find(|refusal| refusal.entry == entry);
        found
            .unwrap_or_else(|| panic!("{entry} is not among {rejected:#?}"))
            .clone()
    };
    for (entry, (event, reason, code)) in entries.iter().zip(&bad) {
        let refusal = find(entry);
        assert_eq!(
            (refusal.reason.as_str(), refusal.code()),
            (*reason, *code),
            "{}",
            String::from_utf8_lossy(event)
        );
        let kept = event.len().min(64 * 1024);
        assert!(refusal.event == event[..kept], "the original bytes: {reason}");
        assert_eq!(
            (refusal.detail["bytes"].as_u64(), refusal.detail["kept_bytes"].as_u64()),
            if *code == "too_large" {
                (Some(event.len() as u64), Some(kept as u64))
            } else {
                (None, None)
            },
            "{reason}"
        );
        let words = refusal.detail.to_string();
        assert!(words.len() < 2_000, "a detail is short: {words}");
    }
    let refusal = find(&no_event);
    assert_eq!(
        (refusal.reason.as_str(), refusal.code()),
        ("malformed", "no_event_field")
    );
    let fields: Value = serde_json::from_slice(&refusal.event).expect("its fields as JSON");
    assert_eq!(fields["evnt"], "{}");

    // A long serial is a field error, and the view stays small.
    let long = "S".repeat(10_000);
    daemon
        .send(&events::submitted("reg-long", "newbie", NEWBIE.contract, &long))
        .await;
    let view = daemon.wait_state("reg-long", "needs_correction").await;
    assert_eq!(codes(&view), [("serial_number", "serial_malformed")]);
    assert!(view.to_string().len() < 4_000, "{view}");
    // And so is an address with a line break in the directory.
    daemon.import(
        &json!({"accounts": [{"id": "two-lines", "name": "Two\r\nLines", "email": "a@acme.example\nBcc: b@acme.example",
        "status": "active", "locale": "en", "flagged": false, "contracts": ["93988396"]}]}),
    );
    daemon
        .send(&events::submitted(
            "reg-lines",
            "two-lines",
            NEWBIE.contract,
            NEWBIE.serial,
        ))
        .await;
    let view = daemon.wait_state("reg-lines", "needs_correction").await;
    assert_eq!(codes(&view), [("email", "email_invalid")]);

    assert!(daemon.find_view("reg-bad").await.is_none());
    daemon.wait_intake_empty().await;
    assert_eq!(daemon.count("refused").await, bad.len() + 1, "kept until discarded");
    daemon.restart().await;
    daemon.send(&NEWBIE.submitted("reg-after")).await;
    daemon.wait_state("reg-after", "awaiting_organization").await;
    wait_rejected(&daemon, bad.len() + 1).await;
}

async fn events_that_do_not_fit_the_state_are_refused_and_repeats_are_not(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let submitted = NEWBIE.submitted("reg-1");
    daemon.send(&submitted).await;
    let view = daemon.wait_state("reg-1", "awaiting_organization").await;

    // A repeat of an applied event changes nothing, and is no news.
    daemon.send(&submitted).await;
    // A second `submitted` is, and so is what the state does not allow, and what is about nothing that there is.
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.send(&events::confirmed("reg-1")).await;
    daemon.send(&events::verification_resend_requested("reg-1")).await;
    let review = json!({"agent": "ann", "decision": "reject"});
    daemon
        .send(&events::event("registration.review_decided", "reg-1", &review))
        .await;
    let bounced = json!({"kind": "hard"});
    daemon
        .send(&events::event("mail.bounced", "<1@portal.example>", &bounced))
        .await;
    let rejected = wait_rejected(&daemon, 5).await;
    let codes: Vec<_> = rejected
        .iter()
        .map(|refusal| (refusal.reason.as_str(), refusal.code()))
        .collect();
    // Of different subjects the order is open.
    let mut codes = codes;
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            ("invalid_data", "mail_unknown"),
            ("not_allowed", "already_submitted"),
            ("not_allowed", "wrong_state"),
            ("not_allowed", "wrong_state"),
            ("not_allowed", "wrong_state"),
        ]
    );
    let refusal = rejected
        .iter()
        .find(|refusal| refusal.code() == "wrong_state")
        .expect("there is one");
    assert_eq!(refusal.detail["state"], "awaiting_organization");
    assert_eq!(refusal.detail["allowed"], view["allowed"]);
    assert_eq!(daemon.view("reg-1").await, view);

    // A refusal does not consume the key: the same event is judged anew.
    let early = events::withdrawn("reg-2");
    daemon.send(&early).await;
    let rejected = wait_rejected(&daemon, 6).await;
    assert_eq!(rejected[5].reason, "unknown_registration");
    daemon.send(&NOOR.submitted("reg-2")).await;
    daemon.wait_state("reg-2", "awaiting_organization").await;
    daemon.send(&early).await;
    let view = daemon.wait_state("reg-2", "withdrawn").await;
    assert_eq!(view["allowed"], json!([]));
    assert_eq!(timeline(&view).last(), Some(&"registration.withdrawn"));
    // Applied now: once more is a repeat, whatever the state is by now.
    daemon.send(&early).await;
    // The key is (source, id): another source may use the same id.
    let mut other = events::organization_selected("reg-1", Some("acme"));
    other["id"] = submitted["id"].clone();
    other["source"] = json!("/another-portal");
    daemon.send(&other).await;
    daemon.wait_state("reg-1", "awaiting_email").await;
    daemon.send(&events::withdrawn("reg-1")).await;
    daemon.wait_state("reg-1", "withdrawn").await;
    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    let rejected = wait_rejected(&daemon, 7).await;
    assert_eq!(
        (rejected[6].reason.as_str(), rejected[6].code()),
        ("not_allowed", "wrong_state")
    );
    daemon.wait_intake_empty().await;
}
