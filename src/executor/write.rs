//! Turns a decision into rows: the one match over [`Effect`].

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use enrolld_jobs::{
    decide::Decision,
    delegation::{Action, Request},
    effect::{
        Alert, DelegationChange, Effect, LinkPurpose, Mail, MailKind, Recipient, alert_mail_id, effect_id,
        event_effect_id, sync_id,
    },
    job::JobKind,
    registration::{Registration, ReviewReason, State},
    terms::{self, Due},
    trace::Trace,
    values::{AccountId, RegistrationId},
    view::{OpsAlert, RegistrationChanged},
};
use serde_json::json;
use uuid::Uuid;

use super::{Cause, Parts, facts::Tree};
use crate::{
    links::{PURPOSE_DECISION, PURPOSE_EMAIL},
    metrics,
    store::{
        milliseconds,
        suppressions::address_digest,
        transition::{
            AcceptedTerms, EndedAppointment, EndedGrant, InboxWrite, NewAppointment, NewDelegation, NewFailedAttempt,
            NewGrant, NewJob, NewLink, NewMail, NewNotice, NewSuppression, NewSync, RegistrationWrite, Transition,
            TreeGuard, VersionGuard,
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
        let mut transition = settled(cause);
        let trace = cause.trace();
        self.write_decision(&mut transition, decision, trace, now);
        for superseded in &decision.supersedes {
            self.write_decision(&mut transition, superseded, trace, now);
        }
        transition.unchanged = decision
            .rests_on
            .iter()
            .map(|(id, version)| VersionGuard {
                id: id.to_string(),
                version: version.cast_signed(),
            })
            .collect();
        if decision.rests_on_tree {
            transition.tree = tree.map(|tree| guard(tree, &transition));
        }
        transition
    }

    fn write_decision(&self, transition: &mut Transition, decision: &Decision, trace: Trace, now: DateTime<Utc>) {
        let registration = &decision.registration;
        transition
            .registrations
            .push(self.registration_write(decision, trace, now));
        let origin = Origin::of(registration, trace);
        for (index, effect) in decision.effects.iter().enumerate() {
            let id = effect_id(&registration.id, registration.version, index);
            self.write_effect(transition, id, effect, &origin, now);
        }
    }

    /// The transition that writes what a DA did with somebody's access, and settles its event.
    pub(super) fn delegation(
        &self,
        request: &Request,
        effects: &[Effect],
        tree: Option<Tree>,
        inbox: &InboxWrite,
        trace: Trace,
        now: DateTime<Utc>,
    ) -> Transition {
        let mut transition = settled(&Cause::Inbox {
            inbox: inbox.clone(),
            trace,
        });
        let origin = Origin {
            by: Some(request.by.to_string()),
            ..Origin::alone(trace)
        };
        for (index, effect) in effects.iter().enumerate() {
            let id = event_effect_id(inbox.seq, index);
            self.write_effect(&mut transition, id, effect, &origin, now);
        }
        transition.delegations.push(NewDelegation {
            id: event_effect_id(inbox.seq, effects.len()),
            at_ms: milliseconds(now),
            event: request.event,
            account_id: request.account_id.to_string(),
            organization_id: request.organization_id.to_string(),
            actor: request.by.to_string(),
            role: match request.action {
                Action::Change(DelegationChange::RoleAssigned(role) | DelegationChange::RoleRemoved(role)) => {
                    Some(role.as_str())
                }
                Action::Change(_) | Action::AcceptTerms => None,
            },
        });
        transition.tree = tree.map(|tree| guard(tree, &transition));
        transition
    }

    fn registration_write(&self, decision: &Decision, trace: Trace, now: DateTime<Utc>) -> RegistrationWrite {
        let registration = &decision.registration;
        let root = registration.site.as_ref().and_then(|site| site.chain.first());
        RegistrationWrite {
            id: registration.id.to_string(),
            account_id: registration.account_id.to_string(),
            state: registration.state.name().as_str(),
            version: registration.version.cast_signed(),
            step: i64::from(registration.step),
            root_id: root.map(|root| root.id.to_string()),
            review_reason: registration.review_reason().map(ReviewReason::as_str),
            da_account_id: match &registration.state {
                State::AwaitingDa { asked } => asked.last().map(|asked| asked.administrator.account_id.to_string()),
                _ => None,
            },
            since_ms: milliseconds(registration.since),
            created_ms: milliseconds(registration.created_at),
            data: serde_json::to_string(registration).expect("a registration has string keys only"),
            at_ms: milliseconds(decision.entry.at),
            event: decision.entry.event,
            actor: decision.entry.actor.clone(),
            detail: serde_json::Value::Object(decision.entry.detail.clone()).to_string(),
            token: self.environment.random_id(),
            notice: changed_event(registration, trace, now),
        }
    }

    /// Adds what `effect`, with its id, makes.
    #[expect(clippy::too_many_lines, reason = "one effect after the other")]
    pub(super) fn write_effect(
        &self,
        transition: &mut Transition,
        id: Uuid,
        effect: &Effect,
        origin: &Origin,
        now: DateTime<Utc>,
    ) {
        match effect {
            Effect::Run(kind) => transition.jobs.push(job_now(id, *kind, origin, true, now)),
            Effect::Wake { job, at } => {
                let timer = job_now(id, *job, origin, true, now);
                transition.jobs.push(job_at(timer, *at));
            }
            Effect::NoteFailedAttempt(account_id) => transition.failed_attempts.push(NewFailedAttempt {
                id,
                account_id: account_id.to_string(),
                at_ms: milliseconds(now),
            }),
            Effect::Mail(mail) => write_mail(transition, id, mail, origin, now),
            Effect::IssueLink { purpose, valid_until } => {
                let (purpose, account_id) = match purpose {
                    LinkPurpose::EmailVerification => (PURPOSE_EMAIL, None),
                    LinkPurpose::Decision(da) => (PURPOSE_DECISION, Some(da.to_string())),
                };
                let issued = self.link_keys.issue(purpose, id, self.environment.random());
                transition.links.push(NewLink {
                    id,
                    registration_id: origin.registration_id.clone().unwrap_or_default(),
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
            } => {
                transition.appointments.push(NewAppointment {
                    id,
                    account_id: account_id.to_string(),
                    organization_id: organization_id.to_string(),
                    registration_id: origin.registration_id.clone(),
                    appointed_ms: milliseconds(now),
                });
                if let Due::Wait(first) = terms::due(Duration::ZERO, 0, &self.rules) {
                    let reminder = job_now(id, JobKind::Terms, origin, false, now);
                    transition.jobs.push(job_at(reminder, now + first));
                }
            }
            Effect::Grant {
                account_id,
                organization_id,
                access,
            } => {
                transition.grants.push(NewGrant {
                    id,
                    registration_id: origin.registration_id.clone(),
                    account_id: account_id.to_string(),
                    organization_id: organization_id.to_string(),
                    access: access.as_str(),
                    granted_ms: milliseconds(now),
                });
                for target in &self.rules.targets {
                    let sync = sync_id(id, target);
                    transition.syncs.push(NewSync {
                        id: sync,
                        grant_id: id,
                        target: target.clone(),
                        updated_ms: milliseconds(now),
                    });
                    transition
                        .jobs
                        .push(job_now(sync, JobKind::ProvisioningSync, origin, false, now));
                }
            }
            Effect::EndAppointment {
                account_id,
                organization_id,
            } => transition.ended_appointments.push(EndedAppointment {
                account_id: account_id.to_string(),
                organization_id: organization_id.to_string(),
                ended_ms: milliseconds(now),
            }),
            Effect::EndGrant { grant_id } => transition.ended_grants.push(EndedGrant {
                id: *grant_id,
                ended_ms: milliseconds(now),
                ended_by: origin.by.clone(),
                trace: origin.trace.to_string(),
            }),
            Effect::AcceptTerms {
                account_id,
                organization_id,
            } => transition.accepted_terms.push(AcceptedTerms {
                account_id: account_id.to_string(),
                organization_id: organization_id.to_string(),
                accepted_ms: milliseconds(now),
            }),
            Effect::RecheckDa(da) => transition.jobs.push(NewJob {
                account_id: Some(da.to_string()),
                ..job_now(id, JobKind::DaRouting, &Origin::alone(origin.trace), false, now)
            }),
            Effect::Suppress(address) => transition.suppressions.push(NewSuppression {
                address_digest: address_digest(address),
                masked: address.to_string(),
                since_ms: milliseconds(now),
            }),
            Effect::Alert(alert) => self.write_alert(transition, id, alert, origin, now),
        }
    }

    /// An alert goes out as an event, and as a mail: one for all of a kind within an hour.
    pub(super) fn write_alert(
        &self,
        transition: &mut Transition,
        id: Uuid,
        alert: &Alert,
        origin: &Origin,
        now: DateTime<Utc>,
    ) {
        metrics::alerted(alert.code);
        transition.notices.push(NewNotice {
            body: alert_event(id, alert, origin, now),
        });
        if self.ops.is_some() {
            let mail = Mail {
                alert: Some(alert.clone()),
                ..Mail::new(MailKind::OpsAlert, Recipient::Ops)
            };
            let id = alert_mail_id(alert, now);
            transition.once.push(mail_rows(id, &mail, origin, now));
        }
    }
}

/// What jobs and mails belong to.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The registration, if it is one's.
    pub(super) registration_id: Option<String>,
    /// The step that it is at.
    pub(super) step: i64,
    /// The DA whose doing it is, if it is one's.
    pub(super) by: Option<String>,
    /// The trace.
    pub(super) trace: Trace,
}

impl Origin {
    fn of(registration: &Registration, trace: Trace) -> Self {
        Self {
            registration_id: Some(registration.id.to_string()),
            step: i64::from(registration.step),
            ..Self::alone(trace)
        }
    }

    /// No registration's.
    pub(super) const fn alone(trace: Trace) -> Self {
        Self {
            registration_id: None,
            step: 0,
            by: None,
            trace,
        }
    }
}

/// The transition that settles `cause`, so far.
fn settled(cause: &Cause) -> Transition {
    match cause {
        Cause::Inbox { inbox, .. } => Transition {
            inbox: Some(inbox.clone()),
            ..Transition::default()
        },
        Cause::Job { job, besides, .. } => Transition {
            job: Some(job.clone()),
            ..(**besides).clone()
        },
        Cause::Link { .. } => Transition::default(),
    }
}

fn guard(tree: Tree, transition: &Transition) -> TreeGuard {
    let raises = !(transition.appointments.is_empty()
        && transition.grants.is_empty()
        && transition.ended_appointments.is_empty()
        && transition.ended_grants.is_empty());
    TreeGuard {
        root_id: tree.root.into(),
        epoch: tree.epoch,
        raises,
    }
}

/// A mail's record, and the job that sends it.
pub(super) fn write_mail(transition: &mut Transition, id: Uuid, mail: &Mail, origin: &Origin, now: DateTime<Utc>) {
    let (job, record) = mail_rows(id, mail, origin, now);
    transition.jobs.push(job);
    transition.mails.push(record);
}

/// The job is not cancelled with its step: it notes why the mail was not sent.
fn mail_rows(id: Uuid, mail: &Mail, origin: &Origin, now: DateTime<Utc>) -> (NewJob, NewMail) {
    let job = job_now(id, mail.kind.job(), origin, false, now);
    let record = NewMail {
        id,
        kind: mail.kind.as_str(),
        registration_id: origin.registration_id.clone(),
        step: origin.step,
        recipient: serde_json::to_string(mail).expect("a mail has string keys only"),
        created_ms: milliseconds(now),
    };
    (job, record)
}

fn job_now(id: Uuid, kind: JobKind, origin: &Origin, step_bound: bool, now: DateTime<Utc>) -> NewJob {
    NewJob {
        id,
        kind: kind.as_str(),
        registration_id: origin.registration_id.clone(),
        account_id: None,
        step: origin.step,
        step_bound,
        state: "queued",
        run_no: 1,
        run_at_ms: milliseconds(now),
        queued_ms: Some(milliseconds(now)),
        created_ms: milliseconds(now),
        trace: origin.trace.to_string(),
    }
}

/// The same job, due later.
fn job_at(job: NewJob, at: DateTime<Utc>) -> NewJob {
    NewJob {
        state: "scheduled",
        run_no: 0,
        run_at_ms: milliseconds(at),
        queued_ms: None,
        ..job
    }
}

/// The CloudEvent `registration.changed` (contract, section 2).
fn changed_event(registration: &Registration, trace: Trace, now: DateTime<Utc>) -> String {
    let id = format!("{}:{}", registration.id, registration.version);
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "/enrolld",
        "type": "registration.changed",
        "subject": registration.id,
        "time": now.to_rfc3339_opts(SecondsFormat::Millis, true),
        "traceparent": trace.traceparent(&id),
        "datacontenttype": "application/json",
        "data": RegistrationChanged::new(registration),
    });
    event.to_string()
}

/// The CloudEvent `ops.alert` (contract, section 2).
fn alert_event(id: Uuid, alert: &Alert, origin: &Origin, now: DateTime<Utc>) -> String {
    let registration = origin.registration_id.as_deref();
    let registration = registration.and_then(|id| RegistrationId::new(id).ok());
    let subject = origin
        .registration_id
        .as_deref()
        .or(alert.account_id.as_ref().map(AccountId::as_str))
        .unwrap_or("enrolld");
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "/enrolld",
        "type": "ops.alert",
        "subject": subject,
        "time": now.to_rfc3339_opts(SecondsFormat::Millis, true),
        "datacontenttype": "application/json",
        "data": OpsAlert::new(alert, registration),
    });
    event.to_string()
}
