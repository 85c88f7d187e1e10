//! Trying again, for as long as it takes, what cannot be done while something is away.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::progress;

/// The first wait, from which on they double.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait: what is there again is seen that soon.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The waits between the tries of one thing. Whoever waits like this is no part of the daemon that stands still ([`progress`]):
/// each try has an end of its own.
#[derive(Debug)]
pub(crate) struct Patience(ExponentialBackoff);

impl Default for Patience {
    fn default() -> Self {
        let waits = ExponentialBuilder::new()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .without_max_times();
        Self(waits.build())
    }
}

impl Patience {
    /// Waits before another try.
    pub(crate) async fn rest(&mut self) {
        progress::goes_round();
        tokio::time::sleep(self.0.next().unwrap_or(LONGEST_WAIT)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::progress::{Progress, STANDSTILL};

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest() {
        let mut patience = Patience::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            patience.rest().await;
            // Timers are a millisecond late.
            waits.push(begun.elapsed().as_millis() / 10 * 10);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_tries_again_for_hours_does_not_stand_still() {
        let progress = Progress::default();
        let trying = tokio::spawn(progress.watch("notices", async {
            let mut patience = Patience::default();
            loop {
                patience.rest().await;
            }
        }));
        for _ in 0..60 {
            tokio::time::sleep(STANDSTILL).await;
            assert!(progress.standing_still(Instant::now()).is_empty());
        }
        trying.abort();
    }
}
