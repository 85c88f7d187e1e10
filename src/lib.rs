//! The daemon around the workflow of `enrolld-jobs`: adapters, queue, store and life cycle.

pub mod directory;
pub mod dispatcher;
pub mod environment;
pub mod executor;
pub mod http;
pub mod intake;
pub mod links;
pub mod mail;
pub mod notices;
pub mod queue;
pub mod recovery;
pub mod settings;
pub mod store;
