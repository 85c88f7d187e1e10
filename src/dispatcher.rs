//! Brings jobs to their streams: those just committed, timers and retries that fall due, and those that got lost.
//!
//! The database says what is queued; a stream entry is only the reminder. So an entry may be lost with Redis, or come twice: the
//! audit adds again what is queued and gone, and a run number that is not the job's present one does nothing.
//!
//! Once a stream is full, whatever else is due of its kind waits in the database: a backlog of a million takes no more memory of
//! Redis than one of ten thousand.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use enrolld_jobs::job::JobKind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    metrics,
    patience::Patience,
    pauses::Pauses,
    progress,
    queue::{self, JobRef, Redis, Unread, stream_name},
    store::{
        Store,
        error::StoreError,
        transition::{NewJob, Transition},
    },
    ticks::Ticks,
};

/// Jobs that wait to be added to their streams before new ones are left to the audit.
const QUEUE: usize = 10_000;

/// Most jobs taken or added in one go.
const CHUNK: usize = 500;

/// Entries that make a stream full: several seconds of work. Daemons find out at their own ticks, so there may be some times as many.
const FULL: u64 = 10_000;

/// How long a job is queued before the audit looks for its entry.
const AUDIT_AFTER: Duration = Duration::from_secs(15);

/// How much earlier than the oldest entry a job was queued before it counts as lost: the clocks of the daemons that queue, and
/// of the one that looks, agree no better, and an entry is added a moment after its job is queued.
const AUDIT_MARGIN: Duration = Duration::from_secs(2);

/// Most jobs added again in one round of the audit.
const AUDIT_MOST: u64 = 10_000;

/// How soon it is looked again whether a full stream has room, however rarely timers are looked for.
const ROOM_WITHIN: Duration = Duration::from_millis(250);

/// How often the audit runs.
const AUDIT_EVERY: Duration = Duration::from_secs(5);

/// Which streams are full, as far as was seen last.
#[derive(Debug, Clone)]
pub struct Fullness(Arc<BTreeMap<JobKind, AtomicBool>>);

impl Default for Fullness {
    fn default() -> Self {
        let kinds = JobKind::ALL.iter().map(|kind| (*kind, AtomicBool::new(false)));
        Self(Arc::new(kinds.collect()))
    }
}

impl Fullness {
    fn is_full(&self, kind: JobKind) -> bool {
        self.0.get(&kind).is_some_and(|full| full.load(Ordering::Relaxed))
    }

    /// Looks at the streams. While Redis is away all stays as it was seen.
    async fn look(&self, redis: &Redis, prefix: &str) {
        let mut ask = redis::pipe();
        for kind in self.0.keys() {
            ask.cmd("XLEN").arg(stream_name(prefix, kind.as_str()));
        }
        if let Ok(lengths) = redis.pipeline::<Vec<u64>>(&ask).await {
            for ((kind, full), length) in self.0.iter().zip(lengths) {
                let is_full = length >= FULL;
                if full.swap(is_full, Ordering::Relaxed) != is_full {
                    tracing::info!(
                        kind = kind.as_str(),
                        length,
                        is_full,
                        "a queue has filled up, or has room again"
                    );
                }
            }
        }
    }
}

/// Takes jobs that have just been committed. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Dispatch {
    jobs: mpsc::Sender<(JobKind, JobRef)>,
    fullness: Fullness,
}

impl Dispatch {
    /// The sending half, and the receiving half for the [`Dispatcher`], which looks at how full the streams are.
    pub fn channel(fullness: Fullness) -> (Self, mpsc::Receiver<(JobKind, JobRef)>) {
        let (jobs, receiver) = mpsc::channel(QUEUE);
        (Self { jobs, fullness }, receiver)
    }

    /// Has new jobs wait in the database where their stream is full, and tells what is to be sent once `transition` is committed: the
    /// jobs that are queued. One that was there already runs once all the same.
    pub fn admit(&self, transition: &mut Transition) -> Vec<(JobKind, JobRef)> {
        let once = transition.once.iter_mut().map(|(job, _)| job);
        for job in transition.jobs.iter_mut().chain(once) {
            if job.state == "queued" && JobKind::from_name(job.kind).is_some_and(|kind| self.fullness.is_full(kind)) {
                (job.state, job.run_no, job.queued_ms) = ("scheduled", 0, None);
            }
        }
        let transition = &*transition;
        let jobs = transition.jobs.iter().chain(transition.once.iter().map(|(job, _)| job));
        let queued = jobs.filter(|job| job.state == "queued");
        let reference = |job: &NewJob| {
            let run_no = u32::try_from(job.run_no).ok()?;
            Some((JobKind::from_name(job.kind)?, JobRef { id: job.id, run_no }))
        };
        queued.filter_map(reference).collect()
    }

