//! Turns a decision into rows: the one match over [`Effect`].

use chrono::{DateTime, SecondsFormat, Utc};
use enrolld_jobs::{
    decide::Decision,
    effect::{Effect, LinkPurpose, Mail, MailKind, effect_id},
    job::JobKind,
    registration::Registration,
    view::RegistrationChanged,
};
use serde_json::json;
use uuid::Uuid;

use super::{Cause, Parts, facts::Tree};
use crate::{
    links::{PURPOSE_DECISION, PURPOSE_EMAIL},
    store::{
        milliseconds,
        transition::{
            NewAppointment, NewFailedAttempt, NewGrant, NewJob, NewLink, NewMail, RegistrationWrite, Transition,
            TreeGuard,
        },
    },
};

impl Parts {
    /// The transition that writes `decision` and settles `cause`.
    pub(super) fn transition(
        &self,
        decision: &Decision,
        tree: Option<Tree>,
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Transition {
        let mut transition = Transition {
            registration: Some(self.registration_write(decision, now)),
            ..Transition::default()
        };
        match cause {
            Cause::Inbox(inbox) => transition.inbox = Some(inbox.clone()),
            Cause::Job(job) => transition.job = Some(job.clone()),
            Cause::Link => {}
        }
        let registration = &decision.registration;
        for (index, effect) in decision.effects.iter().enumerate() {
            let id = effect_id(&registration.id, registration.version, index);
            self.write_effect(&mut transition, id, effect, registration, now);
        }
        if decision.rests_on_tree {
            let raises = !(transition.appointments.is_empty() && transition.grants.is_empty());
            transition.tree = tree.map(|tree| TreeGuard {
                root_id: tree.root.into(),
                epoch: tree.epoch,
                raises,
            });
        }
        transition
    }

    fn registration_write(&self, decision: &Decision, now: DateTime<Utc>) -> RegistrationWrite {
        let registration = &decision.registration;
        let root = registration.site.as_ref().and_then(|site| site.chain.first());
        RegistrationWrite {
            id: registration.id.to_string(),
            account_id: registration.account_id.to_string(),
            state: registration.state.name().as_str(),
            version: registration.version.cast_signed(),
            step: i64::from(registration.step),
            root_id: root.map(|root| root.id.to_string()),
            since_ms: milliseconds(registration.since),
            created_ms: milliseconds(registration.created_at),
            data: serde_json::to_string(registration).expect("a registration has string keys only"),
            at_ms: milliseconds(decision.entry.at),
            event: decision.entry.event,
            actor: decision.entry.actor.clone(),
            detail: serde_json::Value::Object(decision.entry.detail.clone()).to_string(),
            token: self.environment.random_id(),
            notice: changed_event(registration, now),
        }
    }

    fn write_effect(
        &self,
        transition: &mut Transition,
        id: Uuid,
        effect: &Effect,
        registration: &Registration,
        now: DateTime<Utc>,
    ) {
        match effect {
            Effect::Run(kind) => transition.jobs.push(job_now(id, *kind, registration, true, now)),
            Effect::Wake { job, at } => transition.jobs.push(NewJob {
                state: "scheduled",
                run_no: 0,
                run_at_ms: milliseconds(*at),
                queued_ms: None,
                ..job_now(id, *job, registration, true, now)
            }),
            Effect::NoteFailedAttempt(account_id) => transition.failed_attempts.push(NewFailedAttempt {
                id,
                account_id: account_id.to_string(),
                at_ms: milliseconds(now),
            }),
            Effect::Mail(mail) => {
                // It is not cancelled with its step: its job notes why it was not sent.
                transition
                    .jobs
                    .push(job_now(id, job_of(mail), registration, false, now));
                transition.mails.push(NewMail {
                    id,
                    kind: mail.kind.as_str(),
                    registration_id: Some(registration.id.to_string()),
                    step: i64::from(registration.step),
                    recipient: serde_json::to_string(mail).expect("a mail has string keys only"),
                    created_ms: milliseconds(now),
                });
            }
            Effect::IssueLink { purpose, valid_until } => {
                let (purpose, account_id) = match purpose {
                    LinkPurpose::EmailVerification => (PURPOSE_EMAIL, None),
                    LinkPurpose::Decision(da) => (PURPOSE_DECISION, Some(da.to_string())),
                };
                let issued = self.link_keys.issue(purpose, id, self.environment.random());
                transition.links.push(NewLink {
                    id,
                    registration_id: registration.id.to_string(),
                    purpose,
                    account_id,
                    nonce: issued.nonce,
                    key_id: issued.key_id,
                    token_digest: issued.token_digest,
                    valid_until_ms: valid_until.map(milliseconds),
                    created_ms: milliseconds(now),
                });
            }
            Effect::Appoint {
                account_id,
                organization_id,
            } => transition.appointments.push(NewAppointment {
                id,
                account_id: account_id.to_string(),
                organization_id: organization_id.to_string(),
                registration_id: registration.id.to_string(),
                appointed_ms: milliseconds(now),
            }),
            Effect::Grant {
                account_id,
                organization_id,
                access,
            } => transition.grants.push(NewGrant {
                id,
                registration_id: registration.id.to_string(),
                account_id: account_id.to_string(),
                organization_id: organization_id.to_string(),
                access: access.as_str(),
                granted_ms: milliseconds(now),
            }),
        }
    }
}

/// The job that sends a mail.
fn job_of(mail: &Mail) -> JobKind {
    if mail.kind == MailKind::Verification {
        JobKind::EmailVerification
    } else {
        JobKind::Notification
    }
}

fn job_now(id: Uuid, kind: JobKind, registration: &Registration, step_bound: bool, now: DateTime<Utc>) -> NewJob {
    NewJob {
        id,
        kind: kind.as_str(),
        registration_id: registration.id.to_string(),
        step: i64::from(registration.step),
        step_bound,
        state: "queued",
        run_no: 1,
        run_at_ms: milliseconds(now),
        queued_ms: Some(milliseconds(now)),
        created_ms: milliseconds(now),
    }
}

/// The CloudEvent `registration.changed` (contract, section 2).
fn changed_event(registration: &Registration, now: DateTime<Utc>) -> String {
    let event = json!({
        "specversion": "1.0",
        "id": format!("{}:{}", registration.id, registration.version),
        "source": "/enrolld",
        "type": "registration.changed",
        "subject": registration.id,
        "time": now.to_rfc3339_opts(SecondsFormat::Millis, true),
        "datacontenttype": "application/json",
        "data": RegistrationChanged::new(registration),
    });
    event.to_string()
}
