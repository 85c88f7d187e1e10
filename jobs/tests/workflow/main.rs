//! The workflow from the outside: every rule by an example named after it, invariants by property, and the documents that
//! are generated from it.
//!
//! `UPDATE_DOCS=1 cargo test -p enrolld-jobs --test workflow` writes the generated documents anew.

mod access;
mod agents_clock;
mod becoming_da;
mod bounces;
mod cloud_events;
mod da_links;
mod da_silence;
mod dead_jobs;
mod delegation;
mod email_verification;
mod idle_applicants;
mod joining;
mod one_open_request;
mod one_request;
mod properties;
mod provisioning;
mod published;
mod resubmission;
mod review;
mod road;
mod sla;
mod told;
mod verification;
mod view_texts;
