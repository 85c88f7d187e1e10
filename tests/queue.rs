//! The queue against a real Redis: what runs, what stays, and what happens when Redis goes away.

#[path = "support/child.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod child;
#[path = "queue/connection.rs"]
mod connection;
#[path = "queue/recovery.rs"]
mod recovery;
#[path = "support/redis.rs"]
mod redis_server;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apalis::{layers::WorkerBuilderExt, prelude::*};
use enrolld::progress::{Progress, STANDSTILL};
use enrolld::queue::{self, Counts, Error, JobRef, Redis, StreamBackend, StreamOptions, stream_name};
use redis_server::RedisServer;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest wait for anything that is expected. Generous, as tests share a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the handlers of a test share.
struct Handlers {
    runs: Mutex<HashMap<JobRef, usize>>,
    /// Jobs that give `Err`, by run number.
    failing_run: u32,
    /// Jobs that panic, by run number.
    panicking_run: u32,
    /// A handler needs a permit to end.
    gate: Semaphore,
    at_work: AtomicUsize,
    most_at_work: AtomicUsize,
}

impl Handlers {
    fn new(open: bool) -> Arc<Self> {
        Arc::new(Self {
            runs: Mutex::default(),
            failing_run: 666,
            panicking_run: 667,
            gate: Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 }),
            at_work: AtomicUsize::new(0),
            most_at_work: AtomicUsize::new(0),
        })
    }

    fn total(&self) -> usize {
        self.runs.lock().expect("lock").values().sum()
    }

    fn runs_of(&self, job: JobRef) -> usize {
        self.runs.lock().expect("lock").get(&job).copied().unwrap_or(0)
    }
}

async fn handle(job: JobRef, handlers: Data<Arc<Handlers>>) -> Result<(), BoxDynError> {
    let at_work = handlers.at_work.fetch_add(1, Ordering::SeqCst) + 1;
    handlers.most_at_work.fetch_max(at_work, Ordering::SeqCst);
    handlers.gate.acquire().await?.forget();
    *handlers.runs.lock().expect("lock").entry(job).or_default() += 1;
    handlers.at_work.fetch_sub(1, Ordering::SeqCst);
    if job.run_no == handlers.failing_run {
        return Err("as the test wants it".into());
    }
    assert_ne!(job.run_no, handlers.panicking_run, "as the test wants it");
    Ok(())
}

/// A worker of four handlers at once on one stream.
struct Running {
    worker: JoinHandle<Result<(), WorkerError>>,
    counts: Arc<Counts>,
    stop: CancellationToken,
    pause: watch::Sender<bool>,
}

impl Running {
    fn start(redis: &Redis, stream: &str, handlers: &Arc<Handlers>) -> Self {
        let (pause, paused) = watch::channel(false);
        let stop = CancellationToken::new();
        let options = StreamOptions::new(stream, "one")
            .prefetch(16)
            .close_within(Duration::from_secs(2));
        let backend = StreamBackend::new(redis.clone(), options, paused, &stop);
        let counts = backend.counts();
        let worker = WorkerBuilder::new("test")
            .backend(backend)
            .data(handlers.clone())
            .concurrency(4)
            .parallelize(tokio::spawn)
            .build(handle);
        Self {
            worker: tokio::spawn(worker.run()),
            counts,
            stop,
            pause,
        }
    }

    async fn stopped(self) {
        self.stop.cancel();
        within(self.worker)
            .await
            .expect("the worker does not panic")
            .expect("the worker ends without an error");
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("not in time")
}

/// Waits until the condition holds.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_empty(redis: &Redis, stream: &str) {
    until("the stream is empty", || async {
        queue::length(redis, stream).await.is_ok_and(|length| length == 0)
    })
    .await;
}

fn jobs(stream: &str, ids: std::ops::Range<u128>) -> Vec<(String, JobRef)> {
    ids.map(|id| (stream.to_owned(), job(id, 1))).collect()
}

fn job(id: u128, run_no: u32) -> JobRef {
    JobRef {
        id: Uuid::from_u128(id),
        run_no,
    }
}

