//! Job `provisioning_sync`: drives one grant to what is wanted at one target (D11).

use enrolld_jobs::{
    event::{Event, Synced},
    job::{Failure, Outcome},
    ports::Provisioner as _,
    provisioning_sync::{Answer, Call, Phase, Progress, SyncedGrant, Wanted, first_call, idempotency_key, progress},
    trace::Trace,
    values::{AccountId, OrganizationId},
};
use uuid::Uuid;

use super::{
    Executor,
    delegating::access_named,
    run::{Ran, trace_of, troubled},
};
use crate::{
    spans::{Kind, Span},
    store::{
        entities::{grant, job, sync},
        milliseconds,
        transition::{GrantGuard, SyncWrite, Transition},
    },
};

/// Calls in one run at most: asking, and putting right what the answer shows (`provisioning_sync`'s tests prove it).
const MAX_CALLS: usize = 2;

impl Executor {
    /// Calls the target until what is wanted is there, or it has to be waited for.
    pub(super) async fn sync(&self, row: &job::Model) -> Ran {
        let Ok(id) = Uuid::parse_str(&row.id) else {
            return fail("unreadable", "the job's id is none");
        };
        let (sync, grant) = match self.0.store.sync(id).await {
            Ok(Some(found)) => found,
            Ok(None) => return fail("unreadable", "what the job is to bring to a target is gone"),
            Err(error) => return troubled(&error.into()).into(),
        };
        let (Some(synced), Some(phase)) = (readable(&grant), Phase::from_name(&sync.phase)) else {
            return fail("unreadable", "the grant, or how far it has come, cannot be read");
        };
        self.drive(&sync, &grant, &synced, phase, trace_of(row)).await
    }

    async fn drive(
        &self,
        sync: &sync::Model,
        grant: &grant::Model,
        synced: &SyncedGrant,
        mut phase: Phase,
        trace: Trace,
    ) -> Ran {
        let wanted = if grant.ended_ms.is_none() {
            Wanted::Present
        } else {
            Wanted::Absent
        };
        let mut losses = sync.losses;
        let mut call = first_call(wanted, phase);
        for number in 1..=MAX_CALLS {
            let key = idempotency_key(synced.id, losses);
            let begun = self.now();
            let Some(answer) = self.0.targets.call(&sync.target, call, synced, &key).await else {
                let message = format!("provisioning.targets has no target {:?} any more", sync.target);
                return fail("target_unknown", &message);
            };
            let has_answered = !matches!(answer, Answer::NotNow { .. });
            self.0.services.called(&format!("target {}", sync.target), has_answered);
            self.0.spans.record(|| Span {
                parent: trace,
                own: trace.part(&format!("call/{number}")),
                name: call.method().into(),
                kind: Kind::Client,
                begun,
                ended: self.now(),
                attributes: vec![
                    ("enrolld.target", sync.target.clone()),
                    ("enrolld.grant.id", sync.grant_id.clone()),
                ],
                error: answer.class().map(str::to_owned),
            });
            let besides = |phase, losses| self.besides(sync, grant, phase, losses);
            match progress(wanted, call, answer) {
                Progress::Reached(reached) => return confirmed(sync, grant, synced, besides(reached, losses), wanted),
                Progress::Poll(reached) => {
                    let note = format!("{} is at it", sync.target);
                    return Ran {
                        besides: besides(reached, losses),
                        ..Outcome::Snooze(self.0.provisioning_poll, note).into()
                    };
                }
                Progress::Next(next) => {
                    if next == Call::Put {
                        // It had it, or said so. From here on it is another putting.
                        losses += i64::from(call == Call::Get);
                        phase = Phase::New;
                    }
                    call = next;
                }
                Progress::NotNow { problem, retry_after } => {
                    let failure = Failure {
                        retry_after,
                        ..Failure::new("target_unavailable", format!("{}: {problem}", sync.target))
                    };
                    return Ran {
                        besides: besides(phase, losses),
                        ..Outcome::Unavailable(failure).into()
                    };
                }
                // Of what is not wanted any more a refusal says nothing either.
                Progress::Refused { status, detail } => {
                    return Ran {
                        besides: besides(phase, losses),
                        ..refused(sync, synced, status, &detail)
                    };
                }
            }
        }
        // Every other answer has ended the run.
        let failure = Failure::new("target_unavailable", format!("{} contradicts itself", sync.target));
        Outcome::Unavailable(failure).into()
    }

    /// How far it has come; holds only if the grant is still wanted, or not, as it was.
    fn besides(&self, sync: &sync::Model, grant: &grant::Model, phase: Phase, losses: i64) -> Transition {
        let (Ok(id), Ok(grant_id)) = (Uuid::parse_str(&sync.id), Uuid::parse_str(&grant.id)) else {
            return Transition::default();
        };
        Transition {
            sync: Some(SyncWrite {
                id,
                phase: phase.as_str(),
                losses,
                updated_ms: milliseconds(self.now()),
            }),
            grant: Some(GrantGuard {
                id: grant_id,
                is_open: grant.ended_ms.is_none(),
            }),
            ..Transition::default()
        }
    }
}

fn fail(class: &'static str, message: &str) -> Ran {
    Outcome::Fail(Failure::new(class, message)).into()
}

fn confirmed(sync: &sync::Model, row: &grant::Model, grant: &SyncedGrant, besides: Transition, wanted: Wanted) -> Ran {
    let outcome = match wanted {
        Wanted::Present => Some(Synced::Confirmed),
        Wanted::Absent => taken_back(row),
    };
    Ran {
        besides,
        event: outcome.map(|outcome| synced(sync, grant, outcome)),
        ..Outcome::Done(None).into()
    }
}

/// What a DA took back while it was being set up ends the registration; what an agent took back has ended it.
fn taken_back(row: &grant::Model) -> Option<Synced> {
    let by = AccountId::new(row.ended_by.as_deref()?).ok()?;
    Some(Synced::TakenBack { by })
}

fn refused(sync: &sync::Model, grant: &SyncedGrant, status: u16, detail: &str) -> Ran {
    let message = format!("{} refuses with {status}: {detail}", sync.target);
    Ran {
        event: Some(synced(sync, grant, Synced::Refused { status })),
        ..Outcome::Fail(Failure::new("target_refused", message)).into()
    }
}

fn synced(sync: &sync::Model, grant: &SyncedGrant, outcome: Synced) -> Event {
    Event::Synced {
        grant_id: grant.id,
        target: sync.target.clone(),
        outcome,
    }
}

fn readable(grant: &grant::Model) -> Option<SyncedGrant> {
    Some(SyncedGrant {
        id: Uuid::parse_str(&grant.id).ok()?,
        account_id: AccountId::new(grant.account_id.as_str()).ok()?,
        organization_id: OrganizationId::new(grant.organization_id.as_str()).ok()?,
        access: access_named(&grant.access)?,
    })
}
