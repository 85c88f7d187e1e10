//! Refusals in words, for who gave the command.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::output::printable;

/// The reason as the contract names it, and what there is to say about it.
pub(super) fn told(reason: &str, detail: &Map<String, Value>) -> String {
    let mut told = reason.to_owned();
    let code = text(detail, "code");
    if code != told {
        write!(told, " ({code})").expect("a String takes any text");
    }
    for (key, value) in detail.iter().filter(|(key, _)| *key != "code") {
        match value.as_str() {
            Some(text) if key == "message" => write!(told, ": {}", printable(text)),
            _ => write!(told, ", {key} {value}"),
        }
        .expect("a String takes any text");
    }
    told
}

/// Why an event that a command has sent for a registration was refused, and what to do about it.
pub(super) fn explained(reason: &str, detail: &Map<String, Value>) -> String {
    let organization = || printable(text(detail, "organization_id"));
    match text(detail, "code") {
        "wrong_state" => format!("it is {} by now", printable(text(detail, "state"))),
        "organization_unknown" => {
            format!(
                "there is no organization {}; `enrolld directory export` has them",
                organization()
            )
        }
        "no_reachable_da" => format!(
            "no DA of {} can be reached; name another organization, or appoint",
            organization()
        ),
        "daily_limit" => format!(
            "the applicant has to verify their address first, and the mails of today are used up; possible from {} on",
            printable(text(detail, "retry_at"))
        ),
        "only_reject" => "access is granted already, and being set up: now it can only be rejected".to_owned(),
        _ => told(reason, detail),
    }
}

fn text<'a>(detail: &'a Map<String, Value>, key: &str) -> &'a str {
    detail.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_is_told_as_it_is() {
        let detail = |detail: Value| detail.as_object().cloned().expect("an object");
        let unknown = detail(json!({"code": "moon_phase", "moon": "new", "message": "wait\u{1b}[2J"}));
        assert_eq!(
            explained("not_allowed", &unknown),
            "not_allowed (moon_phase): wait\\u{1b}[2J, moon \"new\""
        );
        let known = detail(json!({"code": "wrong_state", "state": "active"}));
        assert_eq!(explained("not_allowed", &known), "it is active by now");
        assert_eq!(explained("malformed", &Map::new()), "malformed ()");
    }
}
