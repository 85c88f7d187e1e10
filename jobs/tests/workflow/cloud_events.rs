//! Reading what upstream adds to the intake: anything at all may stand there.

mod anything;

use enrolld_jobs::{
    cloud_event::{CloudEvent, MAX_EVENT_BYTES, UpstreamEvent, parse},
    event::Event,
    refusal::{Reason, Refusal},
    values::Entered,
};
use serde_json::{Value, json};

/// An event of `kind` with `data`, otherwise valid.
fn event(kind: &str, data: Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": "e-1", "source": "/portal", "type": kind, "subject": "reg-1",
        "time": "2026-11-22T09:00:00Z",
    });
    event["data"] = data;
    event
}

/// One valid event of every type, in the order of the contract.
fn one_of_each() -> Vec<Value> {
    let delegated = json!({"by": "boss", "organization_id": "acme"});
    let role = json!({"by": "boss", "organization_id": "acme", "role": "partner_user"});
    let numbers = json!({"contract_number": "93988396", "serial_number": "FOC1436Y3XK"});
    UpstreamEvent::TYPES
        .iter()
        .map(|&kind| {
            let data = match kind {
                "registration.submitted" => {
                    json!({"account_id": "newbie", "contract_number": "93988396", "serial_number": "FOC1436Y3XK"})
                }
                "registration.resubmitted" => numbers.clone(),
                "registration.confirmed" | "registration.verification_resend_requested" | "registration.withdrawn" => {
                    json!({})
                }
                "registration.organization_selected" => json!({"organization_id": null}),
                "registration.email_verified" => json!({"token": "a-token"}),
                "registration.da_decided" => {
                    json!({"da_account_id": "boss", "decision": "grant", "role": "customer_user", "reason": "ours"})
                }
                "registration.review_decided" => {
                    json!({"agent": "smith", "decision": "ask", "question": "Which site?"})
                }
                "registration.information_provided" => json!({"answer": "San Jose"}),
                "delegation.terms_accepted" => json!({"organization_id": "acme"}),
                "delegation.role_assigned" | "delegation.role_removed" => role.clone(),
                "mail.bounced" => json!({"kind": "hard", "detail": "550 no such user"}),
                _ => delegated.clone(),
            };
            event(kind, data)
        })
        .collect()
}

fn read(value: &Value) -> Result<CloudEvent, Refusal> {
    parse(value.to_string().as_bytes())
}

fn refused(bytes: &[u8]) -> (Reason, String) {
    let refusal = parse(bytes).expect_err("taken");
    (refusal.reason, refusal.code().to_owned())
}

#[test]
fn one_event_of_each_type_is_read() {
    for value in one_of_each() {
        let event = read(&value).unwrap_or_else(|refusal| panic!("{value}: {refusal:?}"));
        assert_eq!(event.data.type_name(), value["type"]);
        assert_eq!((event.id.as_str(), event.source.as_str()), ("e-1", "/portal"));
        assert_eq!(event.time.map(|time| time.timestamp()), Some(1_795_338_000));
    }
}

#[test]
fn of_the_registration_types_each_means_its_event() {
    for value in one_of_each() {
        let data = read(&value).unwrap().data;
        let means = Event::from_upstream(&data, |_| None);
        match data.type_name().strip_prefix("registration.") {
            Some(_) => assert_eq!(means.expect("an event").name(), data.type_name()),
            None => assert_eq!(means, None),
        }
    }
}

#[test]
fn unknown_fields_of_the_data_are_ignored_and_optional_ones_may_be_absent() {
    let mut value = event("registration.withdrawn", json!({"page": {"deep": [1, 2]}}));
    assert!(read(&value).is_ok());
    for absent in ["time", "data"] {
        value.as_object_mut().unwrap().remove(absent);
        assert!(read(&value).is_ok(), "without {absent}");
    }
    let numbers = read(&event("registration.resubmitted", json!({}))).unwrap();
    assert!(matches!(numbers.data, UpstreamEvent::RegistrationResubmitted(n) if n.serial_number.is_none()));
}

