//! Errors of the API: `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use enrolld_jobs::refusal::{Reason, Refusal};
use serde_json::{Map, Value};

use crate::store::error::StoreError;

/// Seconds after which something that is away is worth asking again.
pub(super) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// An error with what to do about it. Holds no secret and no personal data.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            more: Map::new(),
            headers: Vec::new(),
        }
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Something it takes is away: the same may succeed soon.
    pub(super) fn away(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() {
            tracing::warn!(%error, "a request could not be answered");
            Self::away("the database is not available; try again shortly")
        } else {
            tracing::error!(%error, "a request could not be answered");
            Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request failed; the log says why",
            )
        }
    }
}

impl From<&Refusal> for Problem {
    /// The refusal's reason and detail become members of their own; its message is the problem's detail.
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal.reason {
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let message = refusal.detail.get("message").and_then(Value::as_str);
        let mut problem = Self::new(
            status,
            message.unwrap_or("the event is refused; see `reason` and `code`"),
        );
        problem.more.insert("reason".to_owned(), refusal.reason.as_str().into());
        let detail = refusal.detail.iter().filter(|(key, _)| *key != "message");
        problem
            .more
            .extend(detail.map(|(key, value)| (key.clone(), value.clone())));
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.more;
        body.insert("type".to_owned(), "about:blank".into());
        body.insert(
            "title".to_owned(),
            self.status.canonical_reason().unwrap_or("Error").into(),
        );
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.into());
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (self.status, headers, Value::Object(body).to_string()).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
