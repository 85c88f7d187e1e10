//! Operations on streams of jobs. Each touches one key in a command or `MULTI`, and ends in bounded time for each chunk.

use redis::streams::StreamRangeReply;

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

/// When the stream's first entry was added, in milliseconds since 1970 by the clock of Redis; `None` when it is empty. A job
/// `queued` before that is in the stream no longer.
pub async fn oldest_entry_ms(redis: &Redis, stream: &str) -> Result<Option<u64>, Error> {
    let mut range = redis::cmd("XRANGE");
    range.arg(stream).arg("-").arg("+").arg("COUNT").arg(1);
    let first: StreamRangeReply = redis.query(&range).await?;
    Ok(first
        .ids
        .first()
        .and_then(|entry| entry.id.parse::<EntryId>().ok())
        .map(|id| id.ms))
}

fn take_off(multi: &mut redis::Pipeline, stream: &str, entries: &[EntryId]) {
    multi.cmd("XACK").arg(stream).arg(GROUP).arg(entries).ignore();
    multi.cmd("XDEL").arg(stream).arg(entries).ignore();
}
