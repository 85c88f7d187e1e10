//! Tests of the whole daemon, through its front doors, against real servers. One binary, so that the support is built once.

#[path = "../support/mod.rs"]
mod support;

mod directory;
mod harness;
mod http;
mod store;
