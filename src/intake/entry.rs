//! An entry of the stream: what it holds, and what is kept of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    cloud_event::{self, MAX_EVENT_BYTES},
    refusal::{Reason, Refusal},
};
use redis::Value;

use super::redaction;
use crate::store::inbox::{NewEvent, NewRefused};

/// Most bytes that are kept of what was refused unread (contract, section 1): nothing larger could have been taken, and a flood of
/// giants stays out of the database and of Redis. The detail says so where something was cut.
const MAX_KEPT_BYTES: usize = MAX_EVENT_BYTES;

/// An entry as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its id in the stream.
    pub(super) id: String,
    /// Its fields in their order.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry comes to.
#[derive(Debug)]
pub(super) enum Read {
    /// An event, to wait for its turn.
    Event(NewEvent),
    /// A refusal.
    Refused(NewRefused),
}

impl Entry {
    /// An entry with these fields.
    pub(super) fn of(fields: &[(&[u8], &[u8])]) -> Self {
        Self {
            id: "1-1".to_owned(),
            fields: fields
                .iter()
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect(),
        }
    }

    /// Reads the event, or says why it is refused.
    pub(super) fn read(self) -> Read {
        let Some(bytes) = self.event() else {
            let refusal = Refusal::new(Reason::Malformed, "no_event_field").with(
                "message",
                "the entry has no field `event`; add it with XADD … '*' event '{…}'",
            );
            return Read::Refused(self.refused(&refusal));
        };
        match cloud_event::parse(bytes) {
            Ok(event) => Read::Event(NewEvent {
                entry: self.id.clone(),
                body: redaction::of_event(bytes),
                source: event.source,
                event_id: event.id,
                subject: event.subject,
                kind: event.data.type_name().to_owned(),
            }),
            Err(refusal) => Read::Refused(self.refused(&refusal)),
        }
    }

    /// The refusal of an entry that has ended the daemon again and again.
    pub(super) fn poison(&self, deliveries: u64) -> NewRefused {
        let refusal = Refusal::new(Reason::Poison, "poison").with("deliveries", deliveries);
        self.refused(&refusal)
    }

    /// What came is kept as it came, but for a token that may be in it: it was not read, so it may stand anywhere.
    fn refused(&self, refusal: &Refusal) -> NewRefused {
        let bytes = match self.event() {
            Some(bytes) => redaction::of_bytes(bytes),
            None => redaction::of_bytes(self.fields_as_json().as_bytes()),
        };
        refused(&self.id, bytes, None, refusal)
    }

    fn event(&self) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(name, _)| name == b"event")
            .map(|(_, value)| value.as_slice())
    }

    fn fields_as_json(&self) -> String {
        let text = |bytes: &[u8]| serde_json::Value::from(String::from_utf8_lossy(bytes));
        let fields = self.fields.iter();
        let object: serde_json::Map<_, _> = fields
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), text(value)))
            .collect();
        serde_json::Value::Object(object).to_string()
    }
}

/// The refusal of an event that the database cannot keep.
pub(super) fn poison(event: &NewEvent, message: &str) -> NewRefused {
    let refusal = Refusal::new(Reason::Poison, "not_storable").with("message", message);
    refused(&event.entry, event.body.clone().into_bytes(), Some(event), &refusal)
}

/// A refused event, to be kept and announced. An `event` that was read is never cut.
pub(super) fn refused(entry: &str, mut bytes: Vec<u8>, event: Option<&NewEvent>, refusal: &Refusal) -> NewRefused {
    let mut detail = refusal.detail.clone();
    if event.is_none() && bytes.len() > MAX_KEPT_BYTES {
        detail.entry("bytes").or_insert_with(|| bytes.len().into());
        detail.insert("kept_bytes".to_owned(), MAX_KEPT_BYTES.into());
        bytes.truncate(MAX_KEPT_BYTES);
    }
    // Messages quote what was sent.
    let detail = redaction::scan(serde_json::Value::Object(detail).to_string().as_bytes());
    NewRefused {
        entry: entry.to_owned(),
        kind: event.map(|event| event.kind.clone()),
        subject: event.map(|event| event.subject.clone()),
        event: bytes,
        reason: refusal.reason.as_str(),
        detail: String::from_utf8_lossy(&detail).into_owned(),
    }
}

/// How long ago the entry of this id was added, by the clock of Redis, which numbers entries by milliseconds; nothing where that clock is
/// ahead.
pub(super) fn age(id: &str, now: DateTime<Utc>) -> Duration {
    let added = id.split('-').next().and_then(|ms| ms.parse::<i64>().ok());
    let age = added.map_or(0, |added| now.timestamp_millis().saturating_sub(added));
    Duration::from_millis(age.try_into().unwrap_or_default())
}

/// The entries of an `XREADGROUP` of one stream; `nil` when there were none.
pub(super) fn of_reply(reply: &Value) -> Vec<Entry> {
    let streams = match reply {
        Value::Map(streams) => streams.iter().map(|(_, entries)| entries).collect(),
        Value::Array(streams) => streams.iter().filter_map(|stream| items(stream).get(1)).collect(),
        _ => Vec::new(),
    };
    streams.into_iter().flat_map(entries).collect()
}

/// The entries of an `XCLAIM` or of one stream of an `XREADGROUP`; those deleted meanwhile are left out by Redis.
pub(super) fn entries(list: &Value) -> Vec<Entry> {
    items(list)
        .iter()
        .filter_map(|entry| {
            let entry = items(entry);
            let id = String::from_utf8(bytes(entry.first()?)?.to_vec()).ok()?;
            Some(Entry {
                id,
                fields: fields(entry.get(1)?),
            })
        })
        .collect()
}

fn fields(list: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |name: &Value, value: &Value| Some((bytes(name)?.to_vec(), bytes(value)?.to_vec()));
    match list {
        Value::Map(fields) => fields.iter().filter_map(|(name, value)| pair(name, value)).collect(),
        list => items(list)
            .chunks_exact(2)
            .filter_map(|two| pair(&two[0], &two[1]))
            .collect(),
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}
