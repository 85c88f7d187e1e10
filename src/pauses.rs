//! Queues that are paused: a row in the database says so, and every daemon looks there again and again.
//!
//! A paused queue takes nothing on: its reader holds what it has, the dispatcher leaves what is due where it is, and recovery
//! and audit leave it alone. What runs, ends; and what is committed meanwhile goes to its stream as ever, and waits there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use enrolld_jobs::job::JobKind;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Store, error::StoreError},
    ticks::Ticks,
};

/// How often the database is asked: a pause takes effect within a second, on every daemon.
const POLL: Duration = Duration::from_millis(400);

/// What this daemon knows of the pauses. Cloning is cheap; all clones know the same.
#[derive(Debug, Clone)]
pub struct Pauses(Arc<BTreeMap<JobKind, watch::Sender<bool>>>);

impl Default for Pauses {
    /// Nothing is paused, as far as is known yet.
    fn default() -> Self {
        let kinds = JobKind::ALL.iter().map(|kind| (*kind, watch::Sender::new(false)));
        Self(Arc::new(kinds.collect()))
    }
}

impl Pauses {
    /// Whether the queue is paused.
    pub fn is_paused(&self, kind: JobKind) -> bool {
        self.0.get(&kind).is_some_and(|paused| *paused.borrow())
    }

    /// The kinds whose queues are paused.
    pub fn kinds(&self) -> Vec<JobKind> {
        let paused = self.0.iter().filter(|(_, paused)| *paused.borrow());
        paused.map(|(kind, _)| *kind).collect()
    }

    /// Tells whether the queue is paused, now and later.
    pub fn of(&self, kind: JobKind) -> watch::Receiver<bool> {
        match self.0.get(&kind) {
            Some(paused) => paused.subscribe(),
            None => watch::Sender::new(false).subscribe(),
        }
    }

    /// Asks the database.
    ///
    /// # Errors
    /// When it cannot be asked; all stays as it was known.
    pub async fn look(&self, store: &Store) -> Result<(), StoreError> {
        let rows = store.paused_queues().await?;
        for (kind, paused) in self.0.iter() {
            let row = rows.iter().find(|row| row.kind == kind.as_str());
            let changed = paused.send_if_modified(|paused| std::mem::replace(paused, row.is_some()) != row.is_some());
            match row {
                // Who has paused it, and why, is not for the log.
                Some(_) if changed => tracing::warn!(
                    kind = kind.as_str(),
                    "a queue is paused; `enrolld queues list` says why, `enrolld queues resume` lets it go on"
                ),
                None if changed => tracing::info!(kind = kind.as_str(), "a queue goes on"),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Keeps looking until the stop. While the database is away, what is paused stays so.
    pub async fn follow(self, store: Store, stop: CancellationToken) {
        let mut ticks = Ticks::new(POLL, &stop);
        while ticks.next().await {
            if let Err(error) = self.look(&store).await {
                tracing::debug!(%error, "pauses are looked at later");
            }
        }
    }
}
