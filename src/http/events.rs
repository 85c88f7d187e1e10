//! `POST /v1/events`: a CloudEvent, forwarded to the intake (contract, section 1).

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use enrolld_jobs::cloud_event::{self, MAX_EVENT_BYTES};
use futures::StreamExt as _;
use serde_json::json;

use super::{Parts, guard, problem::Problem};

/// Bytes of a body that is too large that are read and thrown away: a client that is still writing when the connection is
/// closed would not see the answer.
const MAX_DISCARDED_BYTES: usize = 2 * 1024 * 1024;

/// Adds the event to the intake as it came. What cannot be read is refused here, and not added.
pub(super) async fn forward(State(state): State<Arc<Parts>>, request: Request) -> Result<Response, Problem> {
    guard::may_change(&state, request.uri(), request.headers())?;
    if !is_event(request.headers()) {
        let detail = "send the event as application/cloudevents+json or application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let bytes = read(request.into_body()).await?;
    cloud_event::parse(&bytes).map_err(|refusal| Problem::from(&refusal))?;
    let mut add = redis::cmd("XADD");
    add.arg(format!("{}:intake", state.prefix))
        .arg("*")
        .arg("event")
        .arg(bytes);
    match state.redis.query::<String>(&add).await {
        Ok(entry) => Ok((StatusCode::ACCEPTED, Json(json!({ "entry": entry }))).into_response()),
        Err(error) => {
            tracing::warn!(%error, "an event could not be added to the intake");
            Err(Problem::away(
                "Redis does not take the event now; send the same event again shortly",
            ))
        }
    }
}

fn is_event(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    ["application/cloudevents+json", "application/json"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut read = 0;
    while let Some(chunk) = chunks.next().await {
        let broken = |_| Problem::new(StatusCode::BAD_REQUEST, "the body broke off");
        let chunk = chunk.map_err(broken)?;
        read += chunk.len();
        if read <= MAX_EVENT_BYTES {
            bytes.extend_from_slice(&chunk);
        } else if read > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if read > MAX_EVENT_BYTES {
        let detail = format!("an event has at most {MAX_EVENT_BYTES} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(bytes)
}
