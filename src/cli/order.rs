//! Who gives a command, and why: on record for whoever looks later.

use clap::Args;

use super::output::printable;
use crate::{
    environment::{Environment as _, System},
    store::interventions::Order,
};

/// Longest reason, in characters.
const LONGEST: usize = 500;

/// The option of commands that are put on record.
#[derive(Debug, Clone, Args)]
pub(super) struct Reason {
    /// Why, for whoever looks at it later
    #[arg(long = "reason", value_name = "TEXT", default_value = "", value_parser = short)]
    text: String,
}

impl Reason {
    /// What is wanted now, by whoever is at the terminal, for this reason.
    pub(super) fn order(&self) -> Order {
        Order {
            by: somebody(),
            reason: printable(self.text.trim()),
            at: System.now(),
        }
    }
}

/// A reason, if it is no longer than one may be.
pub(super) fn short(text: &str) -> Result<String, String> {
    if text.chars().count() > LONGEST {
        return Err(format!("longer than {LONGEST} characters"));
    }
    Ok(text.to_owned())
}

/// Who gives the command, as far as the system tells: behind `sudo` it is who was there before.
pub(super) fn somebody() -> String {
    let told = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok());
    let name = told.into_iter().find(|name| !name.trim().is_empty());
    name.map_or_else(|| "somebody".to_owned(), |name| printable(&name))
}
