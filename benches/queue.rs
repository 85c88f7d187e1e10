//! How fast a backlog of jobs that do nothing is worked off: 50,000 entries wait in a stream, and an apalis worker on a
//! `StreamBackend` takes them off. Each must run exactly once, and Redis must be as empty afterwards as before.
//!
//! `cargo bench --bench queue`; `redis-server` must be in `PATH`.
#![expect(clippy::print_stdout, reason = "the figures are the purpose")]

#[path = "../tests/support/child.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod child;
#[path = "../tests/support/redis.rs"]
#[expect(dead_code, reason = "nothing is killed here")]
mod redis_server;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apalis::{layers::WorkerBuilderExt, prelude::*};
use enrolld::queue::{self, JobRef, Redis, StreamBackend, StreamOptions, stream_name};
use redis_server::RedisServer;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const JOBS: u32 = 50_000;
const ROUNDS: usize = 5;
const CONCURRENCY: usize = 256;
const PREFETCH: usize = 1_024;
/// Bytes by which the memory of Redis may differ without meaning anything; the backlog takes more than 2 MB.
const NOISE: u64 = 128 * 1024;

/// How often each job has run.
struct Runs {
    each: Vec<AtomicU32>,
    total: AtomicUsize,
    all: Notify,
}

async fn count(job: JobRef, runs: Data<Arc<Runs>>) {
    let index = usize::try_from(job.id.as_u128()).expect("ids are small here");
    runs.each[index].fetch_add(1, Ordering::Relaxed);
    if runs.total.fetch_add(1, Ordering::Relaxed) + 1 == JOBS as usize {
        runs.all.notify_one();
    }
}

async fn memory(redis: &Redis) -> Result<u64, Box<dyn Error>> {
    let info: String = redis.query(redis::cmd("INFO").arg("memory")).await?;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .ok_or("INFO without used_memory")?;
    Ok(used.trim().parse()?)
}

/// Adds the backlog and works it off. Returns jobs a second, adding and working off, and the memory of Redis before, with the
/// backlog, and after.
async fn round(redis: &Redis, stream: &str) -> Result<(f64, f64, [u64; 3]), Box<dyn Error>> {
    let before = memory(redis).await?;
    let jobs: Vec<_> = (0..JOBS)
        .map(|index| {
            let id = Uuid::from_u128(index.into());
            (stream, JobRef { id, run_no: 1 })
        })
        .collect();
    let started = Instant::now();
    queue::push(redis, &jobs).await?;
    let pushing = started.elapsed();
    assert_eq!(queue::length(redis, stream).await?, u64::from(JOBS));
    let full = memory(redis).await?;

    let runs = Arc::new(Runs {
        each: (0..JOBS).map(|_| AtomicU32::new(0)).collect(),
        total: AtomicUsize::new(0),
        all: Notify::new(),
    });
    let (_pause, paused) = watch::channel(false);
    let stop = CancellationToken::new();
    let options = StreamOptions::new(stream, "bench").prefetch(PREFETCH);
    let backend = StreamBackend::new(redis.clone(), options, paused, &stop);
    let counts = backend.counts();
    let worker = WorkerBuilder::new("bench")
        .backend(backend)
        .data(runs.clone())
        .concurrency(CONCURRENCY)
        .parallelize(tokio::spawn)
        .build(count);
    let started = Instant::now();
    let worker = tokio::spawn(worker.run());
    runs.all.notified().await;
    // The time counts until the last entry is off the stream, not merely run.
    while counts.acknowledged() < u64::from(JOBS) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let working = started.elapsed();
    stop.cancel();
    worker.await??;

    assert!(
        runs.each.iter().all(|runs| runs.load(Ordering::Relaxed) == 1),
        "every job runs exactly once"
    );
    assert_eq!(queue::length(redis, stream).await?, 0);
    assert_eq!(queue::pending_consumers(redis, stream).await?, []);
    let after = memory(redis).await?;
    let rate = |time: Duration| f64::from(JOBS) / time.as_secs_f64();
    Ok((rate(pushing), rate(working), [before, full, after]))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = RedisServer::start();
    let redis = Redis::open(&server.url())?;
    let stream = stream_name("bench", "noop");
    println!("{JOBS} waiting jobs, {CONCURRENCY} at once, {PREFETCH} read ahead, {ROUNDS} rounds after a first one");
    // The first round has Redis make what stays: connections, the consumer, room in its allocator.
    round(&redis, &stream).await?;
    for number in 1..=ROUNDS {
        let (pushed, worked, [before, full, after]) = round(&redis, &stream).await?;
        println!(
            "round {number}: added {pushed:>8.0}/s, worked off {worked:>8.0}/s; Redis {} kB before, {} kB full, {} kB after",
            before / 1024,
            full / 1024,
            after / 1024,
        );
        assert!(after < before + NOISE, "a finished backlog leaves nothing in Redis");
    }
    Ok(())
}
