//! `enrolld review decide` (D10).

use anyhow::bail;
use clap::{Args, ValueEnum};
use enrolld_jobs::{
    cloud_event::{ReviewDecided, ReviewDecision},
    registration::State,
    values::{OrganizationId, RegistrationId},
};

use crate::{
    cli::{
        database,
        hand_in::{self, HandIn, Wait},
        listing::Shown,
        order::somebody,
        wrong_usage,
    },
    settings::Settings,
};

/// What can be decided; the contract has the same names.
// The variants have no doc comments: clap would make paragraphs of them in every help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Decision {
    Appoint,
    Route,
    Reject,
    Ask,
}

/// A decision, and who decides.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The registration's id
    #[arg(value_parser = |text: &str| RegistrationId::new(text))]
    id: RegistrationId,
    /// What is decided
    #[arg(long, value_enum)]
    decision: Decision,
    /// The organization to appoint for, or to route to
    #[arg(long, value_name = "ID", required_if_eq_any = [("decision", "appoint"), ("decision", "route")],
        value_parser = |text: &str| OrganizationId::new(text))]
    organization: Option<OrganizationId>,
    /// What to ask the applicant
    #[arg(long, value_name = "TEXT", required_if_eq("decision", "ask"))]
    question: Option<String>,
    /// Why; of a rejection the applicant gets to read it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who decides [default: who gives the command]
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// How long.
    #[command(flatten)]
    wait: Wait,
    /// In which form.
    #[command(flatten)]
    shown: Shown,
}

pub(super) async fn run(options: Options, settings: &Settings) -> anyhow::Result<()> {
    let decision = decision(options.decision, options.organization, options.question);
    let kind = "registration.review_decided";
    let store = database::open(settings).await?;
    let registration = hand_in::open(&store, &options.id, kind).await?;
    if matches!(registration.state, State::Provisioning { .. }) && decision != ReviewDecision::Reject {
        bail!(
            "registration {} has its access granted already, and being set up: now it can only be rejected",
            options.id
        );
    }
    let decided = ReviewDecided {
        agent: options.agent.unwrap_or_else(somebody),
        decision,
        reason: options.reason,
    };
    let handed = HandIn {
        settings,
        store: &store,
        kind,
        data: serde_json::to_value(&decided)?,
    };
    handed.run(&options.id, options.wait, options.shown.output).await
}

/// The decision with what belongs to it, and nothing else.
fn decision(decision: Decision, organization: Option<OrganizationId>, question: Option<String>) -> ReviewDecision {
    match (decision, organization, question) {
        (Decision::Appoint, Some(organization_id), None) => ReviewDecision::Appoint { organization_id },
        (Decision::Route, Some(organization_id), None) => ReviewDecision::Route { organization_id },
        (Decision::Reject, None, None) => ReviewDecision::Reject,
        (Decision::Ask, None, Some(question)) => ReviewDecision::Ask { question },
        _ => wrong_usage("--organization goes with appoint and route, --question with ask"),
    }
}
