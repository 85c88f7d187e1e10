//! Provisioning targets over HTTP: what is sent, and what each answer, or the want of one, means (D11). The targets are
//! servers in the test which misbehave in every way that was thought of.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

#[path = "provisioning/target.rs"]
mod target;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use chrono::{DateTime, TimeZone, Utc};
use enrolld::{
    environment::Environment,
    provisioning::{HttpTargets, Limits, SetupError},
    settings::ProvisioningTarget,
};
use enrolld_jobs::{
    ports::Provisioner as _,
    provisioning_sync::{Answer, Call, SyncedGrant},
    values::{Access, AccountId, OrganizationId},
};
use serde_json::{Value, json};
use target::{FakeTarget, Manner};
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::Instant};
use uuid::Uuid;

/// More than any test needs, so that a slow machine does not fail.
const PATIENCE: Duration = Duration::from_secs(20);
/// For calls that are to run into it.
const SHORT: Duration = Duration::from_millis(300);
const TOKEN: &str = "t0ken-which-must-not-show";
const KEY: &str = "a-key-of-idempotency";

#[derive(Debug)]
struct World;

impl Environment for World {
    fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).unwrap()
    }

    fn random(&self) -> [u8; 32] {
        [7; 32]
    }
}

fn tool(name: &str, url: &str) -> ProvisioningTarget {
    ProvisioningTarget {
        name: name.to_owned(),
        url: url.parse().unwrap(),
        token: Some(TOKEN.to_owned().into()),
    }
}

fn targets(tools: &[ProvisioningTarget], call: Duration, at_once: usize) -> HttpTargets {
    let at_once = NonZeroUsize::new(at_once).unwrap();
    HttpTargets::new(tools, Limits { call, at_once }, Arc::new(World)).unwrap()
}

fn one(target: &FakeTarget, call: Duration) -> HttpTargets {
    targets(&[tool("crm", &format!("http://{}", target.address))], call, 4)
}

fn grant() -> SyncedGrant {
    SyncedGrant {
        id: Uuid::from_u128(0x1234_5678_9abc_5def_8123_4567_89ab_cdef),
        account_id: AccountId::new("acc-1").unwrap(),
        organization_id: OrganizationId::new("org-1").unwrap(),
        access: Access::DelegatedAdministrator,
    }
}

/// Calls the target `crm`, and sees to it that the token is kept.
async fn call(targets: &HttpTargets, call: Call) -> Answer {
    let answer = targets.call("crm", call, &grant(), KEY).await.unwrap();
    let shown = format!("{targets:?} {targets:#?} {answer:?}");
    assert!(!shown.contains(TOKEN), "{shown}");
    answer
}

async fn answer_to(behaviour: Manner) -> Answer {
    let target = FakeTarget::start(behaviour).await;
    call(&one(&target, PATIENCE), Call::Put).await
}

