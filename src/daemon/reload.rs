//! SIGHUP: the daemon reads its settings again. What can change while it works is taken; of everything else that has changed the
//! log says that it takes a restart. Settings at fault change nothing.

use std::fmt;

use tokio::signal::unix::Signal;

use super::systemd::Systemd;
use crate::{
    logging::Filter,
    settings::{Settings, SettingsError},
};

/// The one key that is taken.
const FILTER: &str = "log.filter";

/// How to read the settings again, and what to do with them.
pub struct Reload {
    /// Reads them from where they were read at the start.
    pub read: Box<dyn Fn() -> Result<Settings, SettingsError> + Send + Sync>,
    /// Of the daemon's log.
    pub filter: Filter,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Reads the settings again at each signal; `settings` are those that the daemon was started with.
    pub(super) async fn whenever_told(self, settings: Settings, mut told: Signal, systemd: Systemd) {
        let mut filter = settings.log.filter.clone();
        while told.recv().await.is_some() {
            systemd.reloads(|| match (self.read)() {
                Ok(new) => {
                    if new.log.filter != filter {
                        self.filter.set(&new.log.filter);
                        filter.clone_from(&new.log.filter);
                        tracing::info!(filter, "log.filter is another one from now on");
                    }
                    remark(&settings, &new);
                    true
                }
                Err(error) => {
                    tracing::error!(%error, "the settings cannot be used; those of before hold");
                    false
                }
            });
        }
    }
}

/// Tells what holds only after a restart: the settings are compared with those of the start, so that nothing is forgotten.
fn remark(started_with: &Settings, new: &Settings) {
    let keys = waiting(started_with.differences(new));
    if keys.is_empty() {
        tracing::info!("the settings were read again");
    } else {
        let keys = keys.join(", ");
        tracing::warn!(
            keys,
            "the settings were read again; these have changed, and hold after a restart"
        );
    }
}

fn waiting(mut changed: Vec<String>) -> Vec<String> {
    changed.retain(|key| key != FILTER);
    changed
}
