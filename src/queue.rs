//! The queue: an apalis backend on Redis Streams.
//!
//! One stream for each kind of job (`<prefix>:jobs:<kind>`) with one consumer group, `workers`. What travels is a [`JobRef`]: the
//! id of a row in `jobs`, and the number of the run the entry stands for. The database is the truth, so Redis may be lost whole.
//!
//! ```text
//! push ──XADD──▶ stream ──XREADGROUP──▶ reader ──▶ prefetch ──▶ apalis worker ──▶ handler
//!                   ▲                                 │ stop                          │ Ok
//!                   └───────── hand back ◀────────────┘          acker ──XACK+XDEL ◀──┘
//! ```
//!
//! - Delivery is at least once. A handler's `Ok` takes its entry off the stream; after an `Err` the entry stays pending, and
//!   recovery decides ([`pending_consumers`], [`claim`]).
//! - With Redis away, readers and the acker try again, and [`Health`] says so; a worker never ends for it.
//! - Every command, script and `MULTI` touches one key, as Redis Cluster wants it. Redis 7.0 is the floor.
//!
//! # Concurrency
//! `concurrency(N)` lets N handlers of a kind run at once: apalis takes no further entry from the backend before one has ended.
//! `parallelize(tokio::spawn)` makes each a task of its own, so that they spread over all threads, and a panic fails only its
//! job (the entry stays pending). In this order: the limit is outside, and its permit is held until the spawned task has ended.
//!
//! ```no_run
//! use apalis::{layers::WorkerBuilderExt, prelude::*};
//! use enrolld::queue::{JobRef, Redis, StreamBackend, StreamOptions, stream_name};
//! use tokio_util::sync::CancellationToken;
//!
//! async fn handle(job: JobRef) -> Result<(), BoxDynError> {
//!     println!("run {} of job {}", job.run_no, job.id);
//!     Ok(())
//! }
//!
//! # async fn run() -> Result<(), BoxDynError> {
//! let redis = Redis::open("redis://127.0.0.1:6379")?;
//! let (_pause, paused) = tokio::sync::watch::channel(false);
//! let stop = CancellationToken::new();
//! Monitor::new()
//!     .register(move |_restarts| {
//!         let options = StreamOptions::new(stream_name("enrolld", "notification"), "daemon-1").prefetch(32);
//!         WorkerBuilder::new("notification")
//!             .backend(StreamBackend::new(redis.clone(), options, paused.clone(), &stop))
//!             .concurrency(16)
//!             .parallelize(tokio::spawn)
//!             .build(handle)
//!     })
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```

mod acknowledge;
mod backend;
mod connection;
mod dedicated;
mod entry;
mod health;
mod prefetch;
mod reader;
mod recovery;
mod server;
mod streams;

use uuid::Uuid;

pub use acknowledge::{AcknowledgeLayer, AcknowledgeService};
pub use backend::{Counts, StreamBackend, StreamOptions};
pub use connection::{Error, Redis};
pub use dedicated::Dedicated;
pub use entry::{EntryId, EntryIdError};
pub use health::Health;
pub use recovery::{Claimed, claim, claim_idle, delete_idle_consumers, pending_consumers};
pub(crate) use server::ServerFacts;
pub use streams::{Unread, acknowledge, kept, length, push, unread};

/// The consumer group of every stream of jobs.
pub const GROUP: &str = "workers";

/// What travels through Redis: one run of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobRef {
    /// Id of the row in `jobs`.
    pub id: Uuid,
    /// The run this entry stands for; the executor drops an entry whose number is not the row's.
    pub run_no: u32,
}

/// Name of the stream of one kind of job: `<prefix>:jobs:<kind>`.
pub fn stream_name(prefix: &str, kind: &str) -> String {
    format!("{prefix}:jobs:{kind}")
}
