//! Job `provisioning_sync`: brings one grant to the state wanted at one target (D11; contract, section 5).
//!
//! There is one job for each grant and target. It looks at what is wanted when it runs, calls the target until that is reached, and
//! is done. It is queued again when something else is wanted, and by the daily reconciliation, which asks whether it still holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::values::{Access, AccountId, OrganizationId};

/// Longest wait before a target is called again, whatever it asks for with `Retry-After` (contract, section 5).
pub const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What a target is to have of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The access that was granted.
    Present,
    /// Nothing: it was taken back.
    Absent,
}

/// How far a grant has come at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is known to have arrived; something may have.
    New,
    /// The target has accepted it, and sets it up.
    Accepted,
    /// The target has it.
    Present,
    /// The target has accepted the removal, and carries it out.
    Removing,
    /// The target has it no more.
    Absent,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 5] = [Self::New, Self::Accepted, Self::Present, Self::Removing, Self::Absent];

    /// The name, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Accepted => "accepted",
            Self::Present => "present",
            Self::Removing => "removing",
            Self::Absent => "absent",
        }
    }

    /// The phase of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

/// A grant, as targets are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncedGrant {
    /// Its id: part of the address. Every granting has a new one.
    pub id: Uuid,
    /// Who has access.
    pub account_id: AccountId,
    /// Where it holds.
    pub organization_id: OrganizationId,
    /// What it is.
    pub access: Access,
}

/// A call of a target, at `{url}/grants/{grant_id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `PUT`: have it.
    Put,
    /// `GET`: do you have it?
    Get,
    /// `DELETE`: have it no more.
    Delete,
}

impl Call {
    /// The method of HTTP.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Put => "PUT",
            Self::Get => "GET",
            Self::Delete => "DELETE",
        }
    }
}

/// What a target answered, or what came instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 202: it is being done.
    Accepted,
    /// Any other 2xx: it is done, or there.
    Done,
    /// 404.
    Missing,
    /// The target's fault, or that of the way there: 401, 403, 408, 425, 429, 5xx, a redirection, no answer in time, no
    /// connection.
    NotNow {
        /// What happened, for people; no secret.
        problem: String,
        /// What the target asked for with `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Any other 4xx: the same call will never be taken.
    Refused {
        /// The status.
        status: u16,
        /// What the target said, for people; at most 200 characters.
        detail: String,
    },
}

impl Answer {
    /// The class of the error, where it is one.
    pub const fn class(&self) -> Option<&'static str> {
        match self {
            Self::Accepted | Self::Done | Self::Missing => None,
            Self::NotNow { .. } => Some("target_unavailable"),
            Self::Refused { .. } => Some("target_refused"),
        }
    }
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// What is wanted is there.
    Reached(Phase),
    /// The target is at it: ask again after `provisioning.poll`.
    Poll(Phase),
    /// Something else must be called at once.
    Next(Call),
    /// Call again later, without spending an attempt.
    NotNow {
        /// As in [`Answer::NotNow`].
        problem: String,
        /// As in [`Answer::NotNow`], at most [`LONGEST_WAIT`].
        retry_after: Option<Duration>,
    },
    /// The target refuses for good: agents and ops take over.
    Refused {
        /// The status.
        status: u16,
        /// What the target said.
        detail: String,
    },
}

/// The call with which a run begins.
pub const fn first_call(wanted: Wanted, phase: Phase) -> Call {
    match (wanted, phase) {
        (Wanted::Present, Phase::New | Phase::Removing | Phase::Absent) => Call::Put,
        (Wanted::Present, Phase::Accepted | Phase::Present) | (Wanted::Absent, Phase::Removing | Phase::Absent) => {
            Call::Get
        }
        (Wanted::Absent, Phase::New | Phase::Accepted | Phase::Present) => Call::Delete,
    }
}

