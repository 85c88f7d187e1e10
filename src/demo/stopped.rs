//! The demo is told to stop: by Ctrl-C, by `kill`, or because its terminal is gone. Its daemon and Redis must not outlive it.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::signal::unix::{self, SignalKind, signal};

/// What told it to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Hangup,
    Interrupt,
    Terminate,
}

/// The signals that end the demo, from now on told to it instead.
pub(super) struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// The demo was stopped before its end; its daemon and Redis have ended.
#[derive(Debug, thiserror::Error)]
#[error("stopped before the end; nothing runs any more, and {} may be removed", folder.display())]
pub struct Stopped {
    signal: Signal,
    folder: PathBuf,
}

impl Stopped {
    pub(super) fn by(signal: Signal, folder: &Path) -> Self {
        Self {
            signal,
            folder: folder.to_owned(),
        }
    }

    /// As a shell tells the end by a signal: 128 and its number.
    pub const fn exit_status(&self) -> u8 {
        128 + match self.signal {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Terminate => 15,
        }
    }
}
