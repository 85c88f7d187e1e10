//! Tests of the whole daemon, through its front doors, against real servers. One binary, so that the support is built once.

#[path = "../support/mod.rs"]
mod support;

mod becoming_da;
mod chaos;
mod da_response;
mod directory;
mod erasure;
mod harness;
mod http;
mod idle;
mod intake_faults;
mod joining;
mod life;
mod ordering;
mod refused;
mod requeue;
mod retention;
mod review;
mod steps;
mod store;
mod unregistered;
mod wrong_data;
