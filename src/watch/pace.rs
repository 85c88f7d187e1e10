//! How often something may be done that takes the longer the more there is.

use tokio::time::Instant;

/// Of the time, at most one part in so many is spent on it.
const SHARE: u32 = 100;

/// Lets at most a hundredth of the time go into something: what takes 0.2 s is done every 20 s.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// Whether it is time.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// It was begun at `begun`, and is done `now`.
    pub(super) fn took(&mut self, begun: Instant, now: Instant) {
        self.next = Some(now + (now - begun) * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_takes_long_is_done_seldom() {
        let begun = Instant::now();
        let done = begun + Duration::from_millis(200);
        let mut pace = Pace::default();
        assert!(pace.is_due(begun));
        pace.took(begun, done);
        assert!(!pace.is_due(done + Duration::from_millis(19_900)));
        assert!(pace.is_due(done + Duration::from_secs(20)));
    }
}
