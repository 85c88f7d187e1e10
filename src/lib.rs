//! The daemon around the workflow of `enrolld-jobs`: adapters, queue, store and life cycle.

pub mod environment;
pub mod mail;
pub mod queue;
pub mod settings;
pub mod store;
