//! Which request something belongs to, across systems: the trace of [W3C Trace Context](https://www.w3.org/TR/trace-context/), which
//! CloudEvents carry in the extension attribute `traceparent`.

use std::fmt;

use uuid::Uuid;

/// Namespace of ids of traces that nobody has given one; an arbitrary constant.
const NAMESPACE: Uuid = Uuid::from_u128(0x2f9d_41c6_73be_4d0a_8a54_66a9_0c1e_b7d3);

/// How long the parts of a `traceparent` are that every version has: version, trace, parent, flags.
pub const HEAD_CHARS: usize = 55;

/// The flag that says that the caller records the trace; no other is passed on.
const SAMPLED: u8 = 1;

/// A trace: its id, and whether its caller records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    id: u128,
    flags: u8,
}

impl Trace {
    /// The trace that a `traceparent` names; `None` where it is not one, and then a new trace begins, as its specification wants it.
    pub fn of_traceparent(text: &str) -> Option<Self> {
        let (head, rest) = text.split_at_checked(HEAD_CHARS)?;
        let parts: Vec<_> = head.split('-').collect();
        let [version, id, parent, flags] = parts.as_slice() else {
            return None;
        };
        let version = hexadecimal(version, 2)?;
        // A later version may say more, behind another hyphen.
        let is_whole = rest.is_empty() || version > 0 && rest.starts_with('-');
        if version == 0xff || !is_whole || hexadecimal(parent, 16)? == 0 {
            return None;
        }
        let id = hexadecimal(id, 32).filter(|id| *id != 0)?;
        let flags = u8::try_from(hexadecimal(flags, 2)?).ok()? & SAMPLED;
        Some(Self { id, flags })
    }

    /// The trace of the event with this key, which came without one: the same however often it comes.
    pub fn of_event(source: &str, id: &str) -> Self {
        Self::of_id(Uuid::new_v5(&NAMESPACE, format!("event\n{source}\n{id}").as_bytes()))
    }

    /// The trace that begins with something of this id, which is never nil.
    pub const fn of_id(id: Uuid) -> Self {
        Self {
            id: id.as_u128(),
            flags: 0,
        }
    }

    /// As [`Trace`] is written with [`fmt::Display`].
    pub fn of_kept(text: &str) -> Option<Self> {
        let (id, flags) = text.split_once('-')?;
        let id = hexadecimal(id, 32).filter(|id| *id != 0)?;
        let flags = u8::try_from(hexadecimal(flags, 2)?).ok()?;
        Some(Self { id, flags })
    }

    /// The id alone, as logs and tracing systems show it: 32 hexadecimal digits.
    pub fn id(self) -> String {
        format!("{:032x}", self.id)
    }

    /// What goes out with `part`, something of this trace: the same whenever it goes out.
    pub fn traceparent(self, part: &str) -> String {
        let name = format!("part\n{:032x}\n{part}", self.id);
        let (part, _) = Uuid::new_v5(&NAMESPACE, name.as_bytes()).as_u64_pair();
        format!("00-{:032x}-{part:016x}-{:02x}", self.id, self.flags)
    }
}

/// As it is kept: the id, a hyphen and the flags.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:02x}", self.id, self.flags)
    }
}

/// The number that `text` writes with so many digits, lower-case ones only.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_is_read_and_kept() {
        for (text, flags) in [
            (format!("00-{ID}-00f067aa0ba902b7-01"), 1),
            (format!("00-{ID}-00f067aa0ba902b7-00"), 0),
            (format!("00-{ID}-00f067aa0ba902b7-03"), 1),
            (format!("cc-{ID}-00f067aa0ba902b7-01"), 1),
            (format!("cc-{ID}-00f067aa0ba902b7-01-what-comes-later"), 1),
        ] {
            let trace = Trace::of_traceparent(&text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(trace.id(), ID);
            assert_eq!(trace.to_string(), format!("{ID}-{flags:02x}"));
            assert_eq!(Trace::of_kept(&trace.to_string()), Some(trace));
        }
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            String::new(),
            ID.to_owned(),
            format!("00-{ID}-00f067aa0ba902b7"),
            format!("00-{ID}-00f067aa0ba902b7-1"),
            format!("00-{ID}-00f067aa0ba902b7-01-more"),
            format!("cc-{ID}-00f067aa0ba902b7-01more"),
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{ID}-0000000000000000-01"),
            format!("00-{ID}-00f067aa0ba902bx-01"),
            format!("+0-{ID}-00f067aa0ba902b7-01"),
            format!(" 00-{ID}-00f067aa0ba902b7-0"),
            "ß".repeat(40),
        ] {
            assert_eq!(Trace::of_traceparent(&text), None, "{text}");
        }
    }

    #[test]
    fn what_goes_out_is_a_traceparent_of_the_same_trace() {
        let trace = Trace::of_traceparent(&format!("00-{ID}-00f067aa0ba902b7-01")).expect("it is one");
        let sent = trace.traceparent("reg-1:1");
        assert_eq!(Trace::of_traceparent(&sent), Some(trace), "{sent}");
        assert_eq!(sent, trace.traceparent("reg-1:1"));
        assert_ne!(sent, trace.traceparent("reg-1:2"), "each is a part of its own");
    }

    #[test]
    fn an_event_without_one_has_the_same_whenever_it_comes() {
        let first = Trace::of_event("/portal", "e-1");
        assert_eq!(first, Trace::of_event("/portal", "e-1"));
        assert_ne!(first, Trace::of_event("/portal", "e-2"));
        assert_eq!(Trace::of_kept(&first.to_string()), Some(first));
    }
}
