//! Time and randomness come in through one trait, so that nothing else in the daemon reads a clock or a generator.

use std::fmt::Debug;

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

/// What a process takes from the world around it.
pub trait Environment: Debug + Send + Sync {
    /// The time, in whole milliseconds: what the database keeps is what decisions saw.
    fn now(&self) -> DateTime<Utc>;

    /// 256 unpredictable bits, for nonces and keys.
    fn random(&self) -> [u8; 32];

    /// An unpredictable id, for a process or a write; ids of effects are derived instead.
    fn random_id(&self) -> Uuid {
        let random = self.random();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&random[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A number from 0 to 1, for jitter.
    fn jitter(&self) -> f64 {
        f64::from(self.random()[0]) / 255.0
    }
}

/// The machine's clock and generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Environment for System {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that draws randomness")]
    fn random(&self) -> [u8; 32] {
        rand::random()
    }
}
