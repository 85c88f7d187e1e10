//! `enrolld registrations`.

mod card;
mod erase;

use std::collections::HashMap;

use clap::{Subcommand, builder::PossibleValuesParser, builder::TypedValueParser as _};
use enrolld_jobs::{
    registration::{Registration, StateName},
    values::{AccountId, RegistrationId},
    view::{RegistrationView, TimelineLine},
};
use serde_json::json;

use super::{
    database,
    hand_in::{self, HandIn, Wait},
    listing::{Listing, Shown},
    moments::relative,
    order::{short, somebody},
    output::{self, Format, Screen},
    table::{Column, table},
};
use crate::{
    environment::{Environment as _, System},
    settings::Settings,
    store::{Store, registrations::Filter},
};

/// Registrations whose history is read at once.
const CHUNK: usize = 500;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List registrations, newest first
    #[command(after_help = "JSON is a list of what `registrations show` gives.

Examples:
  enrolld registrations list --state awaiting_da
  enrolld registrations list --account newbie --output json")]
    List {
        /// Only those of this account
        #[arg(long, value_name = "ID", value_parser = |text: &str| AccountId::new(text))]
        account: Option<AccountId>,
        /// Only those in this state
        #[arg(long, value_parser = states())]
        state: Option<StateName>,
        /// How many, and in which form.
        #[command(flatten)]
        listing: Listing,
    },
    /// Take a closed registration's person out of all that is kept (D24)
    #[command(
        after_help = "Erases what is known of the person: the registration, the texts of its timeline,
events, jobs' errors, mail records and files, refused events, and the streams of
results. What happened when stays, under a random pseudonym; access that is
active stays as it is. It cannot be undone. An open registration is refused.
Outside are mails sent, what others read from the streams, and backups.

Example:
  enrolld registrations erase reg-1"
    )]
    Erase {
        /// The registration's id
        #[arg(value_parser = |text: &str| RegistrationId::new(text))]
        id: RegistrationId,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
    /// Show a registration with all that has happened to it
    #[command(after_help = "JSON is the same object that GET /v1/registrations/ID gives.

Examples:
  enrolld registrations show reg-1
  enrolld registrations show reg-1 --output json | jq .timeline")]
    Show {
        /// The registration's id
        id: String,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
    /// Withdraw a registration for its applicant, and tell what came of it
    #[command(
        after_help = "Adds the event registration.withdrawn to the intake, as the portal does, and waits
until a daemon has applied it. Who did it, and why, stands on the timeline. What
is granted already cannot be withdrawn.

Examples:
  enrolld registrations withdraw reg-1 --reason \"asked for it by phone\"
  enrolld registrations withdraw reg-1 --no-wait"
    )]
    Withdraw {
        /// The registration's id
        #[arg(value_parser = |text: &str| RegistrationId::new(text))]
        id: RegistrationId,
        /// Why, for whoever looks at it later
        #[arg(long, value_name = "TEXT", value_parser = short)]
        reason: Option<String>,
        /// How long.
        #[command(flatten)]
        wait: Wait,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
}

/// The states as names that clap lists and completes.
fn states() -> impl clap::builder::TypedValueParser<Value = StateName> {
    PossibleValuesParser::new(StateName::ALL.map(StateName::as_str)).try_map(|name| {
        StateName::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or("no state of this name")
    })
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Erase { id, shown } => erase::run(&id, shown.output, settings).await,
        Command::List {
            account,
            state,
            listing,
        } => {
            let filter = Filter {
                account_id: account,
                state,
                before: None,
                limit: listing.asked(),
            };
            let store = database::open(settings).await?;
            let found = store.registrations(&filter).await?;
            // Only JSON has the histories.
            let histories = if listing.is_json() {
                histories(&store, &found).await?
            } else {
                HashMap::new()
            };
            let view = |registration: &Registration| {
                let history = histories.get(registration.id.as_str());
                RegistrationView::new(registration, history.cloned().unwrap_or_default())
            };
            listing.write("registrations", &found, view, |found| list(Screen::stdout(), found))
        }
        Command::Withdraw {
            id,
            reason,
            wait,
            shown,
        } => {
            let store = database::open(settings).await?;
            let kind = "registration.withdrawn";
            hand_in::open(&store, &id, kind).await?;
            let handed = HandIn {
                settings,
                store: &store,
                kind,
                data: json!({ "by": somebody(), "reason": reason }),
            };
            handed.run(&id, wait, shown.output).await
        }
        Command::Show { id, shown } => {
            let unknown = || hand_in::unknown(&id);
            let store = database::open(settings).await?;
            let id = RegistrationId::new(id.as_str()).map_err(|_| unknown())?;
            let registration = store.registration(&id).await?.ok_or_else(unknown)?;
            let timeline = store
                .timelines(&[&id])
                .await?
                .into_iter()
                .map(|(_, line)| line)
                .collect();
            let view = RegistrationView::new(&registration, timeline);
            match shown.output {
                Format::Json => output::json(&view),
                Format::Table => output::text(&card::card(Screen::stdout(), System.now(), &registration, &view)),
            }
        }
    }
}

/// What has happened to each of these registrations, by id.
async fn histories(store: &Store, of: &[Registration]) -> anyhow::Result<HashMap<String, Vec<TimelineLine>>> {
    let mut histories: HashMap<String, Vec<TimelineLine>> = HashMap::with_capacity(of.len());
    for chunk in of.chunks(CHUNK) {
        let ids: Vec<&RegistrationId> = chunk.iter().map(|registration| &registration.id).collect();
        for (id, line) in store.timelines(&ids).await? {
            histories.entry(id).or_default().push(line);
        }
    }
    Ok(histories)
}

fn list(screen: Screen, registrations: &[Registration]) -> String {
    let now = System.now();
    let columns = [
        Column::new("ID", 0),
        Column::new("STATE", 0).state(),
        Column::new("SINCE", 1),
        Column::new("ACCOUNT", 2),
        Column::new("CONTRACT", 3),
        Column::new("SERIAL", 4),
        Column::new("CREATED", 5),
    ];
    let rows = registrations.iter().map(|registration| {
        [
            registration.id.to_string(),
            registration.state.name().as_str().to_owned(),
            relative(now, registration.since),
            registration.account_id.to_string(),
            registration.contract_number.as_str().to_owned(),
            registration.serial_number.as_str().to_owned(),
            relative(now, registration.created_at),
        ]
    });
    table(screen, columns, rows)
}
