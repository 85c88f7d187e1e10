//! Brings events out: changes to `enrolld:events`, refusals to `enrolld:rejected` (contract, sections 1 and 2).
//!
//! They are written with what they announce, and deleted or marked once they are in their stream: at least once, and under a lease,
//! so in order of version for each registration.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    metrics, progress,
    queue::Redis,
    store::{Store, entities::refused, error::StoreError},
};

/// Most events brought out in one go.
const CHUNK: u64 = 500;

/// Most refused events brought out in one go, and most bytes of them beyond the first: they may be large.
const FEW: u64 = 20;
const MAX_BYTES: usize = 1024 * 1024;

/// How often it looks, besides after each commit of this daemon.
const POLL: Duration = Duration::from_millis(500);

/// The lease of who tells upstream.
pub(crate) const LEASE: &str = "notices";

/// How long the lease lasts at most without being extended; where `heartbeat.dead_after` is shorter, so long.
const LEASE_FOR: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Notices {
    /// The database.
    pub store: Store,
    /// The streams.
    pub redis: Redis,
    /// `redis.prefix`.
    pub prefix: String,
    /// `redis.events_max_len`.
    pub events_max_len: u64,
    /// `redis.rejected_max_len`.
    pub rejected_max_len: u64,
    /// Time.
    pub environment: Arc<dyn Environment>,
    /// This daemon's id.
    pub daemon_id: String,
    /// `heartbeat.dead_after`.
    pub dead_after: Duration,
    /// Told after each commit.
    pub committed: Arc<Notify>,
}

/// Why nothing could be brought out now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Redis(#[from] crate::queue::Error),
}

impl Notices {
    /// Brings events out until the stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            progress::goes_round();
            let stopping = stop.is_cancelled();
            if let Err(error) = self.bring_out().await {
                tracing::warn!(%error, "events on their way out wait");
            }
            if stopping {
                return;
            }
            tokio::select! {
                () = self.committed.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                // Once more after the stop, for what was committed until then.
                () = stop.cancelled() => {}
            }
        }
    }

    async fn bring_out(&self) -> Result<(), Trouble> {
        loop {
            progress::goes_round();
            // An idle daemon writes nothing: the lease is taken only when there is something to bring out.
            if self.store.notices(1).await?.is_empty() && self.store.unannounced(1).await?.is_empty() {
                return Ok(());
            }
            let now = self.environment.now();
            if self
                .store
                .hold_lease(LEASE, &self.daemon_id, now, LEASE_FOR.min(self.dead_after))
                .await?
                .is_none()
            {
                return Ok(());
            }
            self.announce_changes().await?;
            self.announce_refusals().await?;
        }
    }

    async fn announce_changes(&self) -> Result<(), Trouble> {
        let notices = self.store.notices(CHUNK).await?;
        if notices.is_empty() {
            return Ok(());
        }
        let stream = format!("{}:events", self.prefix);
        let mut pipeline = redis::pipe();
        for notice in &notices {
            pipeline
                .cmd("XADD")
                .arg(&stream)
                .arg("MAXLEN")
                .arg("~")
                .arg(self.events_max_len);
            pipeline.arg("*").arg("event").arg(&notice.body).ignore();
        }
        self.redis.pipeline::<()>(&pipeline).await?;
        metrics::brought_out("events", notices.len());
        let seqs: Vec<_> = notices.iter().map(|notice| notice.seq).collect();
        Ok(self.store.delete_notices(&seqs).await?)
    }

    async fn announce_refusals(&self) -> Result<(), Trouble> {
        let refusals = within_bytes(self.store.unannounced(FEW).await?);
        if refusals.is_empty() {
            return Ok(());
        }
        let stream = format!("{}:rejected", self.prefix);
        let mut pipeline = redis::pipe();
        for refusal in &refusals {
            pipeline
                .cmd("XADD")
                .arg(&stream)
                .arg("MAXLEN")
                .arg("~")
                .arg(self.rejected_max_len)
                .arg("*");
            pipeline
                .arg("event")
                .arg(&refusal.event)
                .arg("entry")
                .arg(&refusal.entry);
            pipeline
                .arg("reason")
                .arg(&refusal.reason)
                .arg("detail")
                .arg(&refusal.detail)
                .ignore();
        }
        self.redis.pipeline::<()>(&pipeline).await?;
        metrics::brought_out("rejected", refusals.len());
        let seqs: Vec<_> = refusals.iter().map(|refusal| refusal.seq).collect();
        Ok(self.store.announced(&seqs, self.environment.now()).await?)
    }
}

/// The first refused event, and those after it as long as all together stay within [`MAX_BYTES`].
fn within_bytes(mut refusals: Vec<refused::Model>) -> Vec<refused::Model> {
    let mut bytes = 0;
    let fitting = refusals.iter().take_while(|refusal| {
        bytes += refusal.event.len();
        bytes <= MAX_BYTES
    });
    let number = fitting.count().max(1);
    refusals.truncate(number);
    refusals
}
