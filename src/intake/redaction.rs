//! Keeps the tokens of links out of what is kept and announced (D7): in the place of a token its digest stands. The digest opens
//! nothing, since what comes in as a token is always digested.
//!
//! A token may also stand where none belongs: under another name, in the link that it was part of, or in what nobody can read. So
//! of an event that verifies an e-mail every text is digested but the attributes of its envelope, and in any event what follows
//! `/verify/` and `/decide/`.

use std::ops::Range;

use enrolld_jobs::{
    cloud_event::MAX_EVENT_BYTES,
    trace::{self, Trace},
};
use serde_json::Value;

use crate::links;

/// The attributes of an envelope, which are no place for a token.
const ENVELOPE: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
];

/// How many characters a token has: 32 bytes in base64url.
const TOKEN_CHARS: usize = 43;

/// How a text that may be a token becomes its digest.
type Digest = fn(&str) -> String;

/// An event that was read: as it came, but for the texts that may be tokens.
pub(super) fn of_event(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let Ok(mut event) = serde_json::from_str::<Value>(&text) else {
        return text.into_owned();
    };
    let mut found = Vec::new();
    let is_verification = verifies_email(&event);
    for (name, value) in event.as_object_mut().into_iter().flatten() {
        if !is_envelope(name, value) {
            redact(value, is_verification, links::digest, &mut found);
        }
    }
    // JSON may say the same member twice; only what is read is kept, then.
    if found.is_empty() && scan(bytes) == bytes {
        return text.into_owned();
    }
    event.to_string()
}

/// What was not read as an event: byte for byte as it came, but for what may be a token, however broken what is around it, and in
/// JSON within JSON, too.
pub(super) fn of_bytes(bytes: &[u8]) -> Vec<u8> {
    let scanned = scan(bytes);
    // What is too large is not read, by nobody.
    let read = (bytes.len() <= MAX_EVENT_BYTES).then(|| serde_json::from_slice::<Value>(&scanned));
    if let Some(Ok(mut event)) = read {
        let mut found = Vec::new();
        redact(&mut event, false, digest_once, &mut found);
        return replaced(scanned, &found, &event);
    }
    if mentions_verification(&String::from_utf8_lossy(&scanned)) {
        return without_runs(&scanned);
    }
    scanned
}

