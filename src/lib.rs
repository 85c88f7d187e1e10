//! The daemon around the workflow of `enrolld-jobs`: adapters, queue, store and life cycle.

pub mod cli;
pub mod daemon;
pub mod demo;
pub mod directory;
pub mod dispatcher;
pub mod doctor;
pub mod environment;
pub mod erasure;
pub mod executor;
pub mod http;
pub mod intake;
pub mod links;
pub mod logging;
pub mod mail;
pub mod metrics;
pub mod notices;
mod patience;
pub mod pauses;
pub mod private_redis;
#[doc(hidden)]
pub mod probes;
pub mod progress;
pub mod provisioning;
pub mod queue;
pub mod recheck;
pub mod reconciliation;
pub mod recovery;
pub mod report;
pub mod retention;
pub mod schedule;
pub mod settings;
pub mod spans;
pub mod status;
pub mod store;
pub mod ticks;
mod tls;
pub mod watch;
