//! `enrolld intake`: events sent by hand, and those that were refused.

mod rejected;
mod send;

use std::path::PathBuf;

use clap::Subcommand;

pub(super) use send::redis;

use super::listing::Listing;
use crate::settings::Settings;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add events to the intake stream, as upstream does
    #[command(
        after_help = "Every event is checked before the first is sent: if one is wrong, none is sent.
Prints the ids of the entries. Sending an event again is safe: what has been
applied is not applied twice. Where no redis.url is set, the private Redis of
the daemon that runs here is used.

Examples:
  enrolld intake send request.json
  enrolld intake send requests.jsonl        (one event a line)
  echo '{\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":\"/portal\",\"subject\":\"reg-1\",
         \"type\":\"registration.submitted\",\"data\":{\"account_id\":\"newbie\",
         \"contract_number\":\"93988396\",\"serial_number\":\"FOC1436Y3XK\"}}' |
    enrolld intake send -"
    )]
    Send {
        /// A CloudEvent in JSON, or one a line; `-` is standard input
        file: PathBuf,
    },
    /// List the events that were refused, and why
    #[command(after_help = "JSON has the events themselves.

Examples:
  enrolld intake rejected
  enrolld intake rejected --limit 1000 --output json | jq -r '.[].reason' | sort | uniq -c")]
    Rejected {
        /// How many, and in which form.
        #[command(flatten)]
        listing: Listing,
    },
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Send { file } => send::run(&file, settings).await,
        Command::Rejected { listing } => rejected::run(listing, settings).await,
    }
}
