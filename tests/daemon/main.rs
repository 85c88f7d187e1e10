//! Tests of the whole daemon, through its front doors, against real servers. One binary, so that the support is built once.

#[path = "../support/mod.rs"]
mod support;

mod alarms;
mod becoming_da;
mod bounces;
mod by_command;
mod chaos;
mod da_response;
mod dead_jobs;
mod delegation;
mod directory;
mod erasure;
mod giving_up;
mod harness;
mod http;
mod idle;
mod intake_faults;
mod joining;
mod life;
mod log;
mod metrics;
mod one_open_request;
mod ordering;
mod pausing;
mod provisioning;
mod refused;
mod replay;
mod report;
mod requeue;
mod retention;
mod review;
mod runbook;
mod scale;
mod service;
mod status;
mod steps;
mod store;
mod terms;
mod traces;
mod unregistered;
mod upgrade;
mod wrong_data;
