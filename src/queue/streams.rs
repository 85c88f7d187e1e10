//! Operations on streams of jobs. Each touches one key in a command or `MULTI`, and ends in bounded time for each chunk.

use std::sync::LazyLock;

use redis::{Script, Value};

use super::{
    EntryId, Error, GROUP, JobRef, Redis,
    entry::{self, Entry},
};

/// Most entries in one `MULTI`.
pub(super) const MULTI_MAX: usize = 500;
/// Most `XADD`s in one pipeline.
const PUSH_MAX: usize = 1_000;

/// Adds jobs to their streams, in this order, pipelined. After an error some may have been added: adding a run again is
/// harmless, as the executor runs each number once.
pub async fn push<S: AsRef<str> + Sync>(redis: &Redis, jobs: &[(S, JobRef)]) -> Result<(), Error> {
    for chunk in jobs.chunks(PUSH_MAX) {
        let mut pipeline = redis::Pipeline::with_capacity(chunk.len());
        for (stream, job) in chunk {
            pipeline.add_command(entry::add(stream.as_ref(), *job)).ignore();
        }
        redis.pipeline::<()>(&pipeline).await?;
    }
    Ok(())
}

/// Takes entries off a stream: they are no longer pending, and no longer there. Entries that are gone already are passed over.
pub async fn acknowledge(redis: &Redis, stream: &str, entries: &[EntryId]) -> Result<(), Error> {
    for chunk in entries.chunks(MULTI_MAX) {
        let mut multi = redis::pipe();
        multi.atomic();
        take_off(&mut multi, stream, chunk);
        redis.pipeline::<()>(&multi).await?;
    }
    Ok(())
}

/// Adds these jobs again and takes their old entries off, in one `MULTI`; at most [`MULTI_MAX`].
pub(super) async fn hand_back(redis: &Redis, stream: &str, entries: &[Entry]) -> Result<(), Error> {
    let mut multi = redis::pipe();
    multi.atomic();
    for entry in entries {
        multi.add_command(entry::add(stream, entry.job)).ignore();
    }
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    take_off(&mut multi, stream, &ids);
    redis.pipeline(&multi).await
}

/// Entries in a stream: waiting and pending ones.
pub async fn length(redis: &Redis, stream: &str) -> Result<u64, Error> {
    redis.query(redis::cmd("XLEN").arg(stream)).await
}

/// What of a stream nobody has read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// The time now by the clock of Redis, which also numbers the entries, in milliseconds since 1970.
    pub now_ms: u64,
    /// How many entries wait to be read.
    pub number: u64,
    /// When the first of them was added, by the same clock; `None` when none waits.
    pub oldest_ms: Option<u64>,
}

/// Looks at one moment, so that what is read meanwhile does not spoil the picture.
static UNREAD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        if redis.call('EXISTS', KEYS[1]) == 0 then return {now, 0} end
        local read, pending = '-', 0
        for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
            local is = {}
            for i = 1, #group, 2 do is[group[i]] = group[i + 1] end
            if is['name'] == ARGV[1] then read, pending = '(' .. is['last-delivered-id'], is['pending'] end
        end
        local first = redis.call('XRANGE', KEYS[1], read, '+', 'COUNT', 1)[1]
        if not first then return {now, 0} end
        return {now, redis.call('XLEN', KEYS[1]) - pending, first[1]}
        ",
    )
});

/// The entries of the stream that wait to be read. Those that were read and not acknowledged are not among them, whoever has them
/// and for how long.
pub async fn unread(redis: &Redis, stream: &str) -> Result<Unread, Error> {
    unread_by(redis, stream, GROUP).await
}

/// All entries of the stream, whether they were read or not.
pub async fn kept(redis: &Redis, stream: &str) -> Result<Unread, Error> {
    // No group has this name, so that none has read anything.
    unread_by(redis, stream, "").await
}

async fn unread_by(redis: &Redis, stream: &str, group: &str) -> Result<Unread, Error> {
    let mut script = UNREAD.key(stream);
    let answer: Vec<Value> = redis.script(script.arg(group)).await?;
    let number = |at: usize| match answer.get(at) {
        Some(Value::Int(number)) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    };
    Ok(Unread {
        now_ms: number(0),
        number: number(1),
        oldest_ms: answer.get(2).and_then(entry::entry_id).map(|id| id.ms),
    })
}

fn take_off(multi: &mut redis::Pipeline, stream: &str, entries: &[EntryId]) {
    multi.cmd("XACK").arg(stream).arg(GROUP).arg(entries).ignore();
    multi.cmd("XDEL").arg(stream).arg(entries).ignore();
}
