//! The reader of a stream: the task that fetches entries, and at the end hands back those that were not started.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use redis::{Value, streams::StreamInfoGroupsReply};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    GROUP,
    backend::{Counts, StreamOptions},
    connection::{Error, Redis, retry_delays},
    dedicated::{Dedicated, Peer},
    entry::{self, Batch, Entry, EntryId},
    prefetch::Prefetch,
    streams,
};
use crate::progress::{self, Part};

/// How long one read waits for an entry. A pause or a stop takes effect within this time.
const BLOCK: Duration = Duration::from_millis(250);
/// How often a paused reader looks whether it may go on.
const PAUSED_POLL: Duration = Duration::from_millis(100);
/// Most entries in one answer.
const READ_MAX: usize = 1_000;

pub(super) struct Reader {
    redis: Redis,
    options: StreamOptions,
    prefetch: Arc<Prefetch>,
    paused: watch::Receiver<bool>,
    stop: CancellationToken,
    counts: Arc<Counts>,
    /// The last entry that came to us. A later one which Redis counts as ours was in an answer that got lost on its way.
    received: Option<EntryId>,
    /// The connection of the session, or of the one before.
    peer: Option<Peer>,
    /// Entries that hold no job, and are still to be taken off; of one read at most.
    broken: Vec<EntryId>,
    /// Whether a read has worked since the last failure.
    progress: bool,
    /// Those whom the entries are for, if they are watched.
    handlers: Option<Part>,
}

impl Reader {
    pub(super) fn new(
        redis: Redis,
        options: StreamOptions,
        prefetch: Arc<Prefetch>,
        paused: watch::Receiver<bool>,
        stop: CancellationToken,
        counts: Arc<Counts>,
        handlers: Option<Part>,
    ) -> Self {
        Self {
            redis,
            options,
            prefetch,
            paused,
            stop,
            counts,
            received: None,
            peer: None,
            broken: Vec::new(),
            progress: false,
            handlers,
        }
    }

    /// Reads until the stop, through whatever happens to Redis, then hands back what was not started.
    pub(super) async fn run(mut self) {
        let mut delays = retry_delays();
        while let Err(error) = self.session().await {
            progress::goes_round();
            // With Redis away they get nothing, and may wait to acknowledge: that is no standstill of theirs.
            if let Some(handlers) = &self.handlers {
                handlers.moves();
            }
            if let Error::Refused { answer, .. } = &error {
                tracing::warn!(stream = %self.options.stream, %answer, "reading the stream failed; trying again");
            }
            if std::mem::take(&mut self.progress) {
                delays = retry_delays();
            }
            tokio::select! {
                () = sleep(delays.next().unwrap_or(BLOCK)) => {}
                () = self.stop.cancelled() => break,
            }
        }
        let rest = self.prefetch.close();
        self.hand_back(&rest).await;
    }

    /// Reads on one connection until the stop (`Ok`) or an error.
    async fn session(&mut self) -> Result<(), Error> {
        let stop = self.stop.clone();
        let (mut connection, mut lost) = tokio::select! {
            begun = self.begin() => begun?,
            () = stop.cancelled() => return Ok(()),
        };
        while !self.stop.is_cancelled() {
            progress::goes_round();
            self.prefetch.wake();
            let is_paused = *self.paused.borrow();
            if let Some(handlers) = &self.handlers
                && (is_paused || self.prefetch.is_empty())
            {
                // Nothing waits for them.
                handlers.moves();
            }
            if is_paused {
                tokio::select! {
                    () = sleep(PAUSED_POLL) => {}
                    () = self.stop.cancelled() => {}
                }
                continue;
            }
            let room = tokio::select! {
                room = self.prefetch.room() => room,
                () = sleep(BLOCK) => continue,
                () = self.stop.cancelled() => continue,
            };
            let batch = self.read(&mut connection, room.min(READ_MAX), lost).await?;
            self.progress = true;
            lost = lost && batch.last.is_some();
            self.received = self.received.max(batch.last);
            self.counts
                .read
                .fetch_add(batch.entries.len() as u64, Ordering::Relaxed);
            if !batch.entries.is_empty() {
                self.prefetch.put(batch.entries);
            }
            self.broken.extend(batch.broken);
            self.discard_broken().await?;
        }
        Ok(())
    }

