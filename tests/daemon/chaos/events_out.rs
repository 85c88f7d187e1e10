//! What upstream is told: every entry of the stream of events, read before Redis can lose it.

use std::collections::BTreeMap;

use redis::{RedisResult, Value, aio::MultiplexedConnection};

/// The changes of each registration, in the order in which they came.
#[derive(Debug)]
pub(super) struct EventsOut {
    stream: String,
    /// The last entry read.
    last: String,
    versions: BTreeMap<String, Vec<u64>>,
}

impl EventsOut {
    pub(super) fn new(stream: String) -> Self {
        Self {
            stream,
            last: "0-0".to_owned(),
            versions: BTreeMap::new(),
        }
    }

    /// Reads what is new.
    pub(super) async fn read(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let entries = self.range().query_async(connection).await?;
        self.take(entries)
    }

    /// Reads what is new and empties Redis, with nothing in between.
    pub(super) async fn read_and_flush(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut all = redis::pipe();
        all.atomic().add_command(self.range()).cmd("FLUSHALL").ignore();
        let (entries,): (Value,) = all.query_async(connection).await?;
        self.take(entries)
    }

    fn range(&self) -> redis::Cmd {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.stream).arg(format!("({}", self.last)).arg("+");
        range
    }

    fn take(&mut self, entries: Value) -> RedisResult<()> {
        let entries: Vec<(String, BTreeMap<String, String>)> = redis::from_redis_value(entries)?;
        for (entry, fields) in entries {
            let event: serde_json::Value = serde_json::from_str(&fields["event"]).expect("they are JSON");
            if event["type"] == "registration.changed" {
                let subject = event["subject"].as_str().expect("an id").to_owned();
                let version = event["data"]["version"].as_u64().expect("a version");
                self.versions.entry(subject).or_default().push(version);
            }
            self.last = entry;
        }
        Ok(())
    }

    /// How often a change of this registration came again, if each of its versions came, in their order.
    pub(super) fn repeated(&self, registration: &str, version: u64) -> Result<usize, String> {
        let told = self.versions.get(registration).map(Vec::as_slice).unwrap_or_default();
        let mut fresh = Vec::new();
        for version in told {
            if !fresh.contains(version) {
                fresh.push(*version);
            }
        }
        if fresh.iter().copied().eq(1..=version) {
            Ok(told.len() - fresh.len())
        } else {
            Err(format!(
                "{registration} is at version {version}, and told were {fresh:?}"
            ))
        }
    }
}
