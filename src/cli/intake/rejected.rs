//! `enrolld intake rejected`.

use serde_json::{Map, Value, json};

use super::Listing;
use crate::{
    cli::{
        database,
        moments::{relative_ms, rfc3339},
        output::Screen,
        table::{Column, table},
    },
    environment::{Environment as _, System},
    settings::Settings,
    store::entities::refused,
};

pub(super) async fn run(listing: Listing, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    let events = store.refused_events(listing.asked()).await?;
    let now = System.now();
    listing.write("refused events", &events, as_json, |events| {
        let columns = [
            Column::new("SEQ", 0).number(),
            Column::new("WHEN", 1),
            Column::new("REASON", 0),
            Column::new("CODE", 2),
            Column::new("SUBJECT", 3).wrapped(),
            Column::new("TYPE", 5),
            Column::new("REPLAYED", 4),
            Column::new("ENTRY", 6),
        ];
        let rows = events.iter().map(|event| {
            let detail = detail(event);
            [
                event.seq.to_string(),
                relative_ms(now, event.refused_ms),
                event.reason.clone(),
                detail
                    .get("code")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                event.subject.clone().unwrap_or_default(),
                event.r#type.clone().unwrap_or_default(),
                event.replayed_ms.map(|ms| relative_ms(now, ms)).unwrap_or_default(),
                event.entry.clone(),
            ]
        });
        table(Screen::stdout(), columns, rows)
    })
}

pub(super) fn detail(event: &refused::Model) -> Map<String, Value> {
    serde_json::from_str(&event.detail).unwrap_or_default()
}

/// The original bytes may be anything; what is not UTF-8 in them is replaced.
fn as_json(event: &refused::Model) -> Value {
    json!({
        "seq": event.seq,
        "refused_at": rfc3339(event.refused_ms),
        "reason": event.reason,
        "detail": detail(event),
        "subject": event.subject,
        "type": event.r#type,
        "entry": event.entry,
        "replayed_at": event.replayed_ms.map(rfc3339),
        "replayed_by": event.replayed_by,
        "event": String::from_utf8_lossy(&event.event),
    })
}
