//! What Prometheus reads.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::Parts;

/// The text format of Prometheus.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`: nobody is asked for it, so that it answers whatever is away. Numbers only; no token is needed, as for health.
pub(super) async fn show(State(state): State<Arc<Parts>>) -> Response {
    let headers = [(header::CONTENT_TYPE, FORMAT), (header::CACHE_CONTROL, "no-store")];
    (headers, state.exposition.render()).into_response()
}
