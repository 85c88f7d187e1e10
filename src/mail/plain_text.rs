//! Text from outside, made harmless for a single line.

use std::borrow::Cow;

/// Longest value put into a mail, in characters: far above any name, reason or URL of ours.
const MAX_VALUE_CHARS: usize = 2_000;

/// `text` on one line: control characters, line separators and bidirectional overrides become a space, runs of blanks
/// one space, and what is beyond [`MAX_VALUE_CHARS`] is cut with an ellipsis.
pub(super) fn single_line(text: &str) -> Cow<'_, str> {
    let mut previous_blank = true;
    let clean = text.chars().all(|c| {
        let blank = c == ' ';
        let fits = !(breaks_line(c) || blank && previous_blank);
        previous_blank = blank;
        fits
    });
    if clean && !text.ends_with(' ') && text.len() <= MAX_VALUE_CHARS {
        return Cow::Borrowed(text);
    }
    let spaced: String = text.chars().map(|c| if breaks_line(c) { ' ' } else { c }).collect();
    let joined = spaced
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if joined.chars().count() <= MAX_VALUE_CHARS {
        return Cow::Owned(joined);
    }
    let kept = joined.chars().take(MAX_VALUE_CHARS - 1);
    Cow::Owned(kept.chain(std::iter::once('…')).collect())
}

/// Whether `c` could end a line, or change how the text around it is read.
fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// What a server said, fit for a log (D24): one line, at most `max_chars` characters, with `…` in the place of e-mail addresses.
pub(crate) fn loggable(text: &str, max_chars: usize) -> String {
    let delimiter =
        |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'' | '(' | ')' | ',' | ';' | '[' | ']');
    let line = single_line(text);
    let mut told = String::with_capacity(line.len());
    for piece in line.split_inclusive(delimiter) {
        let word = piece.trim_end_matches(delimiter);
        told.push_str(if word.contains('@') { "…" } else { word });
        told.push_str(&piece[word.len()..]);
    }
    told.chars().take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_text_is_left_alone() {
        assert!(matches!(single_line("SNTC Newbie"), Cow::Borrowed("SNTC Newbie")));
        assert_eq!(single_line(""), "");
    }

    #[test]
    fn nothing_ends_the_line() {
        assert_eq!(single_line("a\r\nBcc: x\u{2028}y\u{0}\u{202E}z \t"), "a Bcc: x y z");
        assert_eq!(single_line(&"x".repeat(9_000)).chars().count(), MAX_VALUE_CHARS);
    }

    #[test]
    fn addresses_are_left_out_and_length_is_bounded() {
        assert_eq!(
            loggable("550 <newbie@acme.example>: no such\r\nuser, ask boss@acme.example", 200),
            "550 <…>: no such user, ask …"
        );
        assert_eq!(loggable(&"é".repeat(500), 10).chars().count(), 10);
    }
}
