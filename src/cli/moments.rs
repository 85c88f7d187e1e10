//! Moments, as people read them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};

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

/// A moment as people write it: in full, or so long before `now`.
///
/// # Errors
/// When it is none; the words say what one looks like.
pub(super) fn parse(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let plain = text.trim_end_matches("UTC").trim_end();
    for form in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(plain, form) {
            return Ok(at.and_utc());
        }
    }
    if let Ok(day) = plain.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let span = text.strip_suffix("ago").unwrap_or(text).trim_end();
    let span = humantime::parse_duration(span)
        .ok()
        .and_then(|span| TimeDelta::from_std(span).ok());
    span.and_then(|span| now.checked_sub_signed(span)).ok_or_else(|| {
        "not a moment: it looks like \"2h ago\", \"2026-11-22 09:00\" (in UTC) or 2026-11-22T09:00:00Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_full_or_as_a_span_of_time() {
        let now = moment(1_795_000_000_000);
        let read = |text: &str| parse(text, now).map(|at| at.to_rfc3339());
        for text in [
            "2026-11-22T09:00:00Z",
            "2026-11-22T10:00:00+01:00",
            "2026-11-22 09:00",
            " 2026-11-22 09:00:00 UTC ",
        ] {
            assert_eq!(read(text), Ok("2026-11-22T09:00:00+00:00".to_owned()), "{text}");
        }
        assert_eq!(read("2026-11-22"), Ok("2026-11-22T00:00:00+00:00".to_owned()));
        for text in ["2h ago", "2h", "120m ago", "1h 60m ago"] {
            assert_eq!(parse(text, now), Ok(now - TimeDelta::hours(2)), "{text}");
        }
        for text in ["", "ago", "yesterday", "2026-13-01", "-2h", "9999999999999y"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

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
