//! A period with an end: the loop of a background task.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::progress;

/// Ticks at once and then once a period, until the stop. After a tick that took long, the next comes a period later.
#[derive(Debug)]
pub struct Ticks {
    interval: Interval,
    stop: CancellationToken,
}

impl Ticks {
    /// Ticks every `period` until `stop`.
    pub fn new(period: Duration, stop: &CancellationToken) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            interval,
            stop: stop.clone(),
        }
    }

    /// Waits for the next tick; `false` at the stop. The part whose task this is goes round meanwhile.
    pub async fn next(&mut self) -> bool {
        let tick = async {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => false,
                _ = self.interval.tick() => true,
            }
        };
        progress::while_idle(tick).await
    }
}
