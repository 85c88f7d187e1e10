//! What all listings share: how many rows, in which form, and what is said when there are none, or more.

use clap::Args;
use serde::Serialize;

use super::output::{self, Format};

/// Options of every listing.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Listing {
    /// Most rows shown
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Form of the output: a table fits the terminal, JSON has everything
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    output: Format,
}

impl Listing {
    /// How many rows to ask for: one more than is shown tells whether there are more.
    pub(super) fn asked(self) -> u64 {
        self.limit + 1
    }

    /// Whether JSON is asked for.
    pub(super) fn is_json(self) -> bool {
        self.output == Format::Json
    }

    /// Writes as many `rows` as are wanted, in the form asked for. Says on standard error when there are none, or more;
    /// `what` is what they are, in the plural.
    pub(super) fn write<T, J: Serialize>(
        self,
        what: &str,
        rows: &[T],
        json: impl Fn(&T) -> J,
        table: impl FnOnce(&[T]) -> String,
    ) -> anyhow::Result<()> {
        let limit = usize::try_from(self.limit).expect("at most 10,000");
        let shown = &rows[..rows.len().min(limit)];
        match self.output {
            Format::Json => output::json(&shown.iter().map(json).collect::<Vec<_>>())?,
            Format::Table if shown.is_empty() => {}
            Format::Table => output::text(&table(shown))?,
        }
        if rows.is_empty() {
            output::remark(&format!("no {what}"));
        } else if rows.len() > limit {
            let more = (self.limit * 10).min(10_000);
            output::remark(&format!(
                "there are more {what} than these {limit}: see more with --limit {more}"
            ));
        }
        Ok(())
    }
}

/// The option of commands that show one thing, or do something.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Shown {
    /// Form of the output: for people, or JSON for programs
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    pub(super) output: Format,
}
