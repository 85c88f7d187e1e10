//! Whether the services that some jobs need have answered lately: the mail server, and the targets of provisioning.
//!
//! Nobody asks them for this alone: it is noted when a job has called one. Whatever waits for a service tries it again at most a minute
//! apart, so that a failure is renewed for as long as work waits, and what is older counts no more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// For how long a failure counts: more than the longest wait for the next try, its time-out included.
const COUNTS_FOR: Duration = Duration::from_mins(3);

/// The mail server's name here.
pub const SMTP: &str = "smtp";

/// Which services did not answer when they were called last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Services(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Services {
    /// The service of this name was called, and has answered, or could not be used.
    pub fn called(&self, name: &str, has_answered: bool) {
        let mut away = self.locked();
        if has_answered {
            away.remove(name);
        } else {
            away.insert(name.to_owned(), Instant::now());
        }
    }

    /// Those that work waits for, by name.
    pub fn away(&self) -> Vec<String> {
        let mut away = self.locked();
        away.retain(|_, since| since.elapsed() < COUNTS_FOR);
        away.keys().cloned().collect()
    }

    /// What is behind the lock is whole at every moment.
    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_is_away_until_it_answers_or_nobody_needs_it_any_more() {
        let services = Services::default();
        for (name, has_answered) in [("collector", false), (SMTP, true), ("collector", false), ("crm", false)] {
            services.called(name, has_answered);
        }
        assert_eq!(services.clone().away(), ["collector", "crm"]);
        services.called("crm", true);
        tokio::time::advance(COUNTS_FOR / 2).await;
        assert_eq!(services.away(), ["collector"]);
        tokio::time::advance(COUNTS_FOR / 2).await;
        assert!(services.away().is_empty());
    }
}
