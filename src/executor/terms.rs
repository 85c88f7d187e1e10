//! Job `terms`: reminds a DA of the terms, and in the end tells ops (D15).

use std::time::Duration;

use enrolld_jobs::{
    effect::{Alert, AlertCode, Delegation, Mail, MailKind, Recipient, terms_mail_id},
    job::{Failure, Outcome},
    terms::{self, Due},
    trace::Trace,
    values::{AccountId, OrganizationId},
};
use uuid::Uuid;

use super::{
    Executor,
    run::{Ran, trace_of, troubled},
    write::{Origin, write_mail},
};
use crate::store::{
    entities::{appointment, job},
    moment,
    transition::{TermsWrite, Transition},
};

impl Executor {
    /// Sends what is due, and comes back for what is due next.
    pub(super) async fn remind_of_terms(&self, row: &job::Model) -> Ran {
        let Ok(id) = Uuid::parse_str(&row.id) else {
            return fail("the job's id is none");
        };
        let appointment = match self.0.store.appointment(id).await {
            Ok(Some(appointment)) => appointment,
            Ok(None) => return fail("the job's appointment is gone"),
            Err(error) => return troubled(&error.into()).into(),
        };
        if appointment.terms_accepted_ms.is_some() {
            return Outcome::Done(Some("the terms are accepted".to_owned())).into();
        }
        if appointment.ended_ms.is_some() {
            return Outcome::Done(Some("the appointment has ended".to_owned())).into();
        }
        let (Ok(da), Ok(organization)) = (
            AccountId::new(appointment.account_id.as_str()),
            OrganizationId::new(appointment.organization_id.as_str()),
        ) else {
            return fail("the job's appointment cannot be read");
        };
        self.terms_due(id, &appointment, &da, &organization, trace_of(row))
    }

    fn terms_due(
        &self,
        id: Uuid,
        appointment: &appointment::Model,
        da: &AccountId,
        organization: &OrganizationId,
        trace: Trace,
    ) -> Ran {
        let now = self.now();
        let elapsed = (now - moment(appointment.appointed_ms)).to_std().unwrap_or_default();
        let sent = u32::try_from(appointment.terms_sent).unwrap_or(u32::MAX);
        let origin = Origin {
            registration_id: appointment.registration_id.clone(),
            ..Origin::alone(trace)
        };
        let mut besides = Transition::default();
        match terms::due(elapsed, sent, &self.0.rules) {
            Due::Wait(until) => snooze(until.saturating_sub(elapsed), "it is not time yet").into(),
            Due::Over => Outcome::Done(None).into(),
            Due::Reminder(number) => {
                let mail = Mail {
                    delegation: Some(Delegation {
                        organization_id: organization.clone(),
                        change: None,
                    }),
                    ..Mail::new(MailKind::TermsReminder, Recipient::Account(da.clone()))
                };
                write_mail(&mut besides, terms_mail_id(id, number), &mail, &origin, now);
                besides.terms = Some(TermsWrite {
                    id,
                    sent: i64::from(number),
                });
                let next = match terms::due(elapsed, number, &self.0.rules) {
                    Due::Wait(until) => until.saturating_sub(elapsed),
                    Due::Reminder(_) | Due::Notice | Due::Over => Duration::ZERO,
                };
                Ran {
                    besides,
                    ..snooze(next, "the DA was reminded").into()
                }
            }
            Due::Notice => {
                let alert = Alert {
                    code: AlertCode::TermsNotAccepted,
                    group: da.to_string(),
                    message: format!(
                        "DA {da} of organization {organization} has not accepted the terms and conditions"
                    ),
                    job: None,
                    account_id: Some(da.clone()),
                    organization_id: Some(organization.clone()),
                };
                let all = terms::all_sent(&self.0.rules);
                self.0
                    .write_alert(&mut besides, terms_mail_id(id, all), &alert, &origin, now);
                besides.terms = Some(TermsWrite {
                    id,
                    sent: i64::from(all),
                });
                Ran {
                    besides,
                    ..Outcome::Done(Some("ops were told".to_owned())).into()
                }
            }
        }
    }
}

fn snooze(span: Duration, note: &str) -> Outcome {
    Outcome::Snooze(span, note.to_owned())
}

fn fail(message: &str) -> Ran {
    Outcome::Fail(Failure::new("unreadable", message)).into()
}
