//! Keeps the tokens of links out of what is kept and announced (D7): in the place of a token its digest stands. The digest opens
//! nothing, since what comes in as a token is always digested.

use std::ops::Range;

use serde_json::Value;

use crate::links;

/// An event that was read: as it came, but for the token at the place where it is read from.
pub(super) fn of_event(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(mut event) = serde_json::from_str::<Value>(&text)
        && let Some(Value::String(token)) = event.pointer_mut("/data/token")
    {
        *token = links::digest(token);
        return event.to_string();
    }
    text.into_owned()
}

/// What was not read as an event: byte for byte as it came, but for the text of every member `token`, however broken what is
/// around it, and in JSON within JSON, too.
pub(super) fn of_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut redacted = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(token) = find_token(rest) {
        redacted.extend_from_slice(&rest[..token.start]);
        let digest = links::digest(&String::from_utf8_lossy(&rest[token.clone()]));
        redacted.extend_from_slice(digest.as_bytes());
        rest = &rest[token.end..];
    }
    redacted.extend_from_slice(rest);
    redacted
}

/// Where the text of the first member `token` stands.
fn find_token(bytes: &[u8]) -> Option<Range<usize>> {
    const NAME: &[u8] = b"\"token";
    let mut from = 0;
    while let Some(at) = bytes[from..].windows(NAME.len()).position(|window| window == NAME) {
        from += at + NAME.len();
        if let Some(text) = text_after(bytes, from) {
            return Some(text);
        }
    }
    None
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
    }
}
