//! The apalis backend: what a worker polls.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    EntryId, JobRef, Redis,
    acknowledge::{Acker, AcknowledgeLayer, WAITING_MAX},
    prefetch::Prefetch,
    reader::Reader,
};
use crate::progress::{Part, Progress, STANDSTILL};

/// What a [`StreamBackend`] reads, and as whom.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    pub(super) stream: Arc<str>,
    pub(super) consumer: Arc<str>,
    pub(super) prefetch: usize,
    pub(super) close_within: Duration,
    pub(super) parts: Option<Parts>,
}

/// What is to go round for one stream.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) reader: Part,
    pub(super) handlers: Part,
}

impl StreamOptions {
    /// Reads `stream` as `consumer`, a name that no other reader has, and that entries are not claimed to (see
    /// [`claim`](super::claim)).
    pub fn new(stream: impl Into<Arc<str>>, consumer: impl Into<Arc<str>>) -> Self {
        Self {
            stream: stream.into(),
            consumer: consumer.into(),
            prefetch: 32,
            close_within: Duration::from_secs(5),
            parts: None,
        }
    }

    /// Has its reader watched by `progress`, and that `handlers` are given what was read.
    #[must_use]
    pub fn watched(mut self, progress: &Progress, handlers: Part) -> Self {
        let reader = progress.part(format!("reader of {}", self.stream), STANDSTILL);
        self.parts = Some(Parts { reader, handlers });
        self
    }

    /// Most entries that are read ahead of the handlers (32). Twice to four times the concurrency keeps them busy.
    #[must_use]
    pub fn prefetch(mut self, entries: usize) -> Self {
        self.prefetch = entries.max(1);
        self
    }

    /// How long, after the stop, handing back and acknowledging may be tried with Redis away (5 s).
    #[must_use]
    pub fn close_within(mut self, time: Duration) -> Self {
        self.close_within = time;
        self
    }
}

/// What became of entries since a backend was made.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) read: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) handed_back: AtomicU64,
}

impl Counts {
    /// Entries read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Entries taken off the stream after their handler's `Ok`.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Entries that held no job, and were taken off the stream.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    /// Entries that were added to the stream again at the stop, as they had not been started.
    pub fn handed_back(&self) -> u64 {
        self.handed_back.load(Ordering::Relaxed)
    }
}

/// An apalis backend over one stream; see the [module](super).
///
/// It starts its two tasks (reader, acker) when first polled, and so belongs on a tokio runtime. Handlers find the [`EntryId`]
/// of their entry in the task's data.
#[derive(Debug)]
pub struct StreamBackend {
    options: StreamOptions,
    prefetch: Arc<Prefetch>,
    paused: watch::Receiver<bool>,
    stop: CancellationToken,
    finish: CancellationToken,
    done: mpsc::Sender<EntryId>,
    counts: Arc<Counts>,
    /// Until the reader starts.
    reader: Option<Part>,
    tasks: Tasks,
}

enum Tasks {
    Waiting(Box<(Reader, Acker)>),
    Running {
        reader: JoinHandle<()>,
        acker: JoinHandle<()>,
    },
    Closing {
        acker: JoinHandle<()>,
    },
    Closed,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "Waiting",
            Self::Running { .. } => "Running",
            Self::Closing { .. } => "Closing",
            Self::Closed => "Closed",
        })
    }
}

impl StreamBackend {
    /// A backend that neither reads nor starts anything while `paused` holds true, and that ends when `stop` is cancelled (or
    /// its worker is stopped): entries that were not started are handed back at once, while handlers are still running.
    pub fn new(
        redis: Redis,
        mut options: StreamOptions,
        paused: watch::Receiver<bool>,
        stop: &CancellationToken,
    ) -> Self {
        // Not for the acker: it goes on when the reader has ended.
        let (reader_part, handlers) = options.parts.take().map(|parts| (parts.reader, parts.handlers)).unzip();
        let stop = stop.child_token();
        let finish = CancellationToken::new();
        let (done, done_receiver) = mpsc::channel(WAITING_MAX);
        let prefetch = Arc::new(Prefetch::new(options.prefetch));
        let counts = Arc::new(Counts::default());
        let reader = Reader::new(
            redis.clone(),
            options.clone(),
            prefetch.clone(),
            paused.clone(),
            stop.clone(),
            counts.clone(),
            handlers,
        );
        let acker = Acker {
            redis,
            options: options.clone(),
            done: done_receiver,
            stop: stop.clone(),
            finish: finish.clone(),
            counts: counts.clone(),
        };
        Self {
            options,
            prefetch,
            paused,
            stop,
            finish,
            done,
            counts,
            reader: reader_part,
            tasks: Tasks::Waiting(Box::new((reader, acker))),
        }
    }

    /// What became of entries so far; for metrics, and kept beyond the backend's life.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    fn start(&mut self) {
        if !matches!(self.tasks, Tasks::Waiting(_)) {
            return;
        }
        if let Tasks::Waiting(tasks) = std::mem::replace(&mut self.tasks, Tasks::Closed) {
            let (reader, acker) = *tasks;
            let reader = match self.reader.take() {
                Some(part) => tokio::spawn(part.run(reader.run())),
                None => tokio::spawn(reader.run()),
            };
            self.tasks = Tasks::Running {
                reader,
                acker: tokio::spawn(acker.run()),
            };
        }
    }
}

impl Backend for StreamBackend {
    type Task = Task<JobRef>;
    /// Polling cannot fail: an error would end the worker.
    type Error = Infallible;

    fn poll_ready(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.start();
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.start();
        let held = *self.paused.borrow();
        let entry = ready!(self.prefetch.poll_next(cx, held));
        Poll::Ready(entry.map(|entry| {
            Ok(TaskBuilder::new(entry.job)
                .task_id(TaskId::from_string(entry.id.to_string()))
                .data(entry.id)
                .build())
        }))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.stop.cancel();
        // A worker whose backend has no more is closed, but waits for being stopped before it ends.
        if !worker.is_shutting_down()
            && let Err(error) = worker.stop()
        {
            tracing::error!(worker = worker.name(), %error, "the worker cannot be stopped");
        }
        loop {
            let task = match &mut self.tasks {
                Tasks::Running { reader, .. } => reader,
                Tasks::Closing { acker } => acker,
                Tasks::Waiting(_) | Tasks::Closed => return Poll::Ready(Ok(())),
            };
            if let Err(error) = ready!(Pin::new(task).poll(cx)) {
                tracing::error!(stream = %self.options.stream, %error, "a task of the queue ended early");
            }
            self.finish.cancel();
            self.tasks = match std::mem::replace(&mut self.tasks, Tasks::Closed) {
                Tasks::Running { acker, .. } => Tasks::Closing { acker },
                Tasks::Waiting(_) | Tasks::Closing { .. } | Tasks::Closed => Tasks::Closed,
            };
        }
    }
}

impl BackendConfig for StreamBackend {
    type Args = JobRef;
    type Id = EntryId;
    type Kind = Ephemeral;
    type Config = StreamOptions;
    type Layer = AcknowledgeLayer;

    fn config(&self) -> &StreamOptions {
        &self.options
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> AcknowledgeLayer {
        AcknowledgeLayer {
            done: self.done.clone(),
        }
    }
}

impl Drop for StreamBackend {
    /// A worker that is dropped rather than stopped leaves no task behind.
    fn drop(&mut self) {
        self.stop.cancel();
        self.finish.cancel();
    }
}
