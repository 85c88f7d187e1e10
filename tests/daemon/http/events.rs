//! Events by HTTP, forwarded to the intake.

use std::fmt::Write as _;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Fixture, TOKEN, Wanted, problem, send};

const EVENT: &str = r#"{"specversion":"1.0","id":"e-1","source":"/portal","type":"registration.submitted","subject":"reg-1",
  "data":{"account_id":"newbie","contract_number":"93988396","serial_number":"FOC1436Y3XK"}}"#;

async fn open() -> Fixture {
    Fixture::start(Wanted {
        api_token: true,
        ..Wanted::default()
    })
    .await
}

fn with_type(fixture: &Fixture, content_type: &str) -> RequestBuilder {
    fixture
        .post("/v1/events")
        .bearer_auth(TOKEN)
        .header("content-type", content_type)
}

fn event(fixture: &Fixture) -> RequestBuilder {
    with_type(fixture, "application/cloudevents+json")
}

#[tokio::test]
async fn a_sound_event_reaches_the_intake_as_it_was_sent() {
    let fixture = open().await;
    let types = [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        "application/json",
        "Application/JSON",
    ];
    let mut entries = Vec::new();
    for content_type in types {
        let response = send(with_type(&fixture, content_type).body(EVENT)).await;
        assert_eq!(response.status(), 202, "{content_type}");
        let body: Value = response.json().await.expect("JSON");
        entries.push(body["entry"].as_str().expect("the entry's id").to_owned());
    }
    let stream = fixture.intake().await;
    let expected = entries
        .into_iter()
        .map(|id| (id, vec![("event".to_owned(), EVENT.to_owned())]));
    assert_eq!(stream, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn it_is_closed_until_there_is_a_token() {
    let fixture = Fixture::start(Wanted::default()).await;
    let body = problem(event(&fixture).body(EVENT), 403).await;
    assert!(
        body["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("http.api_token")),
        "{body}"
    );
    assert!(fixture.intake().await.is_empty());
}

#[tokio::test]
async fn it_asks_for_token_name_and_type() {
    let fixture = open().await;
    let anonymous = fixture
        .post("/v1/events")
        .header("content-type", "application/json")
        .body(EVENT);
    problem(anonymous, 401).await;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        problem(with_type(&fixture, content_type).body(EVENT), 415).await;
    }
    problem(fixture.post("/v1/events").bearer_auth(TOKEN).body(EVENT), 415).await;
    let port = fixture.address.port();
    let foreign = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "127.0.0.1:1".to_owned(),
    ];
    for host in foreign {
        let body = problem(event(&fixture).header("host", &host).body(EVENT), 421).await;
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("http.allowed_hosts")),
            "{body}"
        );
    }
    assert!(fixture.intake().await.is_empty(), "nothing was added");

    let ours = [
        format!("localhost:{port}"),
        "portal.example".to_owned(),
        "Enrolld.Example".to_owned(),
    ];
    for host in ours {
        assert_eq!(
            send(event(&fixture).header("host", &host).body(EVENT)).await.status(),
            202,
            "{host}"
        );
    }
    problem(fixture.get("/v1/events").bearer_auth(TOKEN), 405).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_reason_and_not_added() {
    let fixture = open().await;
    let changed = |member: &str, value: Value| {
        let mut event: Value = serde_json::from_str(EVENT).expect("JSON");
        event[member] = value;
        event.to_string()
    };
    let mut told = String::new();
    for body in [
        String::new(),
        "not JSON".to_owned(),
        "[]".to_owned(),
        changed("specversion", json!("0.3")),
        changed("type", json!("registration.exploded")),
        changed("subject", json!("no spaces, please")),
        changed("data", json!({})),
    ] {
        let body = problem(event(&fixture).body(body), 400).await;
        writeln!(told, "{} {}: {}", body["reason"], body["code"], body["detail"]).expect("a string takes all text");
    }
    insta::assert_snapshot!("refused_events", told);
    problem(event(&fixture).body(b"\xff\xfe".to_vec()), 400).await;
    assert!(fixture.intake().await.is_empty());
}

#[tokio::test]
async fn an_event_has_64_kib_at_most() {
    let fixture = open().await;
    let padded = |bytes: usize| format!("{EVENT}{}", " ".repeat(bytes - EVENT.len()));
    assert_eq!(send(event(&fixture).body(padded(64 * 1024))).await.status(), 202);
    problem(event(&fixture).body(padded(64 * 1024 + 1)), 413).await;
    problem(event(&fixture).body(padded(1024 * 1024)), 413).await;
    assert_eq!(fixture.intake().await.len(), 1);
}

#[tokio::test]
async fn with_redis_away_the_sender_is_told_to_come_back() {
    let mut fixture = open().await;
    fixture.redis.kill();
    let response = send(event(&fixture).body(EVENT)).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    fixture.redis.restart();
    assert_eq!(send(event(&fixture).body(EVENT)).await.status(), 202);
}