    /// Sends them on. What finds no room, since Redis is away for long, is in the database, and the audit adds it later.
    pub fn send(&self, jobs: Vec<(JobKind, JobRef)>) {
        for job in jobs {
            if self.jobs.try_send(job).is_err() {
                tracing::debug!(job = %job.1.id, "left to the audit");
            }
        }
    }
}

/// What has become of timers and retries that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// All that could be added is.
    Added,
    /// Some may wait for room in their streams.
    MayWait,
}

/// See the module.
#[derive(Debug)]
pub struct Dispatcher {
    /// The database.
    pub store: Store,
    /// The queue.
    pub redis: Redis,
    /// `redis.prefix`.
    pub prefix: String,
    /// Time.
    pub environment: Arc<dyn Environment>,
    /// Queues that are paused.
    pub pauses: Pauses,
    /// Streams that are full.
    pub fullness: Fullness,
    /// How often it looks for timers and retries that fall due.
    pub poll: Duration,
}

impl Dispatcher {
    /// Adds what is committed to its stream, as it comes.
    pub async fn add_committed(self: Arc<Self>, mut jobs: mpsc::Receiver<(JobKind, JobRef)>, stop: CancellationToken) {
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            tokio::select! {
                // What was committed before the stop is still brought on its way, if Redis is there.
                number = progress::while_idle(jobs.recv_many(&mut chunk, CHUNK)) => if number == 0 { return },
                () = stop.cancelled() => {
                    jobs.close();
                    if jobs.recv_many(&mut chunk, CHUNK).await == 0 { return }
                }
            }
            self.push(&chunk, &stop).await;
            chunk.clear();
        }
    }

    /// Queues timers and retries that fall due, and adds them to their streams.
    pub async fn add_due(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = Ticks::new(self.poll, &stop);
        while ticks.next().await {
            while self.add_what_fits(&stop).await == Due::MayWait {
                progress::goes_round();
                tokio::select! {
                    () = tokio::time::sleep(ROOM_WITHIN.min(self.poll)) => {}
                    () = stop.cancelled() => break,
                }
            }
        }
    }

    async fn add_what_fits(&self, stop: &CancellationToken) -> Due {
        self.fullness.look(&self.redis, &self.prefix).await;
        self.add_all_due(stop).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "timers and retries wait for the database");
            Due::MayWait
        })
    }

    /// All kinds together, the most overdue first. While some are paused or full, what is due of them would be in the way: then it
    /// goes kind by kind.
    async fn add_all_due(&self, stop: &CancellationToken) -> Result<Due, StoreError> {
        let runs: Vec<_> = JobKind::ALL
            .iter()
            .filter(|kind| !self.pauses.is_paused(**kind))
            .collect();
        let open: Vec<_> = runs.iter().filter(|kind| !self.fullness.is_full(***kind)).collect();
        if open.len() == JobKind::ALL.len() {
            return self.add_due_of(None, stop).await;
        }
        let mut due = if open.len() < runs.len() {
            Due::MayWait
        } else {
            Due::Added
        };
        for kind in open {
            due = due.max(self.add_due_of(Some(**kind), stop).await?);
        }
        Ok(due)
    }

    async fn add_due_of(&self, kind: Option<JobKind>, stop: &CancellationToken) -> Result<Due, StoreError> {
        let mut added = 0;
        // While Redis is away they stay what they are: the audit need not find them. Then it is time to see how full the streams are.
        while self.redis.health().reachable && added < FULL && !stop.is_cancelled() {
            progress::goes_round();
            let now = self.environment.now();
            let due = match kind {
                None => self.store.take_due(now, CHUNK as u64).await?,
                Some(kind) => self.store.take_due_of(kind, now, CHUNK as u64).await?,
            };
            self.push(&due, stop).await;
            if due.len() < CHUNK {
                break;
            }
            added += CHUNK as u64;
        }
        Ok(if added < FULL { Due::Added } else { Due::MayWait })
    }

    /// Adds again what is queued in the database and no longer in its stream.
    pub async fn audit(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = Ticks::new(AUDIT_EVERY, &stop);
        while ticks.next().await {
            for kind in JobKind::ALL {
                progress::goes_round();
                if let Err(error) = self.audit_kind(*kind, &stop).await {
                    tracing::warn!(%error, "the audit waits for the database");
                }
            }
        }
    }

    /// A stream is in the order of queueing: what was queued before the oldest entry that nobody has read cannot wait in it any
    /// more. It may have been read, and be at work or be recovery's; then it comes twice, and runs once.
    ///
    /// A paused stream is left alone: nobody reads it, and what is lost of it is found once it goes on.
    ///
    /// No more is added than jobs are queued beyond the entries that wait. So whatever a clock says, and however long the jobs
    /// have been waiting, a stream does not grow by this past the jobs that there are.
    async fn audit_kind(&self, kind: JobKind, stop: &CancellationToken) -> Result<(), StoreError> {
        if self.pauses.is_paused(kind) {
            return Ok(());
        }
        let now = self.environment.now();
        let Ok(unread) = queue::unread(&self.redis, &stream_name(&self.prefix, kind.as_str())).await else {
            return Ok(());
        };
        let before = audited_before(&unread, now);
        if self.store.count_queued(kind, Some(before), 1).await? == 0 {
            return Ok(());
        }
        let queued = self.store.count_queued(kind, None, unread.number + AUDIT_MOST).await?;
        let mut missing = queued.saturating_sub(unread.number);
        while missing > 0 && !stop.is_cancelled() {
            progress::goes_round();
            let chunk = missing.min(CHUNK as u64);
            let lost = self.store.take_queued_before(kind, before, now, chunk).await?;
            if lost.is_empty() {
                break;
            }
            tracing::warn!(
                kind = kind.as_str(),
                number = lost.len(),
                "queued jobs were not in their stream; added again"
            );
            metrics::jobs_added_again(kind, lost.len());
            self.push(&lost, stop).await;
            missing -= chunk;
        }
        Ok(())
    }

    /// Adds `jobs` to their streams, trying until Redis takes them. After the stop it tries once more; the audit of whoever
    /// comes next does the rest.
    async fn push(&self, jobs: &[(JobKind, JobRef)], stop: &CancellationToken) {
        if jobs.is_empty() {
            return;
        }
        let entries: Vec<_> = jobs
            .iter()
            .map(|(kind, job)| (stream_name(&self.prefix, kind.as_str()), *job))
            .collect();
        let mut patience = Patience::default();
        while let Err(error) = queue::push(&self.redis, &entries).await {
            tracing::warn!(%error, number = entries.len(), "jobs wait for Redis");
            tokio::select! {
                () = patience.rest() => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Jobs queued before this moment are in the stream no longer. Entries are numbered by the clock of Redis, which may be minutes
/// off ours: `now`, read just before Redis was asked for its own.
fn audited_before(unread: &Unread, now: DateTime<Utc>) -> DateTime<Utc> {
    let waits = unread
        .oldest_ms
        .map_or(0, |oldest| unread.now_ms.saturating_sub(oldest));
    let waits = i64::try_from(waits).ok().and_then(TimeDelta::try_milliseconds);
    let oldest = waits
        .and_then(|waits| now.checked_sub_signed(waits))
        .unwrap_or_default();
    (oldest - AUDIT_MARGIN).min(now - AUDIT_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_redis_may_be_wrong() {
        let now = DateTime::from_timestamp_millis(1_795_000_000_000).expect("within range");
        for redis_now in [0, 1_794_999_000_000, 1_795_000_060_000, u64::MAX] {
            let before = |waits: Option<u64>| {
                let unread = Unread {
                    now_ms: redis_now,
                    number: 1,
                    oldest_ms: waits.map(|waits| redis_now.saturating_sub(waits)),
                };
                (now - audited_before(&unread, now)).num_seconds()
            };
            let least = i64::try_from(AUDIT_AFTER.as_secs()).expect("a short time");
            assert_eq!(before(None), least);
            assert_eq!(before(Some(5_000)), least);
            if redis_now > 0 {
                assert_eq!(before(Some(50_000)), 52);
            }
        }
    }
}