    /// Connects, and sees to what the session before left.
    async fn begin(&mut self) -> Result<(Dedicated, bool), Error> {
        let mut connection = self.redis.dedicated(BLOCK).await?;
        if let Some(earlier) = self.peer.take()
            && let Err(error) = connection.end(&earlier).await
        {
            self.peer = Some(earlier);
            return Err(error);
        }
        let lost = self.join(&mut connection).await?;
        self.discard_broken().await?;
        self.peer = connection.peer();
        Ok((connection, lost))
    }

    /// Makes stream and group when they are missing, and tells whether answers to us may have got lost.
    async fn join(&mut self, connection: &mut Dedicated) -> Result<bool, Error> {
        let stream = &*self.options.stream;
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(stream).arg(GROUP);
        // From the beginning: what was added before the group was there (after a loss of Redis) is work as well.
        create.arg("0").arg("MKSTREAM");
        match connection.query::<()>(&create).await {
            Ok(()) => {
                tracing::info!(stream, "stream or group was missing; made it");
                self.received = Some(EntryId::default());
                return Ok(false);
            }
            Err(error) if error.code() == Some("BUSYGROUP") => {}
            Err(error) => return Err(error),
        }
        let groups: StreamInfoGroupsReply = connection.query(redis::cmd("XINFO").arg("GROUPS").arg(stream)).await?;
        let delivered = groups
            .groups
            .iter()
            .find(|group| group.name == GROUP)
            .and_then(|group| group.last_delivered_id.parse().ok())
            .unwrap_or_default();
        // Not later than what Redis handed out: it may have come back with an older state. And at the start nothing of
        // before is ours: what an earlier life of this consumer left is recovery's.
        let received = self.received.map_or(delivered, |received| received.min(delivered));
        self.received = Some(received);
        Ok(received < delivered)
    }

    async fn read(&self, connection: &mut Dedicated, count: usize, lost: bool) -> Result<Batch, Error> {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&*self.options.consumer);
        read.arg("COUNT").arg(count);
        read.arg("BLOCK").arg(BLOCK.as_millis());
        read.arg("STREAMS").arg(&*self.options.stream);
        match self.received {
            Some(received) if lost => read.arg(received),
            _ => read.arg(">"),
        };
        Ok(entry::batch(connection.query::<Value>(&read).await?))
    }

    /// Takes entries off the stream which nobody can run. An entry that was deleted while it was pending counts as one.
    async fn discard_broken(&mut self) -> Result<(), Error> {
        let (Some(first), Some(last)) = (self.broken.first(), self.broken.last()) else {
            return Ok(());
        };
        streams::acknowledge(&self.redis, &self.options.stream, &self.broken).await?;
        tracing::warn!(
            stream = %self.options.stream, count = self.broken.len(), %first, %last,
            "entries without a job or run number; taken off the stream"
        );
        self.counts
            .broken
            .fetch_add(self.broken.len() as u64, Ordering::Relaxed);
        self.broken.clear();
        Ok(())
    }

    /// Puts entries that were not started at the end of the stream again, for others or for our next life.
    async fn hand_back(&self, rest: &[Entry]) {
        let until = Instant::now() + self.options.close_within;
        let mut handed_back = 0;
        for chunk in rest.chunks(streams::MULTI_MAX) {
            let tries = async {
                for delay in retry_delays() {
                    match streams::hand_back(&self.redis, &self.options.stream, chunk).await {
                        Ok(()) => return,
                        Err(_) => sleep(delay).await,
                    }
                }
            };
            if timeout_at(until, tries).await.is_err() {
                let left = rest.len() - handed_back;
                tracing::warn!(
                    stream = %self.options.stream, left,
                    "could not hand back entries that were not started; they stay pending until another daemon claims them"
                );
                break;
            }
            handed_back += chunk.len();
        }
        self.counts.handed_back.fetch_add(handed_back as u64, Ordering::Relaxed);
    }
}

impl Drop for Reader {
    /// Should this task ever panic, its worker ends rather than wait for good.
    fn drop(&mut self) {
        self.prefetch.close();
    }
}
