//! What is recorded whatever the registration waits for: the state stays as it is, save for a verification mail that came back
//! (D22).

use super::{Case, Decided, bounces};
use crate::{
    effect::{Alert, AlertCode, Effect},
    event::Aside,
};

pub(super) fn noted(case: &Case<'_>, aside: &Aside) -> Decided {
    match aside {
        Aside::JobDied { job, kind, class } => {
            if case.registration.dead_jobs.contains(job) {
                return Decided::Ignored;
            }
            let mut change = case.change();
            change.registration.dead_jobs.push(*job);
            let alert = Alert {
                code: AlertCode::JobDead,
                group: format!("{}/{class}", kind.as_str()),
                message: format!(
                    "job {} of registration {} is dead: {class}",
                    kind.as_str(),
                    case.registration.id
                ),
                job: Some(*job),
                account_id: None,
                organization_id: None,
            };
            change
                .detail("job", job.to_string())
                .detail("kind", kind.as_str())
                .detail("error", class.as_str())
                .effect(Effect::Alert(alert))
                .decided()
        }
        Aside::JobRevived { job } => {
            if !case.registration.dead_jobs.contains(job) {
                return Decided::Ignored;
            }
            let mut change = case.change();
            change.registration.dead_jobs.retain(|dead| dead != job);
            change.detail("job", job.to_string()).decided()
        }
        Aside::MailBounced(bounce) => bounces::bounced(case, bounce),
    }
}
