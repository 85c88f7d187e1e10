//! Moments, as people read them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::store::moment;

/// How long ago `at` is, or how far ahead, in its largest unit: `3m ago`, `in 2d`.
pub(super) fn relative(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let length = |span: TimeDelta| match span.num_seconds() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        // "36h" says more than "1d".
        seconds @ 3_600..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    };
    if at > now {
        format!("in {}", length(at - now))
    } else {
        format!("{} ago", length(now - at))
    }
}

/// [`relative`], for a moment as the database keeps it.
pub(super) fn relative_ms(now: DateTime<Utc>, ms: i64) -> String {
    relative(now, moment(ms))
}

/// `2026-11-22 09:00:01 UTC (3m ago)`.
pub(super) fn exact(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    format!("{} ({})", at.format("%Y-%m-%d %H:%M:%S UTC"), relative(now, at))
}

/// [`exact`], for a moment as the database keeps it.
pub(super) fn exact_ms(now: DateTime<Utc>, ms: i64) -> String {
    exact(now, moment(ms))
}

/// For programs: RFC 3339 with milliseconds.
pub(super) fn rfc3339(ms: i64) -> String {
    moment(ms).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_tells() {
        let now = moment(1_700_000_000_000);
        for (seconds_ago, text) in [
            (0, "0s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (3_599, "59m ago"),
            (3_600, "1h ago"),
            (172_799, "47h ago"),
            (172_800, "2d ago"),
            (-90, "in 1m"),
        ] {
            assert_eq!(relative(now, now - TimeDelta::seconds(seconds_ago)), text);
        }
    }
}
