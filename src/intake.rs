//! Takes in what upstream adds to `enrolld:intake` (contract, section 1).
//!
//! One daemon reads at a time, under a lease. What was read is kept in the inbox, or as refused; only then is it acknowledged. The
//! events of one subject are applied in the order in which they came; those of different subjects, side by side. When something
//! that an event needs is away, its subject waits, and the others go on.

mod apply;
mod entry;
mod left_over;
pub(crate) mod probe;
mod redaction;
pub(crate) mod replay;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use self::entry::Read;
use crate::{
    executor::Executor,
    metrics, progress,
    queue::{Dedicated, Error, Redis},
    store::{
        error::StoreError,
        inbox::{NewEvent, NewRefused},
        leases::Lease,
    },
};

/// The consumer group.
const GROUP: &str = "enrolld";

/// The lease's name.
const LEASE: &str = "intake";

/// How long the lease lasts at most without being extended; where `heartbeat.dead_after` is shorter, so long. A daemon that stops
/// gives it back at once.
const LEASE_FOR: Duration = Duration::from_secs(15);

/// How many times it is extended while it lasts.
const EXTENSIONS: u32 = 5;

/// How long a read waits for entries; also the longest time until a stop is noticed.
const BLOCK: Duration = Duration::from_millis(500);

/// How often events that had to wait are tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How long to wait before trying again when the database or Redis is away.
const AWAY: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub struct Intake {
    /// Applies the events.
    pub executor: Executor,
    /// The stream.
    pub redis: Redis,
    /// `redis.prefix`.
    pub prefix: String,
    /// `intake.batch`: most entries read, and events applied side by side.
    pub batch: usize,
    /// This daemon's id.
    pub daemon_id: String,
    /// `heartbeat.dead_after`.
    pub dead_after: Duration,
    /// Set as long as this daemon holds the lease, and so takes in.
    pub takes_in: Arc<AtomicBool>,
}

/// Why nothing can be taken in now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Redis(#[from] Error),
}

/// What the holder of the lease knows.
struct Holder {
    lease: Lease,
    extended: Instant,
    /// Subjects with an event that has to wait: their later events wait too.
    held: HashSet<String>,
    tried: Instant,
}

/// What this daemon is to take back, since it has not ended: counted are ends, and not outages.
#[derive(Debug, Default)]
struct Survival {
    /// Whether it may have read what it did not take in.
    reads: bool,
    /// The events of the inbox before whose run it was noted that they may end the daemon.
    noted: Vec<i64>,
}

