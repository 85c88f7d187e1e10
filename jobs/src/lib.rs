//! The workflow of enrolld, free of I/O: no Redis, no SQL, no SMTP, no HTTP, no clock and no randomness.
//!
//! - [`decide`](mod@decide) is the workflow: state and event in, the next state and effects as data out.
//! - [`registration`] has the states, [`event`] what can happen, [`effect`] what can come of it, [`refusal`] why not.
//! - [`cloud_event`] reads what upstream sends, [`view`] makes what the outside sees, [`trace`] ties the two together in logs.
//! - One module a job: [`verification`], [`da_routing`], [`email_verification`], [`notification`], and the rules of
//!   [`manual_review`]. [`job`] lists them.
//! - [`directory`] has the records that decisions rest on, [`ports`] the services they come from, [`values`] the values that
//!   are valid by construction, [`rules`] what configuration says.
//!
//! Invariants: a final state never changes; whatever is made for a wait (job, link) names its `step` and does nothing
//! afterwards (D23); ids of effects are derived, so deciding again gives the same ids.

pub mod applicant_idle;
pub mod cloud_event;
pub mod da_response_timeout;
pub mod da_routing;
pub mod decide;
pub mod delegation;
pub mod directory;
pub mod effect;
pub mod email_verification;
pub mod event;
pub mod giving_up;
pub mod job;
pub mod manual_review;
pub mod notification;
pub mod ports;
pub mod provisioning_sync;
pub mod refusal;
pub mod registration;
pub mod rules;
pub mod sla;
pub mod terms;
pub mod trace;
pub mod values;
pub mod verification;
pub mod view;
