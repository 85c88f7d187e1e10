//! People take jobs out: they cancel what has not begun, and discard what is dead. Its registration is told in the same
//! transaction, so that it is no case of the agents any more (D22).

use enrolld_jobs::{
    event::{Aside, Event},
    giving_up::{awaited, not_cancelled},
    job::JobKind,
};
use uuid::Uuid;

use super::{
    Applied, DECIDE_TRIES, Executor, Trouble,
    run::{by_job, registration_of},
    send::untouched,
};
use crate::store::{
    entities::job,
    interventions::{Action, NewIntervention, Order},
    milliseconds,
    transition::{JobWrite, MailWrite, Transition, Verdict},
};

/// How a job is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivingUp {
    /// One that has not begun, or is to be tried again.
    Cancel,
    /// One that is dead.
    Discard,
}

/// What has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenUp {
    /// The job is taken out.
    Done,
    /// It is left as it is; says why.
    Left(String),
}

impl GivingUp {
    /// The states of jobs that it is for.
    pub const fn states(self) -> &'static [&'static str] {
        match self {
            Self::Cancel => &["scheduled", "retrying", "queued"],
            Self::Discard => &["dead"],
        }
    }

    /// The state that a job is in afterwards.
    pub const fn state(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Discard => "discarded",
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::Cancel => Action::Cancel,
            Self::Discard => Action::Discard,
        }
    }
}

impl Executor {
    /// Takes a job out, unless somebody waits for it.
    ///
    /// # Errors
    /// When it cannot be done now.
    pub async fn give_up(&self, id: Uuid, how: GivingUp, order: &Order) -> Result<GivenUp, Trouble> {
        for _ in 0..DECIDE_TRIES {
            let Some(row) = self.0.store.job(id).await? else {
                return Ok(GivenUp::Left("there is no such job".to_owned()));
            };
            if let Some(why) = self.kept_because(&row, how).await? {
                return Ok(GivenUp::Left(why));
            }
            if self.take_out(id, &row, how, order).await? {
                return Ok(GivenUp::Done);
            }
        }
        Err(Trouble::Contention(format!("job {id}")))
    }

    /// Why it must stay, if it must.
    async fn kept_because(&self, row: &job::Model, how: GivingUp) -> Result<Option<String>, Trouble> {
        if !how.states().contains(&row.state.as_str()) {
            let states = how.states().join(", ");
            return Ok(Some(format!("it is {}, and only what is {states} can be", row.state)));
        }
        let Some(kind) = JobKind::from_name(&row.kind) else {
            return Ok(Some("it is of a later release".to_owned()));
        };
        let registration = match registration_of(row) {
            Some(id) => self.0.store.registration(&id).await?,
            None => None,
        };
        let bound_to = row.step_bound.then(|| u32::try_from(row.step).unwrap_or_default());
        let why = match how {
            GivingUp::Cancel => not_cancelled(kind, bound_to, registration.as_ref()),
            GivingUp::Discard => awaited(kind, bound_to, registration.as_ref()),
        };
        Ok(why.map(str::to_owned))
    }

    /// Writes it; `false` when the job is in another run or state by now.
    async fn take_out(&self, id: Uuid, row: &job::Model, how: GivingUp, order: &Order) -> Result<bool, Trouble> {
        let write = JobWrite {
            state: how.state(),
            finished_ms: Some(milliseconds(order.at)),
            // Whoever ran it last did; nobody has now.
            daemon_id: row.daemon_id.clone(),
            note: Some(order.note()),
            ..self.job_write(row)
        };
        let besides = Transition {
            intervention: Some(NewIntervention::new(id, how.action(), order)),
            mail: self.0.store.mail(id).await?.map(|_| MailWrite {
                state: "skipped",
                note: Some(format!("{} {}", how.state(), order.note())),
                ..untouched(id)
            }),
            ..Transition::default()
        };
        if let Some(registration) = registration_of(row) {
            let event = Event::Aside(Aside::JobRevived { job: id });
            let cause = by_job(row, write.clone(), besides.clone());
            match Box::pin(self.apply(&registration, &event, &cause)).await? {
                Applied::Changed(_) => return Ok(true),
                Applied::Dropped(_) => return Ok(false),
                // It knows nothing of this job.
                Applied::Ignored | Applied::Refused(_) => {}
            }
        }
        let transition = Transition {
            job: Some(write),
            ..besides
        };
        Ok(self.0.store.commit(transition).await? == Verdict::Applied)
    }
}
