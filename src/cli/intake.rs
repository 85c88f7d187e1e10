//! `enrolld intake`: events sent by hand, and those that were refused.

mod discard;
mod rejected;
mod replay;
mod send;
mod which;

use std::path::PathBuf;

use clap::Subcommand;

pub(super) use send::redis;

use self::which::Which;
use super::listing::{Listing, Shown};
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
    /// List the events that were refused, newest first, and why
    #[command(after_help = "JSON has the events themselves.

Examples:
  enrolld intake rejected
  enrolld intake rejected --limit 1000 --output json | jq -r '.[].reason' | sort | uniq -c")]
    Rejected {
        /// How many, and in which form.
        #[command(flatten)]
        listing: Listing,
    },
    /// Put refused events back on the intake, once what they were refused for is mended
    #[command(
        after_help = "They go back as they came, oldest first, and are judged anew: what has been applied
meanwhile is not applied twice, and what is refused again is a new refused event. A
refused event stays, marked as replayed, until it is discarded. All are looked at
before the first goes back: if one of those named cannot, none does.
Prints the number of each event and the id of its new entry.

Events of type registration.email_verified cannot be replayed, since no token is
kept; neither can what was too large. What ended daemons (poison) is replayed only
when it is named, or with --reason poison.

Examples:
  enrolld intake replay 17 18
  enrolld intake replay --all --reason unknown_registration"
    )]
    Replay {
        /// Which events.
        #[command(flatten)]
        which: Which,
        /// Also those that were replayed already
        #[arg(long)]
        again: bool,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
    /// Delete refused events that nobody needs any more
    #[command(
        after_help = "They are gone then; what upstream was told on the stream of refused events stays.
Prints what each was. If one of those named is not there, none is deleted.

Examples:
  enrolld intake discard 17 18
  enrolld intake discard --all --reason malformed too_large"
    )]
    Discard {
        /// Which events.
        #[command(flatten)]
        which: Which,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Send { file } => send::run(&file, settings).await,
        Command::Rejected { listing } => rejected::run(listing, settings).await,
        Command::Replay { which, again, shown } => replay::run(which, again, shown.output, settings).await,
        Command::Discard { which, shown } => discard::run(&which, shown.output, settings).await,
    }
}