fn open(server: &RedisServer) -> Redis {
    Redis::open(&server.url()).expect("a good address")
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_once_and_leave_nothing() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    assert_eq!(stream, "t:jobs:notification");
    let handlers = Handlers::new(true);
    // Before there is a group, and more than one pipeline of them.
    queue::push(&redis, &jobs(&stream, 0..2_500)).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until_empty(&redis, &stream).await;
    queue::push(&redis, &jobs(&stream, 2_500..2_600)).await.expect("push");
    until("all have run", || async { handlers.total() == 2_600 }).await;
    until_empty(&redis, &stream).await;

    assert!(handlers.runs.lock().expect("lock").values().all(|runs| *runs == 1));
    assert!(handlers.most_at_work.load(Ordering::SeqCst) <= 4);
    assert_eq!(queue::pending_consumers(&redis, &stream).await.expect("asks"), []);
    let unread = queue::unread(&redis, &stream).await.expect("asks");
    assert_eq!((unread.number, unread.oldest_ms), (0, None));
    assert_eq!(running.counts.read(), 2_600);
    until("all are counted", || async { running.counts.acknowledged() == 2_600 }).await;
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_handlers_run_at_once_as_allowed() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "manual_review"));
    let handlers = Handlers::new(false);
    queue::push(&redis, &jobs(&stream, 0..100)).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until("four are at work", || async {
        handlers.at_work.load(Ordering::SeqCst) == 4
    })
    .await;
    until("the rest of the buffer is filled", || async {
        running.counts.read() >= 16
    })
    .await;
    // Four at work, and no more than 16 read ahead.
    assert!(running.counts.read() <= 20);
    assert_eq!(handlers.most_at_work.load(Ordering::SeqCst), 4);
    handlers.gate.add_permits(100);
    until_empty(&redis, &stream).await;
    running.stopped().await;
    assert_eq!(handlers.total(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_panics_stays_pending() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "verification"));
    let handlers = Handlers::new(true);
    let all = [job(1, 666), job(2, 667), job(3, 1)].map(|job| (stream.clone(), job));
    queue::push(&redis, &all).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until("one is acknowledged", || async {
        handlers.total() == 3 && running.counts.acknowledged() == 1
    })
    .await;
    running.stopped().await;

    assert_eq!(queue::length(&redis, &stream).await.expect("asks"), 2);
    let pending = queue::pending_consumers(&redis, &stream).await.expect("asks");
    assert_eq!(pending, [("one".to_owned(), 2)]);
    assert!(all.iter().all(|(_, job)| handlers.runs_of(*job) == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_entries_are_taken_off() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "da_routing"));
    for fields in [&["job", "none", "run", "1"][..], &["a", "b"], &["job", "", "run", ""]] {
        let mut add = redis::cmd("XADD");
        add.arg(&stream).arg("*").arg(fields);
        redis.query::<String>(&add).await.expect("adds");
    }
    queue::push(&redis, &jobs(&stream, 0..1)).await.expect("push");
    let handlers = Handlers::new(true);
    let running = Running::start(&redis, &stream, &handlers);
    until_empty(&redis, &stream).await;
    until("the job has run", || async { handlers.total() == 1 }).await;
    assert_eq!(running.counts.broken(), 3);
    assert_eq!(queue::pending_consumers(&redis, &stream).await.expect("asks"), []);
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_outlives_the_loss_of_redis() {
    let mut server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "provisioning_sync"));
    let handlers = Handlers::new(false);
    queue::push(&redis, &jobs(&stream, 0..50)).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until("some are at work", || async {
        handlers.at_work.load(Ordering::SeqCst) == 4
    })
    .await;
    assert!(redis.health().reachable);

    server.kill();
    let asked = Instant::now();
    let error = queue::push(&redis, &jobs(&stream, 50..51))
        .await
        .expect_err("Redis is away");
    assert!(error.is_away(), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(!redis.health().reachable);
    // What was read runs on; its acknowledgements wait.
    handlers.gate.add_permits(1_000);
    until("what was read has run", || async {
        handlers.total() as u64 == running.counts.read()
    })
    .await;
    assert!(!running.worker.is_finished());

    server.restart();
    let (before, stream_again) = (handlers.total(), stream.clone());
    until("jobs can be added again", || async {
        queue::push(&redis, &jobs(&stream_again, 100..200)).await.is_ok()
    })
    .await;
    until("they have run", || async { handlers.total() >= before + 100 }).await;
    until_empty(&redis, &stream).await;
    assert!(redis.health().reachable);
    assert!(!redis.health().reachable_for(PATIENCE));
    assert!(!running.worker.is_finished());
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_start_before_redis() {
    let mut server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    server.kill();
    let handlers = Handlers::new(true);
    let running = Running::start(&redis, &stream, &handlers);
    assert!(redis.ping().await.is_err_and(|error| error.is_away()));
    server.restart();
    until("jobs can be added", || async { redis.ping().await.is_ok() }).await;
    queue::push(&redis, &jobs(&stream, 0..10)).await.expect("push");
    until("they have run", || async { handlers.total() == 10 }).await;
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_and_group_are_made_again_after_flushall() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let handlers = Handlers::new(true);
    let running = Running::start(&redis, &stream, &handlers);
    for round in 0..3 {
        queue::push(&redis, &jobs(&stream, round * 10..round * 10 + 10))
            .await
            .expect("push");
        let expected = usize::try_from(round + 1).expect("small") * 10;
        until("they have run", || async { handlers.total() == expected }).await;
        until_empty(&redis, &stream).await;
        redis.query::<()>(&redis::cmd("FLUSHALL")).await.expect("flushes");
        redis
            .query::<()>(redis::cmd("SCRIPT").arg("FLUSH"))
            .await
            .expect("flushes");
    }
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_starts_nothing_until_it_is_resumed() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let handlers = Handlers::new(false);
    queue::push(&redis, &jobs(&stream, 0..100)).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until("some are at work", || async {
        handlers.at_work.load(Ordering::SeqCst) == 4
    })
    .await;
    running.pause.send_replace(true);
    // Those at work end; nothing that waits is started, though it was read.
    handlers.gate.add_permits(1_000);
    until("those at work have ended", || async { handlers.total() == 4 }).await;
    // The pause takes effect within a second; what is read after that would be seen in the following one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = running.counts.read();
    queue::push(&redis, &jobs(&stream, 100..110)).await.expect("push");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(handlers.total(), 4);
    assert_eq!(running.counts.read(), read);

    running.pause.send_replace(false);
    until("all have run", || async { handlers.total() == 110 }).await;
    until_empty(&redis, &stream).await;
    running.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_hands_back_what_was_not_started() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let handlers = Handlers::new(false);
    queue::push(&redis, &jobs(&stream, 0..40)).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until("four are at work, the buffer is full", || async {
        handlers.at_work.load(Ordering::SeqCst) == 4 && running.counts.read() >= 16
    })
    .await;
    running.stop.cancel();
    // Handed back at once, not only when the handlers have ended.
    until("the rest is handed back", || async {
        running.counts.handed_back() == running.counts.read() - 4
    })
    .await;
    let pending = queue::pending_consumers(&redis, &stream).await.expect("asks");
    assert_eq!(pending, [("one".to_owned(), 4)]);
    assert!(!running.worker.is_finished());
    handlers.gate.add_permits(4);
    running.stopped().await;
    assert_eq!(handlers.total(), 4);
    assert_eq!(queue::pending_consumers(&redis, &stream).await.expect("asks"), []);
    assert_eq!(queue::length(&redis, &stream).await.expect("asks"), 36);

    handlers.gate.add_permits(1_000);
    let running = Running::start(&redis, &stream, &handlers);
    until_empty(&redis, &stream).await;
    running.stopped().await;
    assert!((0..40).all(|id| handlers.runs_of(job(id, 1)) == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_time_with_redis_away() {
    let mut server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let handlers = Handlers::new(false);
    queue::push(&redis, &jobs(&stream, 0..40)).await.expect("push");
    let running = Running::start(&redis, &stream, &handlers);
    until("four are at work", || async {
        handlers.at_work.load(Ordering::SeqCst) == 4
    })
    .await;
    server.kill();
    handlers.gate.add_permits(1_000);
    let asked = Instant::now();
    running.stopped().await;
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

/// A monitor stops its workers through apalis, not through our token.
#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_drives_and_stops_it() {
    let server = RedisServer::start();
    let (redis, stream) = (open(&server), stream_name("t", "notification"));
    let handlers = Handlers::new(true);
    queue::push(&redis, &jobs(&stream, 0..10)).await.expect("push");
    let (_pause, paused) = watch::channel(false);
    let shutdown = CancellationToken::new();
    let signal = shutdown.clone();
    let (shared, connection, name) = (handlers.clone(), redis.clone(), stream.clone());
    let monitor = Monitor::new().register(move |_| {
        let options = StreamOptions::new(name.as_str(), "one");
        let never = CancellationToken::new();
        WorkerBuilder::new("test")
            .backend(StreamBackend::new(connection.clone(), options, paused.clone(), &never))
            .data(shared.clone())
            .concurrency(4)
            .parallelize(tokio::spawn)
            .build(handle)
    });
    let monitor = tokio::spawn(monitor.run_with_signal(async move {
        signal.cancelled().await;
        Ok(())
    }));
    until("they have run", || async { handlers.total() == 10 }).await;
    shutdown.cancel();
    within(monitor).await.expect("no panic").expect("no error");
    assert_eq!(queue::length(&redis, &stream).await.expect("asks"), 0);
}

#[tokio::test]
async fn reader_and_handlers_go_round_idle_and_while_redis_is_away() {
    let mut server = RedisServer::start();
    let redis = Redis::open(&server.url()).expect("opens");
    let progress = Progress::default();
    let handlers = progress.part("handlers", STANDSTILL);
    let (_pause, paused) = watch::channel(false);
    let stop = CancellationToken::new();
    let options =
        StreamOptions::new(stream_name("watched", "notification"), "one").watched(&progress, handlers.clone());
    let worker = WorkerBuilder::new("test")
        .backend(StreamBackend::new(redis.clone(), options, paused, &stop))
        .build(async |_: JobRef| Ok::<(), BoxDynError>(()));
    let worker = tokio::spawn(worker.run());

    let all_move = async |what: &str| {
        let now = tokio::time::Instant::now();
        // Whoever has not moved since now would stand still by then.
        until(what, || async { progress.standing_still(now + STANDSTILL).is_empty() }).await;
    };
    all_move("idle").await;
    server.kill();
    until("Redis is away", || async { !redis.health().reachable }).await;
    all_move("Redis away").await;
    server.restart();
    until("Redis is back", || async { redis.health().reachable }).await;
    all_move("Redis back").await;

    stop.cancel();
    within(worker).await.expect("no panic").expect("no error");
    let after_all = tokio::time::Instant::now() + STANDSTILL * 2;
    let still: Vec<_> = progress
        .standing_still(after_all)
        .into_iter()
        .map(|still| still.part)
        .collect();
    assert_eq!(still, ["handlers"], "the reader has ended");
}
