//! Whether Redis can be reached, and what of its answers says that it cannot.

use std::time::Duration;

use redis::{ErrorKind, RedisError};
use tokio::time::Instant;

/// Whether Redis can be reached, as the last operation saw it. Idle readers ask four times a second, busy or paused ones do not:
/// whoever judges by this calls [`Redis::takes_writes`](super::Redis::takes_writes) first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether the last operation reached Redis. False before the first one.
    pub reachable: bool,
    /// When Redis was last known or taken to be away: at the start, at a failure, and at the first success after one.
    pub last_unreachable: Instant,
    /// Whether it was found to be a replica: it answers, and takes nothing.
    is_replica: bool,
}

impl Health {
    /// Before the first operation.
    pub(super) fn unknown() -> Self {
        Self {
            reachable: false,
            last_unreachable: Instant::now(),
            is_replica: false,
        }
    }

    /// Whether Redis is reachable and has been for `span`. Nobody claims entries of others before it was so for a
    /// visibility time: their owners may be alive and just as cut off as we were.
    pub fn reachable_for(&self, span: Duration) -> bool {
        self.reachable && self.last_unreachable.elapsed() >= span
    }

    /// An operation has failed, since Redis is away. Tells whether that is new.
    pub(super) fn lost(&mut self) -> bool {
        self.last_unreachable = Instant::now();
        std::mem::take(&mut self.reachable)
    }

    /// An operation has succeeded. Tells whether that is new; a replica goes on answering what changes nothing.
    pub(super) fn reached(&mut self) -> bool {
        if self.reachable || self.is_replica {
            return false;
        }
        self.last_unreachable = Instant::now();
        self.reachable = true;
        true
    }

    /// It is known whether it is a replica.
    pub(super) fn replica(&mut self, is_replica: bool) {
        self.is_replica = is_replica;
    }
}

/// What a replica answers to whatever changes something.
const READ_ONLY: &str = "READONLY";

/// What Redis answers while it cannot serve: it loads, has lost its primary, is a replica (or has just become one), or moves slots.
const AWAY: [&str; 6] = [
    READ_ONLY,
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "UNBLOCKED",
];

/// Whether the error says that Redis cannot serve now, rather than that it refused this command.
pub(super) fn means_away(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::AuthenticationFailed)
        || codes(error).iter().any(|code| AWAY.contains(&code.as_str()))
}

/// Whether the error says that this is a replica.
pub(super) fn means_replica(error: &RedisError) -> bool {
    codes(error).iter().any(|code| code == READ_ONLY)
}

/// The codes that Redis answered with: several, where commands went out together.
fn codes(error: &RedisError) -> Vec<String> {
    let errors = error.clone().into_server_errors();
    let errors = errors.iter().flat_map(|errors| errors.iter());
    errors.map(|(_, error)| error.code().to_owned()).collect()
}
