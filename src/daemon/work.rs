//! The apalis workers, one for each kind of job.

use apalis::{layers::WorkerBuilderExt as _, prelude::*};
use enrolld_jobs::job::JobKind;
use tokio_util::sync::CancellationToken;

use crate::{
    executor::Executor,
    pauses::Pauses,
    queue::{JobRef, Redis, StreamBackend, StreamOptions, stream_name},
    settings::Settings,
};

/// Entries read ahead of each handler.
const PREFETCH_FACTOR: usize = 2;

/// Works until `stop`, and then finishes what runs.
pub(super) async fn work(
    settings: Settings,
    redis: Redis,
    daemon_id: String,
    executor: Executor,
    pauses: Pauses,
    stop: CancellationToken,
) {
    let mut monitor = Monitor::new();
    for kind in JobKind::ALL.iter().copied() {
        let concurrency = settings.workers.of(kind).concurrency;
        let (redis, executor, pause, stop) = (redis.clone(), executor.clone(), pauses.of(kind), stop.clone());
        let options = StreamOptions::new(stream_name(&settings.redis.prefix, kind.as_str()), daemon_id.as_str())
            .prefetch(concurrency * PREFETCH_FACTOR);
        monitor = monitor.register(move |_restarts| {
            let executor = executor.clone();
            WorkerBuilder::new(kind.as_str())
                .backend(StreamBackend::new(redis.clone(), options.clone(), pause.clone(), &stop))
                .concurrency(concurrency)
                .parallelize(tokio::spawn)
                .build(move |job: JobRef| {
                    let executor = executor.clone();
                    async move {
                        executor.run_job(kind, job).await;
                        Ok::<(), BoxDynError>(())
                    }
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
