//! `enrolld review`: the cases of the agents (D10, D11, D22).

mod decide;

use clap::{Subcommand, builder::PossibleValuesParser, builder::TypedValueParser as _};
use enrolld_jobs::registration::{Registration, ReviewReason};
use enrolld_jobs::view::RegistrationView;

use super::{
    database,
    listing::Listing,
    moments::relative,
    output::Screen,
    table::{Column, table},
};
use crate::{
    environment::{Environment as _, System},
    settings::Settings,
};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the agents' cases, oldest first
    #[command(
        after_help = "A case ends with an agent's decision (registration.review_decided), or by itself:
provisioning_overdue and provisioning_failed when access is there after all,
processing_failed when the dead job is queued again or discarded (`enrolld jobs`).

Examples:
  enrolld review list
  enrolld review list --reason provisioning_overdue --output json"
    )]
    List {
        /// Only those for this reason
        #[arg(long, value_parser = reasons())]
        reason: Option<ReviewReason>,
        /// How many, and in which form.
        #[command(flatten)]
        listing: Listing,
    },
    /// Decide on a case, and tell what came of it
    #[command(
        after_help = "Adds the event registration.review_decided to the intake, as the agents' own tools
do, and waits until a daemon has applied it.

appoint  makes the applicant DA of the organization; they verify their address first
route    has the DAs of the organization decide
reject   ends the registration, and takes back what was granted
ask      asks the applicant, who answers in the portal

Where access is being set up already, it can only be rejected.

Examples:
  enrolld review decide reg-1 --decision appoint --organization acme
  enrolld review decide reg-1 --decision ask --question \"Which site do you manage?\"
  enrolld review decide reg-1 --decision reject --reason \"not known to the company\" --agent ann"
    )]
    Decide(decide::Options),
}

/// The reasons as names that clap lists and completes.
fn reasons() -> impl clap::builder::TypedValueParser<Value = ReviewReason> {
    PossibleValuesParser::new(ReviewReason::ALL.map(ReviewReason::as_str)).try_map(|name| {
        ReviewReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == name)
            .ok_or("no reason of this name")
    })
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Decide(options) => decide::run(options, settings).await,
        Command::List { reason, listing } => {
            let store = database::open(settings).await?;
            let cases = store.cases(reason, listing.asked()).await?;
            let view = |registration: &Registration| RegistrationView::new(registration, Vec::new());
            listing.write("cases", &cases, view, |cases| list(Screen::stdout(), cases))
        }
    }
}

fn list(screen: Screen, cases: &[Registration]) -> String {
    let now = System.now();
    let columns = [
        Column::new("REGISTRATION", 0),
        Column::new("REASON", 0),
        Column::new("STATE", 1).state(),
        Column::new("SINCE", 2),
        Column::new("NEXT", 3),
        Column::new("ACCOUNT", 4),
    ];
    let rows = cases.iter().map(|registration| {
        [
            registration.id.to_string(),
            registration.review_reason().map_or("", ReviewReason::as_str).to_owned(),
            registration.state.name().as_str().to_owned(),
            relative(now, registration.since),
            registration.deadline.map(|at| relative(now, at)).unwrap_or_default(),
            registration.account_id.to_string(),
        ]
    });
    table(screen, columns, rows)
}
