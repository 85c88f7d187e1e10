//! What recovery needs: who holds entries, taking those of a dead consumer over, and removing consumers that are done for.

use std::{sync::LazyLock, time::Duration};

use redis::{Script, Value, streams::StreamPendingReply};

use super::{
    EntryId, Error, GROUP, JobRef, Redis,
    entry::{entry_id, job},
    streams,
};

/// Most entries claimed at once.
const CLAIM_MAX: usize = 500;

/// Finding a consumer's entries and claiming them is one step, so that two that recover do not take the same ones: after the
/// first, they are no longer the dead consumer's.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local held = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[5], '-', '+', ARGV[4], ARGV[2])
        if #held == 0 then return {} end
        local claim, deliveries = {'XCLAIM', KEYS[1], ARGV[1], ARGV[3], '0'}, {}
        for _, one in ipairs(held) do
            claim[#claim + 1] = one[1]
            deliveries[one[1]] = one[4] + 1
        end
        local claimed = {}
        for _, entry in ipairs(redis.call(unpack(claim))) do
            claimed[#claimed + 1] = {entry[1], entry[2], deliveries[entry[1]]}
        end
        return claimed
        ",
    )
});

/// Deleting a consumer drops its pending entries, so that looking and deleting must be one step.
static DELETE_IDLE_CONSUMERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
        local deleted = 0
        for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
            local is = {}
            for i = 1, #consumer, 2 do is[consumer[i]] = consumer[i + 1] end
            if is['pending'] == 0 and is['idle'] >= tonumber(ARGV[2]) then
                redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], is['name'])
                deleted = deleted + 1
            end
        end
        return deleted
        ",
    )
});

/// An entry taken over from another consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// To acknowledge it by.
    pub entry_id: EntryId,
    /// What to run.
    pub job: JobRef,
    /// How often it has been delivered, this time included.
    pub deliveries: u64,
}

/// The consumers that hold entries of the stream, and how many each.
pub async fn pending_consumers(redis: &Redis, stream: &str) -> Result<Vec<(String, u64)>, Error> {
    let summary = redis.query(redis::cmd("XPENDING").arg(stream).arg(GROUP)).await;
    match or_without_group(summary, StreamPendingReply::Empty)? {
        StreamPendingReply::Data(data) => Ok(data
            .consumers
            .into_iter()
            .map(|consumer| (consumer.name, consumer.pending as u64))
            .collect()),
        _ => Ok(Vec::new()),
    }
}

/// Takes over up to `count` (at most 500) of the oldest entries of `from_consumer`. Entries that hold no job are taken off the
/// stream; those that were deleted meanwhile are no longer pending afterwards.
///
/// `to_consumer` must not be the consumer of a [`StreamBackend`](super::StreamBackend): after a lost connection that one
/// looks for entries which are its own and which it has not got.
pub async fn claim(
    redis: &Redis,
    stream: &str,
    from_consumer: &str,
    to_consumer: &str,
    count: usize,
) -> Result<Vec<Claimed>, Error> {
    claim_idle(redis, stream, from_consumer, to_consumer, Duration::ZERO, count).await
}

/// Like [`claim`], of those entries that were delivered at least `idle` ago: for a living consumer, whose handlers that gave
/// `Err` have left theirs pending.
pub async fn claim_idle(
    redis: &Redis,
    stream: &str,
    from_consumer: &str,
    to_consumer: &str,
    idle: Duration,
    count: usize,
) -> Result<Vec<Claimed>, Error> {
    let mut script = CLAIM.key(stream);
    script.arg(GROUP).arg(from_consumer).arg(to_consumer);
    script.arg(count.clamp(1, CLAIM_MAX)).arg(millis(idle));
    let answer: Vec<(Value, Value, u64)> = or_without_group(redis.script(&script).await, Vec::new())?;

    let mut claimed = Vec::with_capacity(answer.len());
    let mut broken = Vec::new();
    for (id, fields, deliveries) in &answer {
        let Some(entry_id) = entry_id(id) else {
            continue;
        };
        match job(fields) {
            Some(job) => claimed.push(Claimed {
                entry_id,
                job,
                deliveries: *deliveries,
            }),
            None => broken.push(entry_id),
        }
    }
    if !broken.is_empty() {
        tracing::warn!(
            stream,
            count = broken.len(),
            "claimed entries without a job or run number; taken off the stream"
        );
        streams::acknowledge(redis, stream, &broken).await?;
    }
    Ok(claimed)
}

/// Deletes the consumers of `group` that hold no entry and have been idle for at least `idle`; tells how many. A living one
/// among them loses nothing: it is there again with its next read.
pub async fn delete_idle_consumers(redis: &Redis, stream: &str, group: &str, idle: Duration) -> Result<u64, Error> {
    let mut script = DELETE_IDLE_CONSUMERS.key(stream);
    script.arg(group).arg(millis(idle));
    or_without_group(redis.script(&script).await, 0)
}

/// Without stream or group, nobody holds anything.
fn or_without_group<T>(answer: Result<T, Error>, nothing: T) -> Result<T, Error> {
    match answer {
        Err(error) if error.code() == Some("NOGROUP") => Ok(nothing),
        answer => answer,
    }
}

/// Milliseconds as Redis takes them: a signed number of 64 bits.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