#[test]
fn a_refusal_names_the_field_at_fault() {
    let said = |event: &Value| {
        let refusal = read(event).expect_err("taken");
        refusal.detail["message"].as_str().expect("a text").to_owned()
    };
    let granted = |role: Value| json!({"da_account_id": "boss", "decision": "grant", "role": role});
    for (kind, data, begin) in [
        (
            "registration.submitted",
            json!({"account_id": 7}),
            "data.account_id: invalid type: integer `7`",
        ),
        ("registration.submitted", json!({}), "data: missing field `account_id`"),
        (
            "registration.submitted",
            json!({"account_id": "newbie", "contract_number": 93_988_396}),
            "data.contract_number: invalid type: integer `93988396`, expected a string",
        ),
        (
            "registration.resubmitted",
            json!({"serial_number": ["F"]}),
            "data.serial_number: invalid type: sequence",
        ),
        (
            "registration.da_decided",
            granted(json!("king")),
            "data.role: unknown variant `king`, expected one of",
        ),
        ("registration.da_decided", granted(json!(1)), "data.role: invalid type"),
        (
            "registration.da_decided",
            json!({"da_account_id": "boss", "decision": "grant"}),
            "data: missing field `role`",
        ),
        (
            "registration.da_decided",
            json!({"da_account_id": "boss", "decision": "allow"}),
            "data.decision: unknown variant `allow`, expected `grant` or `deny`",
        ),
        (
            "registration.da_decided",
            json!({"da_account_id": "boss", "decision": "deny", "reason": "x".repeat(2_001)}),
            "data.reason: a text of 2001 characters",
        ),
        (
            "registration.review_decided",
            json!({"agent": "smith", "decision": "appoint", "organization_id": {}}),
            "data.organization_id: invalid type: map",
        ),
        (
            "registration.review_decided",
            json!({"agent": "smith", "decision": "ask", "question": ""}),
            "data.question: a text of 0 characters",
        ),
        (
            "registration.email_verified",
            json!({"token": 1}),
            "data.token: invalid type: integer `1`",
        ),
        (
            "mail.bounced",
            json!({"kind": "firm"}),
            "data.kind: unknown variant `firm`",
        ),
    ] {
        let said = said(&event(kind, data));
        assert!(said.starts_with(begin), "{kind}: {said}");
    }
    for (attribute, value, words) in [
        (
            "id",
            json!(7),
            "CloudEvent: id: invalid type: integer `7`, expected a string",
        ),
        ("time", json!("yesterday"), "CloudEvent: time: "),
        ("subject", json!(null), "CloudEvent: subject: invalid type: null"),
    ] {
        let mut event = event("registration.withdrawn", json!({}));
        event[attribute] = value;
        let said = said(&event);
        assert!(said.contains(words), "{attribute}: {said}");
    }
}

#[test]
fn at_the_size_limit_it_is_read_and_above_it_is_too_large() {
    let padded = |bytes: usize| {
        let without = event("registration.withdrawn", json!({"padding": ""}))
            .to_string()
            .len();
        event(
            "registration.withdrawn",
            json!({"padding": "x".repeat(bytes - without)}),
        )
        .to_string()
    };
    assert!(parse(padded(MAX_EVENT_BYTES).as_bytes()).is_ok());
    let refusal = parse(padded(MAX_EVENT_BYTES + 1).as_bytes()).expect_err("taken");
    assert_eq!((refusal.reason, refusal.code()), (Reason::TooLarge, "too_large"));
    assert_eq!(refusal.detail["limit_bytes"], 65_536);
    assert_eq!(refused(&vec![b'['; 1 << 20]).0, Reason::TooLarge);
}

#[test]
fn what_is_no_json_is_malformed() {
    for (bytes, code) in [
        (&b""[..], "not_json"),
        (b"nonsense", "not_json"),
        (b"{\"specversion\":\"1.0\",", "not_json"),
        (b"\xff\xfe\x00", "not_utf8"),
        (b"\"\xc3\x28\"", "not_utf8"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b"{} {}", "not_json"),
        (b"null", "not_a_cloud_event"),
        (b"{}", "not_a_cloud_event"),
    ] {
        assert_eq!(refused(bytes), (Reason::Malformed, code.to_owned()), "{bytes:?}");
    }
    assert_eq!(
        refused("[".repeat(60_000).as_bytes()),
        (Reason::Malformed, "not_json".to_owned())
    );
    assert_eq!(
        refused("{\"a\":".repeat(10_000).as_bytes()),
        (Reason::Malformed, "not_json".to_owned())
    );
}

#[test]
fn an_array_is_no_event_even_with_the_right_items() {
    let array = json!(["1.0", "e-1", "/portal", "registration.withdrawn", "reg-1", null, {}]);
    assert_eq!(
        refused(array.to_string().as_bytes()),
        (Reason::Malformed, "not_a_cloud_event".to_owned())
    );
    for data in [json!(["93988396", "FOC1436Y3XK"]), json!([]), json!("text"), json!(1)] {
        let bytes = event("registration.resubmitted", data).to_string();
        assert_eq!(
            refused(bytes.as_bytes()),
            (Reason::InvalidData, "invalid_data".to_owned()),
            "{bytes}"
        );
    }
}

#[test]
fn the_character_nul_is_refused_wherever_it_stands() {
    let mut in_key = event("registration.withdrawn", json!({}));
    in_key["data"]["a\0b"] = json!(1);
    let mut in_id = event("registration.withdrawn", json!({}));
    in_id["id"] = json!("e\0");
    let deep = event("registration.withdrawn", json!({"a": [{"b": "\0"}]}));
    for value in [in_key, in_id, deep] {
        assert_eq!(
            refused(value.to_string().as_bytes()),
            (Reason::Malformed, "nul_character".to_owned())
        );
    }
}

