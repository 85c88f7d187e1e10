//! Entries of a stream of jobs: their ids and fields, to and from Redis.

use std::{fmt, str::FromStr};

use redis::{Cmd, RedisWrite, ToRedisArgs, Value};
use uuid::Uuid;

use super::JobRef;

/// Field with the job's id.
const JOB: &[u8] = b"job";
/// Field with the number of the run.
const RUN: &[u8] = b"run";

/// Id of a stream entry: the server's time in milliseconds since 1970, and a number within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// Milliseconds since 1970, by the clock of Redis.
    pub ms: u64,
    /// Distinguishes entries of one millisecond.
    pub seq: u64,
}

/// The text is no id of a stream entry (`<milliseconds>-<number>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a stream entry; it looks like 1767225600000-0")]
pub struct EntryIdError;

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        let (ms, seq) = text.split_once('-').ok_or(EntryIdError)?;
        Ok(Self {
            ms: ms.parse().map_err(|_| EntryIdError)?,
            seq: seq.parse().map_err(|_| EntryIdError)?,
        })
    }
}

impl ToRedisArgs for EntryId {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg_fmt(self);
    }
}

/// An entry that was read: which, and what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) job: JobRef,
}

/// What a read brought: usable entries, the ids of unusable ones, and the last id of both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) broken: Vec<EntryId>,
    pub(super) last: Option<EntryId>,
}

/// `XADD` of a job to its stream.
pub(super) fn add(stream: &str, job: JobRef) -> Cmd {
    let mut cmd = redis::cmd("XADD");
    cmd.arg(stream)
        .arg("*")
        .arg(JOB)
        .arg(&job.id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer())[..])
        .arg(RUN)
        .arg(job.run_no);
    cmd
}

/// Reads the answer of `XREADGROUP` on one stream. An answer of another form counts as empty: there is nothing to run in it.
pub(super) fn batch(answer: Value) -> Batch {
    let stream = match answer {
        Value::Array(streams) => streams.into_iter().next().and_then(|stream| match stream {
            Value::Array(pair) => pair.into_iter().nth(1),
            _ => None,
        }),
        Value::Map(streams) => streams.into_iter().next().map(|(_, entries)| entries),
        _ => None,
    };
    let Some(Value::Array(entries)) = stream else {
        return Batch::default();
    };
    let mut batch = Batch {
        entries: Vec::with_capacity(entries.len()),
        ..Batch::default()
    };
    for entry in &entries {
        let Value::Array(parts) = entry else { continue };
        let Some(id) = parts.first().and_then(entry_id) else {
            continue;
        };
        match parts.get(1).and_then(job) {
            Some(job) => batch.entries.push(Entry { id, job }),
            None => batch.broken.push(id),
        }
        batch.last = batch.last.max(Some(id));
    }
    batch
}

/// The id in an answer.
pub(super) fn entry_id(value: &Value) -> Option<EntryId> {
    text(value)?.parse().ok()
}

/// The job in an entry's fields. Unknown fields are passed over, so that a later release may add some.
pub(super) fn job(fields: &Value) -> Option<JobRef> {
    let Value::Array(fields) = fields else {
        return None;
    };
    let (mut id, mut run_no) = (None, None);
    for pair in fields.chunks_exact(2) {
        match bytes(&pair[0])? {
            JOB => id = Uuid::try_parse_ascii(bytes(&pair[1])?).ok(),
            RUN => run_no = text(&pair[1])?.parse().ok(),
            _ => {}
        }
    }
    Some(JobRef {
        id: id?,
        run_no: run_no?,
    })
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str, fields: &[&str]) -> Value {
        Value::Array(vec![
            bulk(id),
            Value::Array(fields.iter().map(|field| bulk(field)).collect()),
        ])
    }

    fn answer(entries: Vec<Value>) -> Value {
        Value::Array(vec![Value::Array(vec![bulk("s"), Value::Array(entries)])])
    }

    #[test]
    fn reads_jobs_and_sets_broken_entries_apart() {
        let id = Uuid::from_u128(7);
        let batch = batch(answer(vec![
            entry("5-1", &["job", &id.to_string(), "run", "3", "later", "field"]),
            entry("5-2", &["job", "no-uuid", "run", "3"]),
            entry("5-3", &["job", &id.to_string(), "run", "-1"]),
            entry("6-0", &["run", "1"]),
            Value::Array(vec![bulk("6-1"), Value::Nil]),
        ]));
        assert_eq!(
            batch.entries,
            [Entry {
                id: EntryId { ms: 5, seq: 1 },
                job: JobRef { id, run_no: 3 }
            }]
        );
        assert_eq!(batch.broken.len(), 4);
        assert_eq!(batch.last, Some(EntryId { ms: 6, seq: 1 }));
    }

    #[test]
    fn an_answer_without_entries_is_empty() {
        assert_eq!(batch(Value::Nil), Batch::default());
        assert_eq!(batch(answer(vec![])), Batch::default());
    }

    #[test]
    fn ids_are_ordered_by_number_and_not_by_text() {
        let parse = |text: &str| text.parse::<EntryId>().expect("id");
        assert!(parse("9-10") > parse("9-9"));
        assert!(parse("10-0") > parse("9-10"));
        assert_eq!(parse("12-3").to_string(), "12-3");
        assert_eq!("12".parse::<EntryId>(), Err(EntryIdError));
    }
}
