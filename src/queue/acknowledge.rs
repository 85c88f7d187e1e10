//! Acknowledging: a layer around the handlers that notes who is done, and a task that takes their entries off the stream.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use apalis_core::task::Task;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use super::{
    EntryId, JobRef, Redis,
    backend::{Counts, StreamOptions},
    connection::retry_delays,
    streams,
};

/// Acknowledgements that may wait. With Redis away a handler beyond these waits with its own, and so holds up the worker.
pub(super) const WAITING_MAX: usize = 1_024;

/// The layer that has a job's entry acknowledged when its handler gave `Ok`. An `Err` leaves it pending.
#[derive(Debug, Clone)]
pub struct AcknowledgeLayer {
    pub(super) done: mpsc::Sender<EntryId>,
}

/// The service of [`AcknowledgeLayer`].
#[derive(Debug, Clone)]
pub struct AcknowledgeService<S> {
    inner: S,
    done: mpsc::Sender<EntryId>,
}

impl<S> Layer<S> for AcknowledgeLayer {
    type Service = AcknowledgeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AcknowledgeService {
            inner,
            done: self.done.clone(),
        }
    }
}

impl<S> Service<Task<JobRef>> for AcknowledgeService<S>
where
    S: Service<Task<JobRef>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, task: Task<JobRef>) -> Self::Future {
        let entry = task.ctx().data().get::<EntryId>().copied();
        let run = self.inner.call(task);
        let done = self.done.clone();
        Box::pin(async move {
            let result = run.await;
            if result.is_ok()
                && let Some(entry) = entry
            {
                // It fails only when the acker has given up at the end: the entry stays pending then, and whoever gets
                // it next finds its run number outdated.
                let _ = done.send(entry).await;
            }
            result
        })
    }
}

/// The task that takes finished entries off the stream, as many at a time as have come together.
pub(super) struct Acker {
    pub(super) redis: Redis,
    pub(super) options: StreamOptions,
    pub(super) done: mpsc::Receiver<EntryId>,
    /// The worker was asked to stop: from now on attempts are limited in time.
    pub(super) stop: CancellationToken,
    /// No more acknowledgements will come.
    pub(super) finish: CancellationToken,
    pub(super) counts: Arc<Counts>,
}

impl Acker {
    pub(super) async fn run(mut self) {
        let finish = self.finish.clone();
        let mut finished = pin!(finish.cancelled());
        let mut batch = Vec::with_capacity(streams::MULTI_MAX);
        loop {
            batch.clear();
            let count = tokio::select! {
                biased;
                count = self.done.recv_many(&mut batch, streams::MULTI_MAX) => count,
                () = &mut finished, if !self.done.is_closed() => {
                    self.done.close();
                    continue;
                }
            };
            if count == 0 {
                return;
            }
            self.acknowledge(&batch).await;
        }
    }

    /// Acknowledges these, trying until it works; after the stop only for the time given for closing.
    async fn acknowledge(&self, batch: &[EntryId]) {
        let stream = &*self.options.stream;
        let give_up = async {
            self.stop.cancelled().await;
            sleep(self.options.close_within).await;
        };
        let tries = async {
            for delay in retry_delays() {
                match streams::acknowledge(&self.redis, stream, batch).await {
                    Ok(()) => return,
                    Err(error) if error.is_away() => {}
                    Err(error) => {
                        tracing::warn!(stream, %error, "acknowledging failed; trying again");
                    }
                }
                sleep(delay).await;
            }
        };
        tokio::select! {
            () = tries => {
                self.counts
                    .acknowledged
                    .fetch_add(batch.len() as u64, Ordering::Relaxed);
                return;
            }
            () = give_up => {}
        }
        tracing::warn!(
            stream,
            count = batch.len(),
            "could not acknowledge finished entries; they stay pending, and are dropped when claimed"
        );
    }
}
