//! A target of provisioning that keeps what it is told, and can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::put};
use tokio::net::TcpListener;

/// A target on a loopback port.
#[derive(Debug)]
pub(super) struct Target {
    url: String,
    state: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    is_failing: AtomicBool,
    grants: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Target {
    /// On a thread of its own: the test's waits for processes.
    pub(super) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket can be so");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(Kept::default());
        let router = Router::new()
            .route("/grants/{id}", put(have).get(has).delete(has_no_more))
            .with_state(Arc::clone(&state));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be had").block_on(async move {
                let listener = TcpListener::from_std(listener).expect("it is bound");
                axum::serve(listener, router)
                    .await
                    .expect("it listens as long as the test runs");
            });
        });
        Self {
            url: format!("http://{address}"),
            state,
        }
    }

    /// The value of `provisioning.targets`.
    pub(super) fn setting(&self) -> toml::Value {
        let mut target = toml::Table::new();
        target.insert("name".to_owned(), "tool".into());
        target.insert("url".to_owned(), self.url.clone().into());
        toml::Value::Array(vec![target.into()])
    }

    pub(super) fn fail(&self, fails: bool) {
        self.state.is_failing.store(fails, Ordering::SeqCst);
    }

    /// The grants that it has, each with the idempotency keys under which it was put.
    pub(super) fn grants(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.state.grants.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Kept {
    fn answer(&self) -> Option<StatusCode> {
        self.is_failing
            .load(Ordering::SeqCst)
            .then_some(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

async fn have(State(kept): State<Arc<Kept>>, Path(id): Path<String>, headers: HeaderMap) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let key = key.unwrap_or_default().to_owned();
    // It has it even where its answer is an error: whoever asks again must not make it two.
    let mut grants = kept.grants.lock().unwrap_or_else(PoisonError::into_inner);
    grants.entry(id).or_default().insert(key);
    kept.answer().unwrap_or(StatusCode::ACCEPTED)
}

async fn has(State(kept): State<Arc<Kept>>, Path(id): Path<String>) -> StatusCode {
    let has = kept
        .grants
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .contains_key(&id);
    let found = if has { StatusCode::OK } else { StatusCode::NOT_FOUND };
    kept.answer().unwrap_or(found)
}

async fn has_no_more(State(kept): State<Arc<Kept>>, Path(id): Path<String>) -> StatusCode {
    kept.grants.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    kept.answer().unwrap_or(StatusCode::NO_CONTENT)
}
