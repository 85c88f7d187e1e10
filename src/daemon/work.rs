//! The apalis workers, one for each kind of job.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use apalis::{layers::WorkerBuilderExt as _, prelude::*};
use enrolld_jobs::job::JobKind;
use tokio_util::sync::CancellationToken;

use crate::{
    executor::Executor,
    pauses::Pauses,
    progress::Progress,
    queue::{JobRef, Redis, StreamBackend, StreamOptions, stream_name},
    recovery::stuck_after,
    settings::Settings,
};

/// Entries read ahead of each handler.
const PREFETCH_FACTOR: usize = 2;

/// How many jobs have begun and ended here.
#[derive(Debug, Default)]
pub(super) struct Tally {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Tally {
    /// How many have ended since the start.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// How many run now.
    pub(super) fn running(&self) -> u64 {
        let ended = self.ended();
        self.begun.load(Ordering::Relaxed).saturating_sub(ended)
    }
}

/// One job that runs; it has ended when this is dropped, even by a panic.
struct Running(Arc<Tally>);

impl Running {
    fn begin(tally: &Arc<Tally>) -> Self {
        tally.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(tally))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the workers need.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    pub(super) settings: Settings,
    pub(super) redis: Redis,
    pub(super) daemon_id: String,
    pub(super) executor: Executor,
    pub(super) pauses: Pauses,
    pub(super) progress: Progress,
    pub(super) tally: Arc<Tally>,
}

impl Workers {
    /// Works until `stop`, and then finishes what runs.
    pub(super) async fn work(self, stop: CancellationToken) {
        let mut monitor = Monitor::new();
        for kind in JobKind::ALL.iter().copied() {
            let (workers, paused, stop) = (self.clone(), self.pauses.of(kind), stop.clone());
            monitor = monitor.register(move |_restarts| {
                let (concurrency, executor) = (workers.concurrency(kind), workers.executor.clone());
                let tally = Arc::clone(&workers.tally);
                // A job has time-outs of its own, and there may be several runs before the next of what was read.
                let longest = stuck_after(workers.settings.workers.of(kind).timeout);
                let handlers = workers.progress.part(format!("workers of {}", kind.as_str()), longest);
                let options = workers.options(kind).watched(&workers.progress, handlers.clone());
                WorkerBuilder::new(kind.as_str())
                    .backend(StreamBackend::new(
                        workers.redis.clone(),
                        options,
                        paused.clone(),
                        &stop,
                    ))
                    .concurrency(concurrency)
                    .parallelize(tokio::spawn)
                    .build(move |job: JobRef| {
                        let (executor, handlers) = (executor.clone(), handlers.clone());
                        let running = Running::begin(&tally);
                        handlers.clone().run(async move {
                            handlers.moves();
                            executor.run_job(kind, job).await;
                            handlers.moves();
                            drop(running);
                            Ok::<(), BoxDynError>(())
                        })
                    })
            });
        }
        let told = async move {
            stop.cancelled().await;
            Ok(())
        };
        if let Err(error) = monitor.run_with_signal(told).await {
            tracing::error!(%error, "the workers have ended");
        }
    }

    fn concurrency(&self, kind: JobKind) -> usize {
        self.settings.workers.of(kind).concurrency
    }

    fn options(&self, kind: JobKind) -> StreamOptions {
        StreamOptions::new(
            stream_name(&self.settings.redis.prefix, kind.as_str()),
            self.daemon_id.as_str(),
        )
        .prefetch(self.concurrency(kind) * PREFETCH_FACTOR)
    }
}
