//! What commands write: results to standard output, remarks and errors to standard error.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use crate::logging::has_colours;

/// The width of tables where nothing tells it, in columns.
const WIDTH: u16 = 80;

/// Narrower than this nothing can be read any more.
const LEAST_WIDTH: u16 = 40;

/// `--output`: for people, or for programs.
// The variants have no doc comments: clap would make paragraphs of them in every help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Whoever reads standard output has enough (`| head`): no error, there is just nothing more to do.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(super) struct Closed;

impl Closed {
    /// Whether this is what `error` comes down to.
    pub(super) fn is_cause_of(error: &anyhow::Error) -> bool {
        error.chain().any(|cause| {
            let within = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause.is::<Self>() || within.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
        })
    }
}

/// Standard output, for what writes as it goes on; [`Closed`] stands in its errors.
#[derive(Debug)]
pub(super) struct Stdout(io::Stdout);

impl Stdout {
    pub(super) fn new() -> Self {
        Self(io::stdout())
    }
}

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(closed)
    }
}

fn closed(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => io::Error::new(ErrorKind::BrokenPipe, Closed),
        _ => error,
    }
}

/// What tables are drawn on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Columns that a line may have.
    pub(super) width: u16,
    /// Whether colours may be used.
    pub(super) colours: bool,
}

impl Screen {
    /// Standard output. `COLUMNS` goes before the terminal's own width.
    pub(super) fn stdout() -> Self {
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let terminal = || {
            io::stdout()
                .is_terminal()
                .then(|| comfy_table::Table::new().width())
                .flatten()
        };
        let width = columns.filter(|&width| width > 0).or_else(terminal).unwrap_or(WIDTH);
        Self {
            width: width.max(LEAST_WIDTH),
            colours: has_colours(&io::stdout()),
        }
    }
}

/// Writes a text, and ends its last line.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let text = text.trim_end_matches('\n');
    let mut stdout = Stdout::new();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.context("cannot write to standard output")
}

/// Writes a value as JSON that people can read too.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
    text(&serde_json::to_string_pretty(value)?)
}

/// Says something beside the result, on standard error. Nothing depends on its being read.
pub(super) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// `text` without anything that a terminal would obey: what upstream sends is shown, too.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => shown.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => write!(shown, "{}", c.escape_default()).expect("a String takes any text"),
            c => shown.push(c),
        }
    }
    shown
}

/// The error, and why, each cause once: some errors tell their cause themselves.
pub(super) fn report(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            write!(text, "\n  because: {cause}").expect("a String takes any text");
        }
    }
    let _ = writeln!(io::stderr().lock(), "error: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\u{fffd}d");
        assert_eq!(printable("Zoë 漢"), "Zoë 漢");
    }
}
