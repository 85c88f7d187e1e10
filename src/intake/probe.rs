//! What holds of an entry of the stream, whatever is in it; see [`crate::probes`].

use enrolld_jobs::{
    cloud_event::{self, CloudEvent, MAX_EVENT_BYTES, UpstreamEvent},
    delegation,
    event::Event,
    values::AccountId,
};

use super::{
    entry::{Entry, Read},
    redaction,
};
use crate::store::inbox::NewRefused;

/// An entry is an event that can be read again when it is its turn, or a refusal that can be announced.
pub fn intake_entry(bytes: &[u8]) {
    check(bytes, Entry::of(&[(b"event", bytes)]).read());
    let (name, value) = bytes.split_at(bytes.len().min(5));
    check(value, Entry::of(&[(name, value)]).read());
}

fn check(bytes: &[u8], read: Read) {
    let kept = match read {
        Read::Refused(refused) => return check_refused(&refused),
        Read::Event(kept) => kept,
    };
    let came = cloud_event::parse(bytes).expect("it was read just now");
    let again = cloud_event::parse_kept(kept.body.as_bytes());
    let again = again.unwrap_or_else(|refusal| panic!("what was taken in cannot be read again: {refusal:?}"));
    let key = |event: &CloudEvent| {
        let (id, source, subject) = (event.id.clone(), event.source.clone(), event.subject.clone());
        (id, source, subject, event.data.type_name())
    };
    assert_eq!(key(&came), key(&again));
    if let UpstreamEvent::RegistrationEmailVerified(data) = &came.data {
        let is_like_ours = data.token.len() == 43 && data.token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_elsewhere = [&came.id, &came.source, &came.subject]
            .iter()
            .any(|text| text.contains(&data.token));
        assert!(!is_like_ours || is_elsewhere || !kept.body.contains(&data.token), "D7");
    }
    // Whatever it is about, and whether its link is known or not.
    let _ = Event::from_upstream(&again.data, |_| None);
    if let Ok(account) = AccountId::new(again.subject) {
        let _ = delegation::Request::from_upstream(&account, &again.data);
    }
}

fn check_refused(refused: &NewRefused) {
    assert!(refused.event.len() <= MAX_EVENT_BYTES, "no giants are kept");
    let detail: serde_json::Value = serde_json::from_str(&refused.detail).expect("the detail is JSON");
    assert!(detail.is_object());
}

/// A link in the midst of anything loses its token. The bytes are what stands before and after it, up to and from the first zero.
pub fn link_tokens(bytes: &[u8]) {
    const TOKEN: &[u8] = b"Zk3vQ9xW1rTb7Yc5Lp8Nd2Hs6Jf4Gm0KaVeUiOyRtEw";
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (before, after) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    for path in [&b"/verify/"[..], b"/decide/"] {
        let text = [before, path, TOKEN, after].concat();
        let kept = redaction::of_bytes(&text);
        let is_there = kept.windows(TOKEN.len()).any(|window| window == TOKEN);
        // Whoever knew the token before could have written it anywhere.
        let was_elsewhere = [before, after]
            .iter()
            .any(|part| part.windows(TOKEN.len()).any(|window| window == TOKEN));
        assert!(!is_there || was_elsewhere, "D7: {}", String::from_utf8_lossy(&kept));
        let again = redaction::of_bytes(&kept);
        assert!(again.len() <= 64 * kept.len().max(1));
    }
}