fn not_now(answer: Answer) -> (String, Option<Duration>) {
    match answer {
        Answer::NotNow { problem, retry_after } => (problem, retry_after),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn d11_calls_are_those_of_the_contract() {
    let target = FakeTarget::start(Manner::answer("204 No Content", "")).await;
    for (base, path) in [
        ("", ""),
        ("/", ""),
        ("/api/v1", "/api/v1"),
        ("/api/a%20b/", "/api/a%20b"),
    ] {
        let targets = targets(&[tool("crm", &format!("http://{}{base}", target.address))], PATIENCE, 4);
        for (kind, method) in [(Call::Put, "PUT"), (Call::Get, "GET"), (Call::Delete, "DELETE")] {
            assert_eq!(call(&targets, kind).await, Answer::Done);
            let heard = target.heard().pop().unwrap();
            let line = format!("{method} {path}/grants/12345678-9abc-5def-8123-456789abcdef HTTP/1.1");
            assert_eq!(heard.line, line);
            assert_eq!(heard.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
            if kind == Call::Put {
                assert_eq!(heard.header("idempotency-key"), Some(KEY));
                assert_eq!(heard.header("content-type"), Some("application/json"));
                let expected = json!({
                    "account_id": "acc-1", "organization_id": "org-1", "role": "delegated_administrator",
                });
                assert_eq!(serde_json::from_str::<Value>(&heard.body).unwrap(), expected);
            } else {
                assert_eq!(heard.header("idempotency-key"), None);
                assert_eq!(heard.body, "");
            }
        }
    }
    assert_eq!(target.heard().len(), 12);
}

#[tokio::test]
async fn without_a_token_there_is_no_authorization() {
    let target = FakeTarget::start(Manner::answer("200 OK", "{}")).await;
    let mut tool = tool("crm", &format!("http://{}", target.address));
    tool.token = None;
    assert_eq!(call(&targets(&[tool], PATIENCE, 4), Call::Get).await, Answer::Done);
    assert_eq!(target.heard()[0].header("authorization"), None);
}

#[tokio::test]
async fn each_name_is_its_own_target_and_no_other_is_called() {
    let (first, second) = (
        FakeTarget::start(Manner::answer("200 OK", "")).await,
        FakeTarget::start(Manner::answer("404 Not Found", "")).await,
    );
    let tools = [
        tool("first", &format!("http://{}", first.address)),
        tool("crm", &format!("http://{}", second.address)),
    ];
    let targets = targets(&tools, PATIENCE, 4);
    assert_eq!(call(&targets, Call::Get).await, Answer::Missing);
    assert_eq!(targets.call("gone", Call::Get, &grant(), KEY).await, None);
    assert_eq!((first.connections(), second.connections()), (0, 1));
}

#[tokio::test]
async fn d11_statuses_of_success_and_absence() {
    for (head, expected) in [
        ("200 OK", Answer::Done),
        ("201 Created", Answer::Done),
        ("202 Accepted", Answer::Accepted),
        ("404 Not Found", Answer::Missing),
    ] {
        assert_eq!(answer_to(Manner::answer(head, "whatever")).await, expected);
    }
}

#[tokio::test]
async fn d11_the_targets_own_fault_is_not_final() {
    for (head, problem, retry_after) in [
        ("500 Oh", "it answered 500", None),
        ("503 No\r\nretry-after: 7", "it answered 503", Some(7)),
        (
            "503 No\r\nretry-after: Sun, 22 Nov 2026 09:00:30 GMT",
            "it answered 503",
            Some(30),
        ),
        ("429 No\r\nretry-after: 86400", "it answered 429", Some(86_400)),
        ("429 No\r\nretry-after: 0", "it answered 429", None),
        ("401 No", "it answered 401; check the target's token", None),
        ("403 No", "it answered 403; check the target's token", None),
        ("408 No", "it answered 408", None),
        ("425 No", "it answered 425", None),
        ("999 No", "it answered 999, which is no answer to such a call", None),
        (
            "101 Upgrade\r\nconnection: upgrade\r\nupgrade: x",
            "it answered 101, which is no answer to such a call",
            None,
        ),
    ] {
        let answer = answer_to(Manner::answer(head, &format!("you sent {TOKEN}"))).await;
        let expected = (problem.to_owned(), retry_after.map(Duration::from_secs));
        assert_eq!(not_now(answer), expected);
    }
}

#[tokio::test]
async fn d11_a_refusal_tells_what_the_target_said() {
    let said = format!(
        "{{\"error\":\r\n\t\"no \u{1b}[31morganization \u{202e}{TOKEN}\"}}{}",
        "z".repeat(5_000)
    );
    for (head, status) in [("422 No", 422), ("400 No", 400), ("409 No", 409), ("410 Gone", 410)] {
        let Answer::Refused { status: found, detail } = answer_to(Manner::answer(head, &said)).await else {
            panic!("it is refused");
        };
        assert_eq!(found, status);
        assert_eq!(detail.chars().count(), 200);
        assert!(
            detail.starts_with("{\"error\": \"no [31morganization …\"}zzz"),
            "{detail}"
        );
    }
    let silent = answer_to(Manner::answer("422 No", "\r\n")).await;
    let detail = "no reason given".to_owned();
    assert_eq!(silent, Answer::Refused { status: 422, detail });
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let elsewhere = FakeTarget::start(Manner::answer("200 OK", "")).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Over there\r\nlocation: http://{}/grants", elsewhere.address);
        let (problem, _) = not_now(answer_to(Manner::answer(&head, "")).await);
        let expected = format!("it answered {status}, a redirection, which is not followed; check the target's url");
        assert_eq!(problem, expected);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_target_that_says_nothing_is_given_up() {
    let target = FakeTarget::start(Manner::Hang).await;
    let (problem, _) = not_now(call(&one(&target, SHORT), Call::Put).await);
    assert_eq!(problem, "no answer within 300ms");
    target.wait_until(|happened| happened.ended == 1).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let target = FakeTarget::start(Manner::Trickle("HTTP/1.1 200 OK\r\nx: ")).await;
    let (problem, _) = not_now(call(&one(&target, SHORT), Call::Put).await);
    assert_eq!(problem, "no answer within 300ms");
    target.wait_until(|happened| happened.ended == 1).await;
    target.behave(Manner::Flood("HTTP/1.1 200 OK\r\nx: ", 100_000_000));
    let (problem, _) = not_now(call(&one(&target, PATIENCE), Call::Put).await);
    assert!(
        problem.starts_with("the connection broke before the answer was there: "),
        "{problem}"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_is_the_targets_fault() {
    for half in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let (problem, _) = not_now(answer_to(Manner::SayAndReset(half)).await);
        assert!(
            problem.starts_with("the connection broke before the answer was there: "),
            "{problem}"
        );
    }
    let (problem, _) = not_now(answer_to(Manner::Say("220 mail.example ESMTP\r\n".to_owned())).await);
    assert!(problem.contains("invalid HTTP"), "{problem}");
}

#[tokio::test]
async fn once_the_status_is_there_a_broken_body_does_not_matter() {
    let accepted = answer_to(Manner::SayAndReset(
        "HTTP/1.1 202 Accepted\r\ncontent-length: 90\r\n\r\nhalf",
    ))
    .await;
    assert_eq!(accepted, Answer::Accepted);
}

#[tokio::test]
async fn a_refused_connection_is_the_targets_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (problem, _) = not_now(call(&targets(&[tool("crm", &url)], PATIENCE, 4), Call::Get).await);
    assert_eq!(problem, "no connection: Connection refused (os error 111)");
}

#[tokio::test]
async fn reading_ends_long_before_a_huge_body_does() {
    const HUGE: usize = 100_000_000;
    for (head, is_refusal) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n", false),
        ("HTTP/1.1 422 No\r\ncontent-length: 100000000\r\n\r\n", true),
    ] {
        let target = FakeTarget::start(Manner::Flood(head, HUGE)).await;
        let answer = call(&one(&target, PATIENCE), Call::Put).await;
        assert_eq!(matches!(answer, Answer::Refused { .. }), is_refusal, "{answer:?}");
        // What lay in the buffers of the two sockets was written too.
        let written = target.wait_until(|happened| happened.ended == 1).await;
        assert!(written < HUGE / 4, "{written} bytes");
    }
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let target = FakeTarget::start(Manner::Trickle("HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n")).await;
    let asked = Instant::now();
    assert_eq!(call(&one(&target, PATIENCE), Call::Put).await, Answer::Done);
    // All of it would take 90 s.
    assert!(asked.elapsed() < PATIENCE);
    target.wait_until(|happened| happened.ended == 1).await;
    target.behave(Manner::Trickle("HTTP/1.1 422 No\r\ncontent-length: 9000\r\n\r\n"));
    let Answer::Refused { detail, .. } = call(&one(&target, PATIENCE), Call::Put).await else {
        panic!("it is refused");
    };
    assert!(detail.starts_with("xx"), "{detail}");
}

#[tokio::test]
async fn a_connection_serves_many_calls() {
    let target = FakeTarget::start(Manner::answer("200 OK", "{\"state\":\"active\"}")).await;
    let targets = one(&target, PATIENCE);
    for _ in 0..5 {
        assert_eq!(call(&targets, Call::Get).await, Answer::Done);
    }
    target.behave(Manner::answer("422 No", "no such organization"));
    for _ in 0..5 {
        call(&targets, Call::Put).await;
    }
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn a_target_that_hangs_does_not_hold_up_the_others() {
    let (slow, quick) = (
        FakeTarget::start(Manner::Hang).await,
        FakeTarget::start(Manner::answer("200 OK", "")).await,
    );
    let tools = [
        tool("crm", &format!("http://{}", slow.address)),
        tool("quick", &format!("http://{}", quick.address)),
    ];
    let targets = targets(&tools, PATIENCE * 3, 1);
    let hanging = tokio::spawn({
        let targets = targets.clone();
        async move { call(&targets, Call::Put).await }
    });
    slow.wait_until(|happened| happened.heard.len() == 1).await;

    let (problem, retry_after) = not_now(call(&targets, Call::Put).await);
    assert_eq!(
        problem,
        "as many calls as it may have are under way, and none has ended"
    );
    assert_eq!(retry_after, None);
    assert_eq!(slow.connections(), 1);
    assert_eq!(
        targets.call("quick", Call::Put, &grant(), KEY).await,
        Some(Answer::Done)
    );

    // A call that is given up gives its turn back.
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    slow.behave(Manner::answer("200 OK", ""));
    assert_eq!(call(&targets, Call::Put).await, Answer::Done);
}

#[tokio::test]
async fn https_speaks_tls_and_sends_nothing_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let first_bytes = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 3];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    });
    let (problem, _) = not_now(call(&targets(&[tool("crm", &url)], PATIENCE, 4), Call::Put).await);
    assert!(problem.starts_with("no connection: "), "{problem}");
    // A handshake of TLS.
    assert_eq!(first_bytes.await.unwrap()[..2], [0x16, 3]);
}

#[test]
fn a_target_that_cannot_be_called_is_found_at_the_start() {
    let limits = Limits::shared(8, 2);
    let set_up = |tool| HttpTargets::new(&[tool], limits, Arc::new(World)).unwrap_err();
    assert!(matches!(set_up(tool("crm", "mailto:a@b.example")), SetupError::Url(name) if name == "crm"));
    for token in ["", "two words", "line\nbreak", "nöt"] {
        let mut tool = tool("crm", "http://127.0.0.1/");
        tool.token = Some(token.to_owned().into());
        let error = set_up(tool);
        assert!(matches!(&error, SetupError::Token(name) if name == "crm"));
        assert!(token.is_empty() || !error.to_string().contains(token));
    }
}

#[test]
fn workers_are_shared_among_targets() {
    let share = |workers, targets| Limits::shared(workers, targets).at_once.get();
    assert_eq!([share(8, 0), share(8, 1), share(8, 3), share(8, 32)], [8, 8, 2, 1]);
}
