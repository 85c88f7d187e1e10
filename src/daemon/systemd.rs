//! What systemd is told (`sd_notify(3)`): how far the start is, that the daemon lives, that it stops, and a line for people
//! (`systemctl status`). Where no systemd listens, nothing is told.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sd_notify::NotifyState;

/// Time asked for while the start waits; longer than any one try of what it waits for.
const TIME_TO_START: Duration = Duration::from_mins(1);

/// Time asked for whenever a job has ended during the drain.
const TIME_TO_DRAIN: Duration = Duration::from_secs(15);

/// At the end of the line for people.
const BAD_SETTINGS: &str = "; the settings as they are now cannot be used, see the log";

/// The service manager. Clones tell the same one.
#[derive(Debug, Clone)]
pub struct Systemd(Option<Arc<Mutex<Told>>>);

/// Tells news, a line each.
type Tell = Box<dyn Fn(&[String]) + Send>;

/// What it knows already, and how it is told more.
struct Told {
    tell: Tell,
    stage: Stage,
    status: String,
    /// Whether the settings could not be used when they were read last.
    has_bad_settings: bool,
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
        Self::told_by(notify)
    }

    /// One that is told its news, a line each, by `tell`.
    pub(super) fn told_by(tell: impl Fn(&[String]) + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(Told {
            tell: Box::new(tell),
            stage: Stage::Starting,
            status: String::new(),
            has_bad_settings: false,
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
            told.send(&news);
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
            told.send(&news);
        });
    }

    /// The settings are read again by `reload`, which tells whether they can be used; if not, so does the line for people from now on.
    pub(super) fn reloads(&self, reload: impl FnOnce() -> bool) {
        self.with(|told| {
            if told.stage == Stage::Ready {
                let now = NotifyState::monotonic_usec_now().map(|now| now.to_string());
                told.send(&[vec![NotifyState::Reloading.to_string()], now.into_iter().collect()].concat());
            }
        });
        let is_sound = reload();
        self.with(|told| {
            let plain = told.status.trim_end_matches(BAD_SETTINGS).to_owned();
            told.has_bad_settings = !is_sound;
            let mut news = told.status(plain);
            // In the start, and in the end, that is not the word for it.
            if told.stage == Stage::Ready {
                news.push(NotifyState::Ready.to_string());
            }
            told.send(&news);
        });
    }

    /// It stops, and says what it does about it.
    pub(super) fn stops(&self, status: String) {
        self.with(|told| {
            told.stage = Stage::Stopping;
            let mut news = told.status(status);
            news.push(NotifyState::Stopping.to_string());
            told.send(&news);
        });
    }

    /// Jobs have ended while it drains: it is worth waiting for the others.
    pub(super) fn drains(&self, status: String) {
        self.with(|told| {
            let mut news = told.status(status);
            news.push(extend(TIME_TO_DRAIN));
            told.send(&news);
        });
    }

    /// Everything goes round.
    pub(super) fn lives(&self) {
        self.with(|told| told.send(&[NotifyState::Watchdog.to_string()]));
    }

    fn with<T>(&self, tell: impl FnOnce(&mut Told) -> T) -> Option<T> {
        let told = self.0.as_ref()?;
        Some(tell(&mut told.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Told {
    fn send(&self, news: &[String]) {
        if !news.is_empty() {
            (self.tell)(news);
        }
    }

    /// The line for people, where it is another one than before.
    fn status(&mut self, mut status: String) -> Vec<String> {
        if self.has_bad_settings {
            status.push_str(BAD_SETTINGS);
        }
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

/// Over the socket that systemd listens at, if one does.
fn notify(news: &[String]) {
    let news: Vec<_> = news.iter().map(|line| NotifyState::Custom(line)).collect();
    if let Err(error) = sd_notify::notify(&news) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
