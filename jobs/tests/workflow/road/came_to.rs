//! What a decision came to, read from its effects.

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    decide::Decision,
    effect::{Effect, MailKind, Recipient},
    job::JobKind,
};

/// The mails of a decision, in order, with whom they go to.
pub(crate) fn mails(decision: &Decision) -> Vec<(MailKind, String)> {
    let mails = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Mail(mail) => Some((
            mail.kind,
            match &mail.to {
                Recipient::Applicant => "the applicant".to_owned(),
                Recipient::Agents => "the agents".to_owned(),
                Recipient::Supervisor => "the supervisor".to_owned(),
                Recipient::Ops => "ops".to_owned(),
                Recipient::Account(id) => id.to_string(),
            },
        )),
        _ => None,
    });
    mails.collect()
}

/// The one mail of a decision.
pub(crate) fn mail(decision: &Decision) -> (MailKind, String) {
    let mut mails = mails(decision);
    assert_eq!(mails.len(), 1, "{mails:?}");
    mails.remove(0)
}

/// What a decision gives or appoints to.
pub(crate) fn gives(decision: &Decision) -> Vec<&Effect> {
    let gives = |effect: &&Effect| matches!(effect, Effect::Appoint { .. } | Effect::Grant { .. });
    decision.effects.iter().filter(gives).collect()
}

/// The effects that are neither mails nor timers.
pub(crate) fn acts(decision: &Decision) -> Vec<&Effect> {
    let acts = |effect: &&Effect| !matches!(effect, Effect::Mail(_) | Effect::Wake { .. });
    decision.effects.iter().filter(acts).collect()
}

/// When a decision has the daemon woken.
pub(crate) fn wakes(decision: &Decision) -> Vec<(JobKind, DateTime<Utc>)> {
    let wakes = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Wake { job, at } => Some((*job, *at)),
        _ => None,
    });
    wakes.collect()
}