#[test]
fn attributes_are_checked() {
    for (attribute, wrong, expected) in [
        ("specversion", json!("0.3"), (Reason::Malformed, "specversion")),
        ("specversion", json!(1.0), (Reason::Malformed, "not_a_cloud_event")),
        ("id", json!(""), (Reason::Malformed, "attribute")),
        ("id", json!("x".repeat(257)), (Reason::Malformed, "attribute")),
        ("source", json!(""), (Reason::Malformed, "attribute")),
        ("subject", json!(""), (Reason::Malformed, "subject")),
        ("subject", json!("x".repeat(999)), (Reason::Malformed, "subject")),
        ("subject", json!("a b"), (Reason::InvalidData, "invalid_data")),
        ("subject", json!("x".repeat(65)), (Reason::InvalidData, "invalid_data")),
        ("subject", Value::Null, (Reason::Malformed, "not_a_cloud_event")),
        ("time", json!("yesterday"), (Reason::Malformed, "not_a_cloud_event")),
        (
            "type",
            json!("registration.unknown"),
            (Reason::UnknownType, "unknown_type"),
        ),
        (
            "type",
            json!("Registration.Withdrawn"),
            (Reason::UnknownType, "unknown_type"),
        ),
    ] {
        let mut value = event("registration.withdrawn", json!({}));
        value[attribute] = wrong;
        let (reason, code) = refused(value.to_string().as_bytes());
        assert_eq!((reason, code.as_str()), expected, "{attribute}: {}", value[attribute]);
    }
}

#[test]
fn data_must_fit_its_type() {
    for (kind, data) in [
        ("registration.submitted", json!({"contract_number": "1"})),
        (
            "registration.submitted",
            json!({"account_id": "", "contract_number": "1"}),
        ),
        ("registration.submitted", json!({"account_id": "new bie"})),
        (
            "registration.submitted",
            json!({"account_id": "newbie", "serial_number": 5}),
        ),
        ("registration.organization_selected", json!({})),
        (
            "registration.organization_selected",
            json!({"organization_id": "x".repeat(129)}),
        ),
        ("registration.email_verified", json!({})),
        (
            "registration.da_decided",
            json!({"da_account_id": "boss", "decision": "grant"}),
        ),
        (
            "registration.da_decided",
            json!({"da_account_id": "boss", "decision": "grant", "role": "king"}),
        ),
        (
            "registration.da_decided",
            json!({"da_account_id": "boss", "decision": "maybe"}),
        ),
        ("registration.da_decided", json!({"decision": "deny"})),
        ("mail.bounced", json!({"kind": "squashy"})),
    ] {
        let bytes = event(kind, data).to_string();
        assert_eq!(
            refused(bytes.as_bytes()),
            (Reason::InvalidData, "invalid_data".to_owned()),
            "{bytes}"
        );
    }
}

#[test]
fn texts_are_as_long_as_the_schemas_say() {
    let text = |chars: usize| "é".repeat(chars);
    for (kind, field, limit, data) in [
        ("registration.email_verified", "token", 256, json!({})),
        (
            "registration.da_decided",
            "reason",
            2_000,
            json!({"da_account_id": "boss", "decision": "deny"}),
        ),
        (
            "registration.review_decided",
            "reason",
            2_000,
            json!({"agent": "smith", "decision": "reject"}),
        ),
        (
            "registration.review_decided",
            "question",
            2_000,
            json!({"agent": "smith", "decision": "ask"}),
        ),
        (
            "registration.review_decided",
            "agent",
            128,
            json!({"decision": "reject"}),
        ),
        ("registration.information_provided", "answer", 10_000, json!({})),
        ("mail.bounced", "detail", 2_000, json!({"kind": "soft"})),
    ] {
        let with = |chars: usize| {
            let mut data = data.clone();
            data[field] = text(chars).into();
            read(&event(kind, data))
        };
        assert!(with(limit).is_ok(), "{kind} {field}");
        let refusal = with(limit + 1).expect_err("taken");
        assert_eq!(refusal.reason, Reason::InvalidData, "{kind} {field}");
    }
    for (kind, data) in [
        ("registration.email_verified", json!({"token": ""})),
        ("registration.information_provided", json!({"answer": ""})),
        (
            "registration.review_decided",
            json!({"agent": "", "decision": "reject"}),
        ),
        (
            "registration.review_decided",
            json!({"agent": "smith", "decision": "ask", "question": ""}),
        ),
    ] {
        assert!(read(&event(kind, data.clone())).is_err(), "{kind} {data}");
    }
}

#[test]
fn a_token_is_not_shown() {
    let event = read(&event("registration.email_verified", json!({"token": "secret-token"}))).unwrap();
    assert!(!format!("{event:?}").contains("secret-token"));
}

#[test]
fn numbers_typed_at_length_are_read_and_cut() {
    let long = event(
        "registration.submitted",
        json!({"account_id": "newbie", "contract_number": "9".repeat(10_000), "serial_number": "f".repeat(10_000)}),
    );
    let data = read(&long).unwrap().data;
    let Some(Event::Submitted { numbers, .. }) = Event::from_upstream(&data, |_| None) else {
        panic!("not submitted");
    };
    for text in [numbers.contract.as_str(), numbers.serial.as_str()] {
        assert_eq!(text.chars().count(), Entered::MAX_CHARS);
        assert!(text.ends_with('…'));
    }
}
