//! What systemd is told (`sd_notify(3)`): how far the start is, that the daemon lives, that it stops, and a line for people
//! (`systemctl status`). Where no systemd listens, nothing is told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sd_notify::NotifyState;

/// Time asked for while the start waits; longer than any one try of what it waits for.
const TIME_TO_START: Duration = Duration::from_mins(1);

/// Time asked for whenever a job has ended during the drain.
const TIME_TO_DRAIN: Duration = Duration::from_secs(15);

/// The service manager. Clones tell the same one.
#[derive(Debug, Clone)]
pub struct Systemd(Option<Arc<Mutex<Told>>>);

/// What it knows already.
#[derive(Debug)]
struct Told {
    stage: Stage,
    status: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Stopping,
}

impl Systemd {
    /// The one that started this process, if one did (`NOTIFY_SOCKET`).
    pub fn of_this_process() -> Self {
        Self(Some(Arc::new(Mutex::new(Told {
            stage: Stage::Starting,
            status: String::new(),
        }))))
    }

    /// For a daemon that is not the process itself: it tells nobody.
    pub const fn none() -> Self {
        Self(None)
    }

    /// It waits for `what`. A start may take longer for that; a daemon that has started stays started, since it goes on by itself.
    pub(super) fn waits_for(&self, what: &str) {
        self.with(|told| {
            if told.stage == Stage::Stopping {
                return;
            }
            let mut news = told.status(format!("waiting for {what}"));
            if told.stage == Stage::Starting {
                news.push(extend(TIME_TO_START));
            }
            send(&news);
        });
    }

    /// It works; the first time the start is over.
    pub(super) fn works(&self, status: String) {
        self.with(|told| {
            if told.stage == Stage::Stopping {
                return;
            }
            let mut news = told.status(status);
            if told.stage == Stage::Starting {
                told.stage = Stage::Ready;
                news.push(NotifyState::Ready.to_string());
            }
            send(&news);
        });
    }

    /// The settings are read again by `reload`. In the start, and in the end, that is nothing to tell.
    pub(super) fn reloads(&self, reload: impl FnOnce()) {
        let is_ready = self.with(|told| told.stage == Stage::Ready).unwrap_or_default();
        if !is_ready {
            reload();
            return;
        }
        let now = NotifyState::monotonic_usec_now();
        let now = now.map(|now| now.to_string());
        self.with(|_| send(&[vec![NotifyState::Reloading.to_string()], now.into_iter().collect()].concat()));
        reload();
        self.with(|told| {
            if told.stage == Stage::Ready {
                send(&[NotifyState::Ready.to_string()]);
            }
        });
    }

    /// It stops, and says what it does about it.
    pub(super) fn stops(&self, status: String) {
        self.with(|told| {
            told.stage = Stage::Stopping;
            let mut news = told.status(status);
            news.push(NotifyState::Stopping.to_string());
            send(&news);
        });
    }

    /// Jobs have ended while it drains: it is worth waiting for the others.
    pub(super) fn drains(&self, status: String) {
        self.with(|told| {
            let mut news = told.status(status);
            news.push(extend(TIME_TO_DRAIN));
            send(&news);
        });
    }

    /// Everything goes round.
    pub(super) fn lives(&self) {
        self.with(|_| send(&[NotifyState::Watchdog.to_string()]));
    }

    fn with<T>(&self, tell: impl FnOnce(&mut Told) -> T) -> Option<T> {
        let told = self.0.as_ref()?;
        Some(tell(&mut told.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Told {
    /// The line for people, where it is another one than before.
    fn status(&mut self, status: String) -> Vec<String> {
        if status == self.status {
            return Vec::new();
        }
        let line = NotifyState::Status(&status).to_string();
        self.status = status;
        vec![line]
    }
}

fn extend(time: Duration) -> String {
    let time = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    NotifyState::ExtendTimeoutUsec(time).to_string()
}

fn send(news: &[String]) {
    let news: Vec<_> = news.iter().map(|line| NotifyState::Custom(line)).collect();
    if !news.is_empty()
        && let Err(error) = sd_notify::notify(&news)
    {
        tracing::debug!(%error, "systemd could not be told");
    }
}
