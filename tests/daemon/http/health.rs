//! Liveness and readiness.

use serde_json::{Value, json};

use super::{Fixture, Wanted, send};

async fn readiness(fixture: &Fixture) -> (u16, Value) {
    let response = send(fixture.get("/readyz")).await;
    (response.status().as_u16(), response.json().await.expect("it is JSON"))
}

#[tokio::test]
async fn it_is_ready_while_everything_answers_and_alive_in_any_case() {
    let mut fixture = Fixture::start(Wanted::default()).await;
    let ok = json!({"ok": true, "error": null});
    let all = json!({"database": ok, "redis": ok, "migrations": ok, "directory": ok, "services": ok, "running": ok});
    assert_eq!(readiness(&fixture).await, (200, json!({"ready": true, "checks": all})));

    fixture.redis.kill();
    let (status, body) = readiness(&fixture).await;
    assert_eq!(
        (status, &body["ready"], &body["checks"]["redis"]["ok"]),
        (503, &json!(false), &json!(false))
    );
    assert_eq!(body["checks"]["database"]["ok"], true);
    assert!(
        body["checks"]["redis"]["error"]
            .as_str()
            .is_some_and(|error| error.contains("is away")),
        "{body}"
    );
    let alive = send(fixture.get("/healthz")).await;
    assert_eq!(alive.status(), 200);
    assert_eq!(alive.text().await.expect("a body"), "ok");

    fixture.redis.restart();
    assert_eq!(readiness(&fixture).await.0, 200, "it goes on by itself");

    fixture.draining.cancel();
    let (status, body) = readiness(&fixture).await;
    assert_eq!((status, &body["checks"]["running"]["ok"]), (503, &json!(false)));
}
