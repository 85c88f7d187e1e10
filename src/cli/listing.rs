//! What all listings share: how many rows, in which form, and what is said when there are none, or more.

use clap::Args;
use serde::Serialize;

use super::output::{self, Format};

/// Options of every listing.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Listing {
    /// Most rows shown, newest first
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

    /// Cuts `rows` down to what was asked for, and says so on standard error. `what` is what the rows are, in the plural.
    pub(super) fn cut<T>(self, rows: &mut Vec<T>, what: &str) {
        let limit = usize::try_from(self.limit).expect("at most 10,000");
        if rows.is_empty() {
            output::remark(&format!("no {what}"));
        } else if rows.len() > limit {
            rows.truncate(limit);
            output::remark(&format!(
                "there are more {what} than these {limit}: see more with --limit {}",
                (self.limit * 10).min(10_000)
            ));
        }
    }

    /// Whether JSON is asked for.
    pub(super) fn is_json(self) -> bool {
        self.output == Format::Json
    }

    /// Writes the rows in the form asked for.
    pub(super) fn write<T, J: Serialize>(
        self,
        rows: &[T],
        json: impl Fn(&T) -> J,
        table: impl FnOnce(&[T]) -> String,
    ) -> anyhow::Result<()> {
        match self.output {
            Format::Json => output::json(&rows.iter().map(json).collect::<Vec<_>>()),
            Format::Table if rows.is_empty() => Ok(()),
            Format::Table => output::text(&table(rows)),
        }
    }
}

/// The option of commands that show one thing.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Shown {
    /// Form of the output: a card for people, or JSON
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    pub(super) output: Format,
}