impl Intake {
    /// Takes in until the stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut survival = Survival::default();
        while !stop.is_cancelled() {
            progress::goes_round();
            if let Err(error) = self.hold(&mut survival, &stop).await {
                tracing::warn!(%error, "the intake waits");
            }
            self.takes_in.store(false, Ordering::Relaxed);
            // If that fails, the next round does it.
            if let Err(error) = self.take_back(&mut survival).await {
                tracing::debug!(%error, "what was noted before an outage could not be taken back yet");
            }
            tokio::select! {
                () = tokio::time::sleep(AWAY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Takes in as long as the lease can be had.
    async fn hold(&self, survival: &mut Survival, stop: &CancellationToken) -> Result<(), Trouble> {
        let Some(lease) = self.lease().await? else {
            return Ok(());
        };
        tracing::info!(epoch = lease.epoch, "this daemon takes in events");
        survival.reads = true;
        let mut reader = self.redis.dedicated(BLOCK).await?;
        self.make_group(&mut reader).await?;
        self.takes_in.store(true, Ordering::Relaxed);
        let now = Instant::now();
        let mut holder = Holder {
            lease,
            extended: now,
            held: HashSet::new(),
            tried: now,
        };
        self.apply_left_over(&mut holder, survival, stop).await?;
        self.take_in_left_over(&mut reader, &holder.lease, stop).await?;
        self.apply_waiting(&mut holder, stop).await?;
        while !stop.is_cancelled() {
            progress::goes_round();
            if holder.extended.elapsed() >= self.lease_for() / EXTENSIONS {
                if !self.extend(&mut holder).await? {
                    return Ok(());
                }
                // Nothing is pending here but what a connection that is gone has swallowed.
                if self.pending(&mut reader).await? > 0 {
                    self.take_in_left_over(&mut reader, &holder.lease, stop).await?;
                    self.apply_waiting(&mut holder, stop).await?;
                }
            }
            let entries = match self.read(&mut reader).await {
                Err(error) if error.code() == Some("NOGROUP") => {
                    // Redis was emptied.
                    self.make_group(&mut reader).await?;
                    continue;
                }
                entries => entries?,
            };
            // However busy the stream is, what has to wait is tried again.
            let retries = !holder.held.is_empty() && holder.tried.elapsed() >= RETRY_EVERY;
            if retries {
                holder.held.clear();
                holder.tried = Instant::now();
            }
            if !entries.is_empty() {
                self.take_in(&holder.lease, entries).await?;
                self.apply_waiting(&mut holder, stop).await?;
            } else if retries {
                self.apply_waiting(&mut holder, stop).await?;
            }
        }
        Ok(())
    }

    /// Whoever has the next try at what was under way is to know that it did not end this daemon.
    async fn take_back(&self, survival: &mut Survival) -> Result<(), Trouble> {
        if survival.reads {
            self.hand_back().await?;
            survival.reads = false;
        }
        self.take_back_note(survival).await
    }

    /// Extends the lease; `false` if it has another holder.
    async fn extend(&self, holder: &mut Holder) -> Result<bool, Trouble> {
        let held = self.lease().await?;
        if held.is_none_or(|lease| lease.epoch != holder.lease.epoch) {
            return Ok(false);
        }
        holder.extended = Instant::now();
        Ok(true)
    }

    async fn lease(&self) -> Result<Option<Lease>, Trouble> {
        let store = self.executor.store();
        Ok(store
            .hold_lease(LEASE, &self.daemon_id, self.executor.now(), self.lease_for())
            .await?)
    }

    fn lease_for(&self) -> Duration {
        LEASE_FOR.min(self.dead_after)
    }

    fn stream(&self) -> String {
        format!("{}:intake", self.prefix)
    }

    /// Entries from before the first start are taken in, so the group begins at 0.
    async fn make_group(&self, reader: &mut Dedicated) -> Result<(), Trouble> {
        let mut command = redis::cmd("XGROUP");
        command
            .arg("CREATE")
            .arg(self.stream())
            .arg(GROUP)
            .arg("0")
            .arg("MKSTREAM");
        match reader.query::<()>(&command).await {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn read(&self, reader: &mut Dedicated) -> Result<Vec<entry::Entry>, Error> {
        let mut command = redis::cmd("XREADGROUP");
        command
            .arg("GROUP")
            .arg(GROUP)
            .arg(&self.daemon_id)
            .arg("COUNT")
            .arg(self.batch);
        command
            .arg("BLOCK")
            .arg(BLOCK.as_millis().to_string())
            .arg("STREAMS")
            .arg(self.stream())
            .arg(">");
        Ok(entry::of_reply(&reader.query(&command).await?))
    }

    /// Keeps what was read, and only then acknowledges it.
    async fn take_in(&self, lease: &Lease, entries: Vec<entry::Entry>) -> Result<(), Trouble> {
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
        let (mut events, mut refused) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry.read() {
                Read::Event(event) => events.push(event),
                Read::Refused(event) => refused.push(event),
            }
        }
        self.keep(lease, &events, &refused).await?;
        self.acknowledge(&ids).await
    }

    async fn keep(&self, lease: &Lease, events: &[NewEvent], refused: &[NewRefused]) -> Result<(), Trouble> {
        for event in refused {
            tracing::info!(entry = event.entry, reason = event.reason, "an event is refused");
        }
        match self.store(lease, events, refused).await {
            // One of them cannot be written: alone each shows which, and that one is refused.
            Err(error @ StoreError::Refused(_)) if events.len() + refused.len() > 1 => {
                tracing::warn!(%error, "a batch of events could not be kept; trying one by one");
                for event in events {
                    self.keep_alone(lease, event).await?;
                }
                for event in refused {
                    self.store(lease, &[], std::slice::from_ref(event)).await?;
                }
                Ok(())
            }
            Err(StoreError::Refused(_)) if events.len() == 1 => self.keep_alone(lease, &events[0]).await,
            kept => Ok(kept?),
        }
    }

    async fn keep_alone(&self, lease: &Lease, event: &NewEvent) -> Result<(), Trouble> {
        match self.store(lease, std::slice::from_ref(event), &[]).await {
            Err(StoreError::Refused(message)) => {
                tracing::error!(
                    entry = event.entry,
                    subject = event.subject,
                    error = message,
                    "an event cannot be kept"
                );
                let refused = entry::poison(event, &message);
                Ok(self.store(lease, &[], &[refused]).await?)
            }
            kept => Ok(kept?),
        }
    }

    /// Writes all of it, or nothing; and has refusals announced.
    async fn store(&self, lease: &Lease, events: &[NewEvent], refused: &[NewRefused]) -> Result<(), StoreError> {
        let now = self.executor.now();
        self.executor.store().take_in(lease, events, refused, now).await?;
        if !refused.is_empty() {
            self.executor.refused();
        }
        for event in refused {
            metrics::event_refused(event.reason);
        }
        Ok(())
    }

    /// `XACK` and `XDEL` together: the stream holds only what is not taken in.
    async fn acknowledge(&self, ids: &[String]) -> Result<(), Trouble> {
        let stream = self.stream();
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("XACK").arg(&stream).arg(GROUP).arg(ids).ignore();
        pipeline.cmd("XDEL").arg(&stream).arg(ids).ignore();
        Ok(self.redis.pipeline::<()>(&pipeline).await?)
    }
}
