//! Puts refused events back on the intake, as they came: they are judged anew (contract, section 1).

use serde_json::{Map, Value};

use super::redaction;
use crate::{
    queue::{Error, Redis},
    store::entities::refused,
};

/// Why an event cannot be put back as it came: only who sent it has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// In the place of the token its digest is kept (D7).
    #[error("the token of its link is not kept")]
    Token,
    /// It was too large to be kept whole.
    #[error("it was too large, and only its beginning is kept")]
    End,
    /// The entry had other fields than `event`.
    #[error("its entry had no field `event`")]
    Event,
}

/// The event's bytes, if they are what came.
pub(crate) fn original(event: &refused::Model) -> Result<&[u8], Lost> {
    let detail: Map<String, Value> = serde_json::from_str(&event.detail).unwrap_or_default();
    if detail.contains_key("kept_bytes") {
        Err(Lost::End)
    } else if detail.get("code").is_some_and(|code| code == "no_event_field") {
        Err(Lost::Event)
    } else if redaction::needs_token(&event.event) {
        Err(Lost::Token)
    } else {
        Ok(&event.event)
    }
}

/// Adds events to the stream in their order, and tells the ids of their entries. After an error some of them may have been
/// added; to add all of them again does no harm: none is applied twice.
pub(crate) async fn put_back(redis: &Redis, prefix: &str, events: &[&[u8]]) -> Result<Vec<String>, Error> {
    let stream = format!("{prefix}:intake");
    let mut pipeline = redis::Pipeline::with_capacity(events.len());
    for event in events {
        pipeline.cmd("XADD").arg(&stream).arg("*").arg("event").arg(*event);
    }
    redis.pipeline(&pipeline).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(event: &str, detail: &str) -> refused::Model {
        refused::Model {
            seq: 1,
            entry: "1-1".to_owned(),
            r#type: None,
            subject: None,
            event: event.as_bytes().to_vec(),
            reason: "not_allowed".to_owned(),
            detail: detail.to_owned(),
            refused_ms: 0,
            announced_ms: None,
            replayed_ms: None,
            replayed_by: None,
        }
    }

    #[test]
    fn only_what_is_whole_is_put_back() {
        for (event, detail, expected) in [
            (r#"{"type":"registration.withdrawn"}"#, r#"{"code":"x"}"#, Ok(())),
            ("no JSON at all", r#"{"code":"not_json"}"#, Ok(())),
            (
                r#"{"type":"registration.email_verified","data":{"token":"9f…"}}"#,
                r#"{"code":"expired_token"}"#,
                Err(Lost::Token),
            ),
            // Too broken to be read, but it may have held one.
            (
                r#"{"type":"registration.email_verified","data":{"#,
                r#"{"code":"not_json"}"#,
                Err(Lost::Token),
            ),
            // Others may speak of it.
            (
                r#"{"type":"registration.da_decided","data":{"reason":"e-mail verified"}}"#,
                r#"{"code":"wrong_state"}"#,
                Ok(()),
            ),
            ("{}", r#"{"code":"too_large","kept_bytes":65536}"#, Err(Lost::End)),
            ("{}", r#"{"code":"no_event_field"}"#, Err(Lost::Event)),
        ] {
            let event = refused(event, detail);
            assert_eq!(original(&event).map(|_| ()), expected, "{event:?}");
        }
    }
}