/// What follows from the `answer` to `call`.
pub fn progress(wanted: Wanted, call: Call, answer: Answer) -> Progress {
    match (wanted, call, answer) {
        (_, _, Answer::NotNow { problem, retry_after }) => Progress::NotNow {
            problem,
            retry_after: retry_after.map(|wait| wait.min(LONGEST_WAIT)),
        },
        (_, _, Answer::Refused { status, detail }) => Progress::Refused { status, detail },
        // Where it is asked for it may well be missing; where it is to be put there is no such address.
        (_, Call::Put, Answer::Missing) => Progress::Refused {
            status: 404,
            detail: "there is nothing at the address; see the target's url".to_owned(),
        },
        (Wanted::Present, Call::Put | Call::Get, Answer::Done) => Progress::Reached(Phase::Present),
        (Wanted::Present, Call::Put | Call::Get, Answer::Accepted) => Progress::Poll(Phase::Accepted),
        (Wanted::Present, Call::Get, Answer::Missing) | (Wanted::Present, Call::Delete, _) => Progress::Next(Call::Put),
        (Wanted::Absent, Call::Delete, Answer::Done) | (Wanted::Absent, Call::Delete | Call::Get, Answer::Missing) => {
            Progress::Reached(Phase::Absent)
        }
        (Wanted::Absent, Call::Delete | Call::Get, Answer::Accepted) => Progress::Poll(Phase::Removing),
        (Wanted::Absent, Call::Get, Answer::Done) | (Wanted::Absent, Call::Put, _) => Progress::Next(Call::Delete),
    }
}

/// The idempotency key of a `PUT`: the same whenever the same putting is tried again, another once the target had it and lost
/// it; else a target that remembers keys would only repeat its first answer. `losses` counts those.
pub fn idempotency_key(grant: Uuid, losses: i64) -> String {
    if losses == 0 {
        grant.to_string()
    } else {
        format!("{grant}.{losses}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_a_target_that_forgot_is_told_again() {
        assert_eq!(first_call(Wanted::Present, Phase::Present), Call::Get);
        let lost = progress(Wanted::Present, Call::Get, Answer::Missing);
        assert_eq!(lost, Progress::Next(Call::Put));
        let put = progress(Wanted::Present, Call::Put, Answer::Done);
        assert_eq!(put, Progress::Reached(Phase::Present));
    }

    #[test]
    fn d11_what_was_taken_back_and_is_there_is_deleted_again() {
        assert_eq!(first_call(Wanted::Absent, Phase::Absent), Call::Get);
        assert_eq!(
            progress(Wanted::Absent, Call::Get, Answer::Done),
            Progress::Next(Call::Delete)
        );
        assert_eq!(
            progress(Wanted::Absent, Call::Delete, Answer::Missing),
            Progress::Reached(Phase::Absent)
        );
    }

    #[test]
    fn d11_what_may_have_arrived_is_deleted() {
        for phase in [Phase::New, Phase::Accepted, Phase::Present] {
            assert_eq!(first_call(Wanted::Absent, phase), Call::Delete);
        }
    }

    #[test]
    fn d11_a_target_cannot_ask_for_more_than_a_minute() {
        let answer = Answer::NotNow {
            problem: "it answered 429".to_owned(),
            retry_after: Some(Duration::from_hours(3)),
        };
        let Progress::NotNow { retry_after, .. } = progress(Wanted::Present, Call::Put, answer) else {
            panic!("it is not refused");
        };
        assert_eq!(retry_after, Some(LONGEST_WAIT));
    }

    #[test]
    fn d11_whatever_is_answered_each_run_ends() {
        // After a `Next` no answer asks for the call that came before: there is no loop within a run.
        let answers = [Answer::Accepted, Answer::Done, Answer::Missing];
        for wanted in [Wanted::Present, Wanted::Absent] {
            for phase in Phase::ALL {
                for first in &answers {
                    let Progress::Next(second) = progress(wanted, first_call(wanted, phase), first.clone()) else {
                        continue;
                    };
                    for answer in &answers {
                        let end = progress(wanted, second, answer.clone());
                        assert!(
                            !matches!(end, Progress::Next(_)),
                            "{wanted:?} {phase:?} {first:?} {answer:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_lost_grant_has_another_key_and_a_retry_the_same() {
        let grant = Uuid::from_u128(7);
        assert_eq!(idempotency_key(grant, 0), grant.to_string());
        assert_ne!(idempotency_key(grant, 1), idempotency_key(grant, 2));
    }
}
