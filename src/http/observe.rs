//! What surrounds every request: a limit of time, a line in the log, and an answer when a handler panics.

use std::{any::Any, time::Duration};

use axum::{
    extract::{MatchedPath, Request},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::{Instant, timeout};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use super::problem::Problem;
use crate::metrics;

/// Longest time for a request, its body included.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Bounds the request's time and logs it: the template of its path, since a path may hold a token.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = match timeout(REQUEST_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::away("the request took too long; try again shortly").into_response(),
    };
    let path = path.as_ref().map_or("(no such path)", MatchedPath::as_str);
    let status = response.status();
    let took = started.elapsed();
    let milliseconds = took.as_millis();
    metrics::request_answered(path, status.as_u16(), took);
    if status.is_server_error() && path != "/readyz" {
        tracing::warn!(%method, path, status = status.as_u16(), milliseconds, "request");
    } else if matches!(path, "/healthz" | "/readyz" | "/metrics" | "/assets/page.css") {
        tracing::debug!(%method, path, status = status.as_u16(), milliseconds, "request");
    } else {
        tracing::info!(%method, path, status = status.as_u16(), milliseconds, "request");
    }
    response
}

/// A panic fails its request only.
pub(super) fn catch_panics() -> CatchPanicLayer<AnswerToPanic> {
    CatchPanicLayer::custom(AnswerToPanic)
}

/// Answers 500. What the panic said is on the log already, by the panic hook.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerToPanic;

impl ResponseForPanic for AnswerToPanic {
    type ResponseBody = axum::body::Body;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send + 'static>) -> Response {
        tracing::error!("a handler panicked");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request failed; the log says why",
        )
        .into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware, routing::get};
    use tower::Service as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_fails_its_request_only() {
        let broken = get(async || -> &'static str { panic!("as the test wants it") });
        let mut router: Router = Router::new()
            .route("/broken", broken)
            .route("/sound", get(async || "ok"))
            .layer(catch_panics())
            .layer(middleware::from_fn(observe));
        for (path, status) in [("/broken", 500), ("/sound", 200)] {
            let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
            let response = router.call(request).await.expect("it is answered");
            assert_eq!(response.status(), status, "{path}");
        }
    }
}
