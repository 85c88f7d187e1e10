//! Whether the process lives, and whether it can work.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use enrolld_jobs::{
    ports::Directory as _,
    values::{AccountId, ContractNumber, SerialNumber},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Parts;

/// Longest wait for each answer: probes give up soon themselves.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Longest error text shown, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// `GET /healthz`: as long as the process answers at all.
pub(super) async fn alive() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], "ok")
}

/// `GET /readyz`: 200 when work goes on, 503 when it waits, and for what.
pub(super) async fn ready(State(state): State<Arc<Parts>>) -> Response {
    let (database, redis, migrations, directory) =
        tokio::join!(database(&state), redis(&state), migrations(&state), directory(&state));
    let running = if state.stop.is_cancelled() {
        Err("the daemon is stopping".to_owned())
    } else {
        Ok(())
    };
    let services = services(&state);
    let checks = [&database, &redis, &migrations, &directory, &services, &running];
    let ready = checks.iter().all(|check| check.is_ok());
    let body = json!({
        "ready": ready,
        "checks": {
            "database": shown(database),
            "redis": shown(redis),
            "migrations": shown(migrations),
            "directory": shown(directory),
            "services": shown(services),
            "running": shown(running),
        },
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

type Check = Result<(), String>;

fn shown(check: Check) -> Value {
    match check {
        Ok(()) => json!({"ok": true, "error": null}),
        Err(error) => json!({"ok": false, "error": error.chars().take(MAX_ERROR_CHARS).collect::<String>()}),
    }
}

/// These errors name hosts and what was seen, never a URL with its password.
async fn within<E: std::fmt::Display>(asked: impl Future<Output = Result<(), E>>) -> Check {
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
    }
}

async fn database(state: &Parts) -> Check {
    within(state.executor.store().ping()).await
}

async fn redis(state: &Parts) -> Check {
    within(state.redis.takes_writes(&state.prefix)).await
}

/// Asks as verification does, for somebody whom nobody is.
async fn directory(state: &Parts) -> Check {
    let (Ok(account), Ok(contract), Ok(serial)) = (
        AccountId::new("readyz"),
        ContractNumber::new("0"),
        SerialNumber::new("READYZ"),
    ) else {
        return Ok(());
    };
    let directory = state.executor.directory();
    within(async {
        let asked = directory.applicant(&account, Some(&contract), Some(&serial)).await;
        asked.map(|_| ()).map_err(|error| error.message)
    })
    .await
}

/// Mail server and targets, as they answered when they were called last.
fn services(state: &Parts) -> Check {
    match state.executor.services().away().as_slice() {
        [] => Ok(()),
        away => Err(format!("work waits for: {}", away.join(", "))),
    }
}

async fn migrations(state: &Parts) -> Check {
    // Asked until seen once: a database loses no migrations, and asking takes the one writer of SQLite.
    if state.migrated.load(Ordering::Relaxed) {
        return Ok(());
    }
    within(async {
        let schema = state
            .executor
            .store()
            .schema()
            .await
            .map_err(|error| error.to_string())?;
        if let Some(lack) = schema.lack() {
            return Err(lack);
        }
        state.migrated.store(true, Ordering::Relaxed);
        Ok(())
    })
    .await
}
