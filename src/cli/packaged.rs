//! What packages bring along beside the program, made from the commands themselves: completions for shells, and man pages.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

pub(super) use clap_complete::Shell;

use super::output;

/// Writes the completions for `shell`, to be read by it, to standard output.
pub(super) fn completions(shell: Shell, mut enrolld: Command) -> anyhow::Result<()> {
    let name = enrolld.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut enrolld, name, &mut script);
    output::text(&String::from_utf8_lossy(&script))
}

/// Writes a page for each command that help lists into `folder`, made when it is missing: `enrolld.1`, `enrolld-run.1`, …
pub(super) fn man_pages(folder: &Path, enrolld: Command) -> anyhow::Result<()> {
    let mut enrolld = enrolld.disable_help_subcommand(true);
    enrolld.build();
    fs::create_dir_all(folder)
        .and_then(|()| write_pages(folder, &enrolld))
        .with_context(|| format!("cannot write man pages into {}", folder.display()))
}

fn write_pages(folder: &Path, command: &Command) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_pages(folder, verb)?;
    }
    let release = concat!("enrolld ", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone()).source(release).manual("enrolld");
    let mut text = Vec::new();
    write_page(&page, command, &mut text)?;
    fs::write(folder.join(page.get_filename()), text)
}

/// As [`Man::render`], but for what stands below the options: there it would fill the lines, and examples are read line by line.
fn write_page(page: &Man, command: &Command, to: &mut dyn Write) -> io::Result<()> {
    page.render_title(to)?;
    page.render_name_section(to)?;
    page.render_synopsis_section(to)?;
    page.render_description_section(to)?;
    page.render_options_section(to)?;
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        page.render_subcommands_section(to)?;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (notes, examples) = notes_and_examples(&after);
    for (title, text) in [("NOTES", notes), ("EXAMPLES", examples)] {
        if !text.is_empty() {
            as_it_is(title, text).to_writer(to)?;
        }
    }
    Ok(())
}

/// What help says below the options, and the examples at its end.
fn notes_and_examples(after_help: &str) -> (&str, &str) {
    for title in ["Examples:\n", "Example:\n"] {
        if let Some((notes, examples)) = after_help.split_once(title) {
            return (notes.trim_end(), examples.trim_end());
        }
    }
    (after_help.trim_end(), "")
}

/// A section whose lines stay as they are.
fn as_it_is(title: &str, text: &str) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    section.control("nf", []);
    for line in text.lines() {
        section.text([roman(line)]);
    }
    section.control("fi", []);
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_told_from_what_is_said_before_them() {
        assert_eq!(
            notes_and_examples("It waits.\n\nExamples:\n  enrolld a\n  enrolld b\n"),
            ("It waits.", "  enrolld a\n  enrolld b")
        );
        assert_eq!(notes_and_examples("Example:\n  enrolld a"), ("", "  enrolld a"));
        assert_eq!(notes_and_examples("It waits."), ("It waits.", ""));
        assert_eq!(notes_and_examples(""), ("", ""));
    }
}
