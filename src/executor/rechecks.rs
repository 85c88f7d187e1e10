//! Looks whether the DAs whom registrations wait for can still be reached (D2).

use enrolld_jobs::{
    event::Event,
    job::{Failure, Outcome},
    trace::Trace,
    values::{AccountId, RegistrationId},
};

use super::{Cause, Executor, Trouble, run::troubled};

/// Registrations looked at in one go.
const CHUNK: u64 = 200;

impl Executor {
    /// Looks at one registration; what follows belongs to `trace`.
    ///
    /// # Errors
    /// When it cannot be looked at now.
    pub async fn recheck(&self, id: &str, trace: Trace) -> Result<(), Trouble> {
        let Ok(id) = RegistrationId::new(id) else {
            return Ok(());
        };
        self.apply(&id, &Event::Recheck, &Cause::Link { trace }).await?;
        Ok(())
    }

    /// Looks at every registration that waits for `da`: something has become of them.
    pub(super) async fn recheck_waiting_for(&self, da: &str, trace: Trace) -> Outcome {
        let Ok(da) = AccountId::new(da) else {
            return Outcome::Fail(Failure::new("unreadable", "the job's account has no valid id"));
        };
        let mut after = String::new();
        loop {
            let ids = match self.0.store.ids_waiting_for(&da, &after, CHUNK).await {
                Ok(ids) => ids,
                Err(error) => return troubled(&error.into()),
            };
            let Some(last) = ids.last() else {
                return Outcome::Done(None);
            };
            after.clone_from(last);
            for id in &ids {
                if let Err(trouble) = self.recheck(id, trace).await {
                    return troubled(&trouble);
                }
            }
        }
    }
}
