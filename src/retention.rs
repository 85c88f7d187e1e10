//! Deletes what has been finished for long (`retention`), and erases the persons of registrations that have been closed for long
//! (D24).

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    erasure::{self, ErasureError},
    progress,
    queue::Redis,
    schedule::Task,
    settings::RetentionSettings,
    store::{Store, error::StoreError, pruning::Finished},
};

/// Rows deleted in one transaction.
const CHUNK: u64 = 500;

/// Pause between two chunks: others have work to commit.
const PAUSE: Duration = Duration::from_millis(20);

/// Registrations erased at one tick: each goes through the streams.
const ERASED_AT_MOST: u64 = 100;

/// Failed verifications count for 30 days (D9), and daemons that are gone tell nothing after as long.
const MONTH: Duration = Duration::from_hours(31 * 24);

/// See the module.
#[derive(Debug)]
pub struct Retention {
    /// The database.
    pub store: Store,
    /// The streams.
    pub redis: Redis,
    /// `redis.prefix`.
    pub prefix: String,
    /// The folder of mails, where they go to files.
    pub mail_dir: Option<PathBuf>,
    /// Time, and pseudonyms.
    pub environment: Arc<dyn Environment>,
    /// For how long what is kept.
    pub keep: RetentionSettings,
}

impl Task for Retention {
    async fn carry_out(&self, _: DateTime<Utc>, stop: &CancellationToken) -> Result<(), StoreError> {
        let now = self.store.earlier_now(self.environment.now()).await?;
        // First: an erasure finds the files of mails by their records.
        if let Some(kept) = self.keep.registrations {
            self.erase(now - kept, stop).await?;
        }
        for what in Finished::ALL {
            let by_age = self.kept(what).map(|kept| now - kept);
            let by_number = match self.most(what) {
                Some(most) => self.store.newest(what, most).await?,
                None => None,
            };
            if let Some(before) = by_age.max(by_number) {
                self.prune(what, before, stop).await?;
            }
        }
        if let Some(kept) = self.keep.events {
            self.trim(now - kept).await;
        }
        Ok(())
    }
}

impl Retention {
    /// For how long `what` is kept once it is finished; `None` is for good.
    const fn kept(&self, what: Finished) -> Option<Duration> {
        match what {
            Finished::Events => Some(self.keep.inbox),
            Finished::Jobs => Some(self.keep.jobs),
            Finished::Mails => self.keep.mails,
            Finished::FailedAttempts | Finished::Daemons => Some(MONTH),
        }
    }

    /// How many of `what` are kept.
    const fn most(&self, what: Finished) -> Option<u64> {
        match what {
            Finished::Events => Some(self.keep.inbox_max),
            Finished::Jobs => Some(self.keep.jobs_max),
            Finished::Mails => Some(self.keep.mails_max),
            Finished::FailedAttempts | Finished::Daemons => None,
        }
    }

    /// Entries are numbered by the clock of Redis, in milliseconds; whole nodes of the stream go.
    async fn trim(&self, before: DateTime<Utc>) {
        let mut trim = redis::cmd("XTRIM");
        trim.arg(format!("{}:events", self.prefix))
            .arg("MINID")
            .arg("~")
            .arg(before.timestamp_millis().max(0));
        match self.redis.query::<u64>(&trim).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, what = "results", "what was finished for long is deleted"),
            Err(error) => tracing::warn!(%error, "results that are old stay until Redis is back"),
        }
    }

    async fn prune(&self, what: Finished, before: DateTime<Utc>, stop: &CancellationToken) -> Result<(), StoreError> {
        let mut deleted = 0;
        while !stop.is_cancelled() {
            progress::goes_round();
            if what == Finished::Mails {
                self.remove_files(before).await?;
            }
            let now = self.store.prune(what, before, CHUNK).await?;
            deleted += now;
            if now < CHUNK {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if deleted > 0 {
            tracing::info!(deleted, what = what.as_str(), "what was finished for long is deleted");
        }
        Ok(())
    }

    /// The files of the mails whose records go next: nothing would find them afterwards.
    async fn remove_files(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(folder) = &self.mail_dir else {
            return Ok(());
        };
        let mails = self.store.old_mails(before, CHUNK).await?;
        erasure::remove_files(folder, &mails)
            .map_err(|error| StoreError::refused(format!("the files of mails stay: {error}")))?;
        Ok(())
    }

    async fn erase(&self, before: DateTime<Utc>, stop: &CancellationToken) -> Result<(), StoreError> {
        for id in self.store.closed_before(before, ERASED_AT_MOST).await? {
            if stop.is_cancelled() {
                return Ok(());
            }
            progress::goes_round();
            let erased = erasure::erase(
                &self.store,
                &self.redis,
                &self.prefix,
                self.mail_dir.as_deref(),
                &*self.environment,
                &id,
            );
            match erased.await {
                Ok(_) => tracing::info!(registration = %id, "a registration that was closed for long is erased"),
                // Somebody else's doing, or the next tick's.
                Err(error @ (ErasureError::Unknown(_) | ErasureError::Open { .. } | ErasureError::Busy(_))) => {
                    tracing::debug!(registration = %id, %error, "a registration is not erased now");
                }
                Err(ErasureError::Store(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(registration = %id, %error, "erasing what was closed for long waits");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