/// `bytes` with the texts that were `found` digested in their places; where that cannot be done without harm to the rest, `event`
/// in our own writing.
fn replaced(bytes: Vec<u8>, found: &[(String, String)], event: &Value) -> Vec<u8> {
    if found.is_empty() {
        return bytes;
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    for (token, digest) in found {
        text = text.replace(&quoted(token), &quoted(digest));
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(same) if same == *event => text.into_bytes(),
        _ => event.to_string().into_bytes(),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Whether this is an event that verifies an e-mail, if perhaps a broken one.
fn verifies_email(event: &Value) -> bool {
    event["type"].as_str().is_some_and(mentions_verification)
}

/// Whether what was refused is of no use without a token, which is not kept. Of what nobody can read that is said of whatever
/// seems to be an event that verifies an e-mail.
pub(super) fn needs_token(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(event) => verifies_email(&event),
        Err(_) => mentions_verification(&String::from_utf8_lossy(bytes)),
    }
}

/// Slips of the pen are to be expected, where something was refused.
fn mentions_verification(text: &str) -> bool {
    let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
    letters.to_ascii_lowercase().contains("emailverif")
}

/// Digests what may be a token in `value`: every text if `all`, else those of members `token`, and what follows `/verify/` and
/// `/decide/`. What was changed, and into what, is `found`.
fn redact(value: &mut Value, all: bool, digest: Digest, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => {
            let redacted = redacted_text(text, all, digest);
            if redacted != *text {
                found.push((std::mem::replace(text, redacted.clone()), redacted));
            }
        }
        Value::Array(items) => {
            for item in items {
                redact(item, all, digest, found);
            }
        }
        Value::Object(_) => {
            let is_verification = verifies_email(value);
            for (name, member) in value.as_object_mut().into_iter().flatten() {
                let is_data = is_verification && !is_envelope(name, member);
                let is_token = name.eq_ignore_ascii_case("token");
                redact(member, all || is_data || is_token, digest, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a member is of an envelope, and no place for a token. A trace is one only if it is well-formed, as no token is, and ends
/// where the version ends that we know: what a later one adds may be anything.
fn is_envelope(name: &str, value: &Value) -> bool {
    let is_known = |text: &str| text.len() == trace::HEAD_CHARS && Trace::of_traceparent(text).is_some();
    let is_trace = || value.as_str().is_some_and(is_known);
    ENVELOPE.contains(&name) || name == "traceparent" && is_trace()
}

fn redacted_text(text: &str, all: bool, digest: Digest) -> String {
    // JSON as a text.
    if text.trim_start().starts_with(['{', '['])
        && let Ok(mut within) = serde_json::from_str::<Value>(text)
    {
        let mut found = Vec::new();
        redact(&mut within, all, digest, &mut found);
        return if found.is_empty() {
            text.to_owned()
        } else {
            within.to_string()
        };
    }
    let scanned = String::from_utf8_lossy(&scan(text.as_bytes())).into_owned();
    // A link is of more use with its address.
    if !all || text.is_empty() || find_path(text.as_bytes()).is_some() {
        return scanned;
    }
    digest(text)
}

/// What has been digested already stays; no token looks like that.
fn digest_once(text: &str) -> String {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_digest {
        text.to_owned()
    } else {
        links::digest(text)
    }
}

/// Digests the text of every member `token`, and what follows `/verify/` and `/decide/`, without reading what is around it.
pub(super) fn scan(bytes: &[u8]) -> Vec<u8> {
    digested(&digested(bytes, find_token), find_path)
}

/// Digests whatever has the length and the letters of a token.
fn without_runs(bytes: &[u8]) -> Vec<u8> {
    digested(bytes, |rest| {
        let mut from = 0;
        for run in rest.split(|byte| !is_token_letter(*byte)) {
            if run.len() == TOKEN_CHARS {
                return Some(from..from + run.len());
            }
            from += run.len() + 1;
        }
        None
    })
}

fn is_token_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn digested(bytes: &[u8], find: impl Fn(&[u8]) -> Option<Range<usize>>) -> Vec<u8> {
    let mut redacted = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(token) = find(rest) {
        redacted.extend_from_slice(&rest[..token.start]);
        let digest = digest_once(&String::from_utf8_lossy(&rest[token.clone()]));
        redacted.extend_from_slice(digest.as_bytes());
        rest = &rest[token.end..];
    }
    redacted.extend_from_slice(rest);
    redacted
}

/// Where the last part of the first link's path stands.
fn find_path(bytes: &[u8]) -> Option<Range<usize>> {
    const NAME_BYTES: usize = 6;
    let mut from = 0;
    loop {
        let is_name = |window: &[u8]| matches!(window, b"verify" | b"decide");
        from += bytes[from..].windows(NAME_BYTES).position(is_name)?;
        let (before, after) = (&bytes[..from], from + NAME_BYTES);
        from = after;
        if !SLASHES.iter().any(|slash| ends_with(before, slash)) {
            continue;
        }
        let Some(start) = after_slash(bytes, after) else {
            continue;
        };
        let is_of_it = |byte: &u8| is_token_letter(*byte) || matches!(byte, b'%' | b'~' | b'=' | b'+');
        let end = start + bytes[start..].iter().take_while(|byte| is_of_it(byte)).count();
        // The portal's own path may have the same name.
        if is_name(&bytes[start..end]) && after_slash(bytes, end).is_some() {
            from = start;
            continue;
        }
        if start < end {
            return Some(start..end);
        }
    }
}

/// Where it goes on after a slash that stands at `at`. In JSON within JSON, backslashes stand before it.
fn after_slash(bytes: &[u8], at: usize) -> Option<usize> {
    let at = at + bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
    let mut slashes = ["/", "u002f", "%2f"].iter();
    slashes
        .find(|slash| starts_with(&bytes[at..], slash))
        .map(|slash| at + slash.len())
}

/// How a slash may be written in JSON and in the query of a URL.
const SLASHES: [&str; 3] = ["/", "\\u002f", "%2f"];

fn ends_with(bytes: &[u8], end: &str) -> bool {
    let at = bytes.len().checked_sub(end.len());
    at.is_some_and(|at| bytes[at..].eq_ignore_ascii_case(end.as_bytes()))
}

fn starts_with(bytes: &[u8], start: &str) -> bool {
    let begin = bytes.get(..start.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
}

/// Where the text of the first member `token` stands.
fn find_token(bytes: &[u8]) -> Option<Range<usize>> {
    const NAME: &[u8] = b"\"token";
    let mut from = 0;
    loop {
        let is_name = |window: &[u8]| window.eq_ignore_ascii_case(NAME);
        from += bytes[from..].windows(NAME.len()).position(is_name)? + NAME.len();
        if let Some(text) = text_after(bytes, from) {
            return Some(text);
        }
    }
}

/// The text of the member whose name ends at `at`, before the quotation mark; `None` if its value is no text, or empty. In JSON
/// within JSON, backslashes stand before the quotation marks.
fn text_after(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let skip = |at: usize, is: fn(&u8) -> bool| at + bytes[at..].iter().take_while(|byte| is(byte)).count();
    let expect = |at: usize, expected: u8| (bytes.get(at) == Some(&expected)).then_some(at + 1);
    let is_backslash = |byte: &u8| *byte == b'\\';
    let colon = skip(expect(skip(at, is_backslash), b'"')?, u8::is_ascii_whitespace);
    let value = skip(expect(colon, b':')?, u8::is_ascii_whitespace);
    let start = expect(skip(value, is_backslash), b'"')?;
    // Where it is cut off, all that is left belongs to it.
    let mut end = skip(start, |byte| *byte != b'"');
    while end > start && bytes[end - 1] == b'\\' {
        end -= 1;
    }
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `text` becomes, with `TOKEN` for the token and `DIGEST` for its digest.
    fn redacted(text: &str) -> String {
        let token = "q1_A-z9";
        let bytes = of_bytes(text.replace("TOKEN", token).as_bytes());
        let text = String::from_utf8(bytes).expect("what was text stays text");
        text.replace(token, "TOKEN").replace(&links::digest(token), "DIGEST")
    }

    #[test]
    fn d7_a_token_is_found_whatever_is_around_it() {
        for (text, expected) in [
            (r#"{"data":{"token":"TOKEN"}}"#, r#"{"data":{"token":"DIGEST"}}"#),
            ("{\"token\" :\n \"TOKEN\" }", "{\"token\" :\n \"DIGEST\" }"),
            // Cut off behind it, and within it.
            (r#"{"data":{"token":"TOKEN""#, r#"{"data":{"token":"DIGEST""#),
            (r#"{"data":{"token":"TOKEN"#, r#"{"data":{"token":"DIGEST"#),
            // More than one.
            (
                r#"{"token":"TOKEN","token":"TOKEN"}"#,
                r#"{"token":"DIGEST","token":"DIGEST"}"#,
            ),
            // JSON as a text, and once more.
            (
                r#"{"data":"{\"token\":\"TOKEN\"}"}"#,
                r#"{"data":"{\"token\":\"DIGEST\"}"}"#,
            ),
            (
                r#""{\\\"token\\\":\\\"TOKEN\\\"}""#,
                r#""{\\\"token\\\":\\\"DIGEST\\\"}""#,
            ),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
    }

    #[test]
    fn d7_a_link_opens_nothing_wherever_it_stands() {
        for (text, expected) in [
            (
                r#"{"reason":"see https://x.example/decide/TOKEN, and http://x/verify/TOKEN."}"#,
                r#"{"reason":"see https://x.example/decide/DIGEST, and http://x/verify/DIGEST."}"#,
            ),
            (
                r#"{"u":"http:\/\/x\/verify\/TOKEN"}"#,
                r#"{"u":"http:\/\/x\/verify\/DIGEST"}"#,
            ),
            (
                r#"{"u":"http:\u002F\u002fx\u002fverify\u002fTOKEN"}"#,
                r#"{"u":"http:\u002F\u002fx\u002fverify\u002fDIGEST"}"#,
            ),
            ("/p?to=%2Fverify%2FTOKEN&x=1", "/p?to=%2Fverify%2FDIGEST&x=1"),
            // Cut off.
            ("http://x/verify/TOKEN", "http://x/verify/DIGEST"),
            ("http://x/verify/verify/TOKEN", "http://x/verify/verify/DIGEST"),
            (
                r"http:\/\/x\/decide\/verify\/TOKEN",
                r"http:\/\/x\/decide\/verify\/DIGEST",
            ),
            (r#"{"Token" : "TOKEN""#, r#"{"Token" : "DIGEST""#),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
        for text in [
            "/verify/",
            "/verify",
            "verify/TOKEN",
            "/verify/{token}",
            "/verifying/TOKEN",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn d7_of_an_event_that_verifies_an_email_every_text_may_be_the_token() {
        for (text, expected) in [
            // Spaces and order stay.
            (
                r#"{"type": "registration.email_verified", "id":"e", "data": {"Tokn":"TOKEN"}}"#,
                r#"{"type": "registration.email_verified", "id":"e", "data": {"Tokn":"DIGEST"}}"#,
            ),
            (
                r#"{"type":"registration.email_verified","data":"TOKEN"}"#,
                r#"{"type":"registration.email_verified","data":"DIGEST"}"#,
            ),
            (
                r#"{"type":"email-verified","tokens":["TOKEN"],"data":null}"#,
                r#"{"type":"email-verified","tokens":["DIGEST"],"data":null}"#,
            ),
            (
                r#"{"payload":"{\"data\":{\"x\":\"TOKEN\"},\"type\":\"registration.email_verified\"}"}"#,
                r#"{"payload":"{\"data\":{\"x\":\"DIGEST\"},\"type\":\"registration.email_verified\"}"}"#,
            ),
        ] {
            assert_eq!(redacted(text), expected, "{text}");
        }
        // A text that is a name, too: then it is written anew.
        let event = r#"{"type":"registration.email_verified", "data":{"x":"data"}}"#;
        let kept = String::from_utf8(of_bytes(event.as_bytes())).expect("UTF-8");
        let digest = links::digest("data");
        assert_eq!(
            kept,
            format!(r#"{{"data":{{"x":"{digest}"}},"type":"registration.email_verified"}}"#)
        );
        // Unreadable: whatever looks like a token.
        let token = "q1_A-z9".repeat(7)[..TOKEN_CHARS].to_owned();
        let event = format!(r#"{{"id":"e","type":"registration.email_verified","data":{{"x":"{token}"#);
        let kept = String::from_utf8(of_bytes(event.as_bytes())).expect("UTF-8");
        assert_eq!(kept, event.replace(&token, &links::digest(&token)));
    }

    #[test]
    fn what_is_no_token_stays() {
        for text in [
            "",
            r#"{"data":{"token":""}}"#,
            r#"{"data":{"token":null,"tokens":"TOKEN"}}"#,
            r#"{"data":{"token":7}}"#,
            r#"{"reason":"token","why":"TOKEN"}"#,
            r#"["token","TOKEN"]"#,
            r#"{"token"#,
            r#"{"token":"#,
            r#"{"token":""#,
        ] {
            assert_eq!(redacted(text), text);
        }
        assert_eq!(of_bytes(b"\xff\"token\":\xfe"), b"\xff\"token\":\xfe");
    }

    #[test]
    fn d7_an_event_that_was_read_keeps_the_digest_alone() {
        // Names may be written in other ways, too: what counts is what is read.
        let event = of_event(r#"{"id":"e","data":{"\u0074oken":"a\u002db","more":1}}"#.as_bytes());
        let event: Value = serde_json::from_str(&event).expect("JSON");
        assert_eq!(
            event,
            serde_json::json!({"id": "e", "data": {"token": links::digest("a-b"), "more": 1}})
        );
        assert_eq!(of_event(br#"{ "data":{"x":1}}"#), r#"{ "data":{"x":1}}"#);
        // What is the digest of a token is no token: it is digested like any other.
        let digest = links::digest("a-b");
        let event = of_event(format!(r#"{{"data":{{"token":"{digest}"}}}}"#).as_bytes());
        assert!(!event.contains(&digest), "{event}");
    }

    #[test]
    fn d7_a_trace_stays_and_a_token_in_its_place_does_not() {
        const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let event = |trace: &str| {
            let event = serde_json::json!({"type": "registration.email_verified", "traceparent": trace, "data": {"token": "t"}});
            of_event(event.to_string().as_bytes())
        };
        assert!(event(TRACE).contains(TRACE));
        assert!(!event(&format!("cc{}-SECRET", &TRACE[2..])).contains("SECRET"));
        assert!(!event("Zk3vQ9xW1rTb7Yc5Lp8Nd2Hs6Jf4Gm0KaVeUiOyRtEw").contains("Zk3v"));
    }

    #[test]
    fn d7_an_event_that_was_read_keeps_no_token_that_nobody_asked_for() {
        let event = r#"{"id":"e","type":"registration.email_verified","data":{"token":"a","Token":"SECRET-1","url":"http://x/verify/SECRET-2"}}"#;
        assert!(!of_event(event.as_bytes()).contains("SECRET"));
        let event = r#"{"id":"e","type":"registration.da_decided","data":{"reason":"http://x/decide/SECRET"}}"#;
        assert!(!of_event(event.as_bytes()).contains("SECRET"));
        let event = r#"{"id":"e","data":{"token":"SECRET"},"data":{"x":1}}"#;
        assert_eq!(of_event(event.as_bytes()), r#"{"data":{"x":1},"id":"e"}"#);
    }
}
