//! Which request something belongs to, across systems: the trace of [W3C Trace Context](https://www.w3.org/TR/trace-context/), which
//! CloudEvents carry in the extension attribute `traceparent`.

use std::{fmt, num::NonZeroU64};

use uuid::Uuid;

/// Namespace of ids of traces that nobody has given one; an arbitrary constant.
const NAMESPACE: Uuid = Uuid::from_u128(0x2f9d_41c6_73be_4d0a_8a54_66a9_0c1e_b7d3);

/// How long the parts of a `traceparent` are that every version has: version, trace, parent, flags.
pub const HEAD_CHARS: usize = 55;

/// The flag that says that the caller records the trace; no other is passed on.
const SAMPLED: u8 = 1;

/// A trace, seen from a part of the work on it: its id, whether its caller records it, and that part, a *span*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    id: u128,
    flags: u8,
    /// Never zero.
    span: Option<NonZeroU64>,
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
        if version == 0xff || !is_whole {
            return None;
        }
        let span = Some(span_id(parent)?);
        let id = hexadecimal(id, 32).filter(|id| *id != 0)?;
        let flags = u8::try_from(hexadecimal(flags, 2)?).ok()? & SAMPLED;
        Some(Self { id, flags, span })
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
            span: None,
        }
    }

    /// As [`Trace`] is written with [`fmt::Display`].
    pub fn of_kept(text: &str) -> Option<Self> {
        let parts: Vec<_> = text.split('-').collect();
        let (id, flags, span) = match parts.as_slice() {
            // As a release wrote it that knew no parts.
            [id, flags] => (id, flags, None),
            [id, flags, span] => (id, flags, Some(span_id(span)?)),
            _ => return None,
        };
        let id = hexadecimal(id, 32).filter(|id| *id != 0)?;
        let flags = u8::try_from(hexadecimal(flags, 2)?).ok()?;
        Some(Self { id, flags, span })
    }

    /// The id alone, as logs and tracing systems show it: 32 hexadecimal digits.
    pub fn id(self) -> String {
        format!("{:032x}", self.id)
    }

    /// The trace, seen from a part of this part that has this name, which none beside it has: the same whenever it is asked for.
    #[must_use]
    pub fn part(self, name: &str) -> Self {
        let within = self.span.map_or(0, NonZeroU64::get);
        let name = format!("part\n{:032x}\n{within:016x}\n{name}", self.id);
        let (span, _) = Uuid::new_v5(&NAMESPACE, name.as_bytes()).as_u64_pair();
        // Version and variant are among the bits: it is never zero.
        let span = NonZeroU64::new(span);
        Self { span, ..self }
    }

    /// The part of the work that it is seen from; `None` where the trace begins.
    pub const fn span(self) -> Option<NonZeroU64> {
        self.span
    }

    /// The `traceparent` of what this part of the work sends out under `name`.
    pub fn traceparent(self, name: &str) -> String {
        let span = self.span.or_else(|| self.part(name).span).map_or(1, NonZeroU64::get);
        format!("00-{:032x}-{span:016x}-{:02x}", self.id, self.flags)
    }
}

fn span_id(text: &str) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::try_from(hexadecimal(text, 16)?).ok()?)
}

/// As it is kept: the id, the flags, and the part of the work if there is one, with hyphens between.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{:02x}", self.id, self.flags)?;
        self.span.map_or(Ok(()), |span| write!(f, "-{span:016x}"))
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
            assert_eq!(trace.to_string(), format!("{ID}-{flags:02x}-00f067aa0ba902b7"));
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
        let part = trace.part("job/1");
        assert_eq!((part.id(), part), (trace.id(), trace.part("job/1")));
        assert_ne!(part.span(), trace.span());
        assert_ne!(part, trace.part("job/2"), "each is a part of its own");
        assert_ne!(part.part("mail"), trace.part("job/2").part("mail"), "and so are theirs");
        assert_eq!(Trace::of_traceparent(&part.traceparent("x")), Some(part));
        // A trace that begins here has no part yet.
        let begun = Trace::of_event("/portal", "e-1");
        let sent = begun.traceparent("reg-1:1");
        assert_eq!(Trace::of_traceparent(&sent), Some(begun.part("reg-1:1")), "{sent}");
    }

    #[test]
    fn what_an_earlier_release_kept_is_read() {
        let kept = Trace::of_kept(&format!("{ID}-01")).expect("it is one");
        assert_eq!((kept.id().as_str(), kept.span()), (ID, None));
        for broken in [
            "",
            "-",
            "0-01",
            &format!("{ID}-01-0000000000000000"),
            &format!("{ID}-01-x"),
            &format!("{ID}-01-00f067aa0ba902b7-"),
        ] {
            assert_eq!(Trace::of_kept(broken), None, "{broken}");
        }
    }

    #[test]
    fn an_event_without_one_has_the_same_whenever_it_comes() {
        let first = Trace::of_event("/portal", "e-1");
        assert_eq!(first, Trace::of_event("/portal", "e-1"));
        assert_ne!(first, Trace::of_event("/portal", "e-2"));
        assert_eq!(Trace::of_kept(&first.to_string()), Some(first));
    }
}
