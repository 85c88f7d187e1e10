//! The daemon around the workflow of `enrolld-jobs`: adapters, queue, store and life cycle.

pub mod directory;
pub mod settings;
