//! What an answer means, and what is said where there is none (contract, section 5).

use std::{error::Error, time::Duration};

use chrono::{DateTime, Utc};
use enrolld_jobs::provisioning_sync::Answer;
use reqwest::{StatusCode, header::HeaderValue};

use super::CONNECT_TIMEOUT;
use crate::mail::loggable;

/// Longest text of a target or an error that is repeated, in characters.
const MAX_DETAIL_CHARS: usize = 200;

/// The target's fault, which has asked for no time in particular.
pub(super) fn not_now(problem: impl Into<String>) -> Answer {
    Answer::NotNow {
        problem: problem.into(),
        retry_after: None,
    }
}

/// What `status` means; `said` is the body that came with it.
pub(super) fn read(status: StatusCode, retry_after: Option<Duration>, said: &str) -> Answer {
    let hint = match status.as_u16() {
        202 => return Answer::Accepted,
        200..=299 => return Answer::Done,
        404 => return Answer::Missing,
        401 | 403 => "; check the target's token",
        300..=399 => ", a redirection, which is not followed; check the target's url",
        408 | 425 | 429 | 500..=599 => "",
        status @ 400..=499 => {
            let detail = match loggable(said, MAX_DETAIL_CHARS) {
                said if said.is_empty() => "no reason given".to_owned(),
                said => said,
            };
            return Answer::Refused { status, detail };
        }
        _ => ", which is no answer to such a call",
    };
    Answer::NotNow {
        problem: format!("it answered {}{hint}", status.as_u16()),
        retry_after,
    }
}

/// The wait that a `Retry-After` asks for, in seconds or until a date. `None` where it asks for none at all: without a
/// pause a failing target would be called without end.
pub(super) fn retry_after(value: &HeaderValue, now: DateTime<Utc>) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = DateTime::parse_from_rfc2822(text).ok()?;
        until.to_utc().signed_duration_since(now).to_std().ok()?
    };
    (!wait.is_zero()).then_some(wait)
}

/// What went wrong on the way; neither address nor header.
pub(super) fn failure(error: &reqwest::Error) -> String {
    let kind = match (error.is_connect(), error.is_timeout()) {
        (true, true) => return format!("no connection within {CONNECT_TIMEOUT:?}"),
        (true, false) => "no connection",
        (false, _) => "the connection broke before the answer was there",
    };
    format!("{kind}: {}", root_cause(error))
}

/// What lies at the bottom of an error: the layers above it only say that something failed, and name the address.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    loggable(&cause.to_string(), MAX_DETAIL_CHARS)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn meaning(status: u16) -> Answer {
        read(StatusCode::from_u16(status).unwrap(), None, "no such organization")
    }

    #[test]
    fn d11_every_status_has_the_meaning_of_the_contract() {
        for status in 100..1000 {
            let answer = meaning(status);
            let fits = match status {
                202 => answer == Answer::Accepted,
                200..=299 => answer == Answer::Done,
                404 => answer == Answer::Missing,
                400..=499 if ![401, 403, 408, 425, 429].contains(&status) => {
                    let detail = "no such organization".to_owned();
                    answer == Answer::Refused { status, detail }
                }
                _ => matches!(answer, Answer::NotNow { .. }),
            };
            assert!(fits, "{status}: {answer:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_ahead() {
        let now = Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).unwrap();
        let wait = |text: &'static str| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(wait("120"), Some(Duration::from_mins(2)));
        assert_eq!(wait("Sun, 22 Nov 2026 09:00:30 GMT"), Some(Duration::from_secs(30)));
        for nothing in [
            "0",
            "-3",
            "soon",
            "",
            "1.5",
            "99999999999999999999999",
            "Sun, 22 Nov 2026 08:59:00 GMT",
            "Sun, 22 Nov 2026 09:00:00 GMT",
            "Sun, 99 Nov 2026 09:00:30 GMT",
        ] {
            assert_eq!(wait(nothing), None, "{nothing}");
        }
    }
}
