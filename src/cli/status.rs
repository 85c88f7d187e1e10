//! `enrolld status`: what is late, and why; and how things stand.

mod json;

use chrono::{DateTime, Utc};

use super::{
    database, intake,
    listing::Shown,
    moments::relative,
    output::{self, Format, Screen},
    table::card,
};
use crate::{
    environment::{Environment as _, System},
    settings::Settings,
    status::{self, BOUNCES_FOR, Held, Late, MOST_CASES, Status, is_at_least},
    store::counts::Waiting,
};

/// Looks, and tells what was seen. What is late is no failure of the command.
pub(super) async fn run(shown: Shown, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    let redis = intake::redis(settings)
        .map(|(redis, _)| redis)
        .map_err(|error| format!("{error:#}"));
    let status = status::look(&store, redis, settings, System.now()).await?;
    let late = status::late(&status);
    match shown.output {
        Format::Json => output::json(&json::of(&status, &late)),
        Format::Table => output::text(&screen(Screen::stdout(), &status, &late)),
    }
}

fn screen(screen: Screen, status: &Status, late: &[Late]) -> String {
    let below = card(screen, standing(status));
    if late.is_empty() {
        return format!("Nothing is late.\n\n{below}");
    }
    let lines = late.iter().flat_map(|late| {
        let told = [(title(late.what), told(status.at, late)), ("", late.look.to_owned())];
        told.into_iter()
    });
    format!("Late, the worst first\n\n{}\n\n{below}", card(screen, lines))
}

fn title(what: &str) -> &'static str {
    match what {
        "no_daemon" => "No daemon",
        "daemons_silent" => "Daemons silent",
        "redis_away" => "Redis",
        "intake_waits" | "events_wait" => "Intake",
        "jobs_dead" => "Jobs dead",
        "jobs_retried" => "Jobs failing",
        "deadlines_overdue" => "Deadlines",
        "queue_waits" => "Queue",
        "queue_paused" => "Queue paused",
        "agents_overdue" => "Agents",
        "provisioning_overdue" => "Provisioning",
        _ => "Other",
    }
}

fn told(at: DateTime<Utc>, late: &Late) -> String {
    let since = late.since.map(|since| relative(at, since)).unwrap_or_default();
    match (late.what, late.number) {
        // It is the pause that began then.
        ("queue_paused", queued) => return format!("{since}, {} queued: {}", number(queued), late.why),
        (_, 0) => return late.why.clone(),
        _ => {}
    }
    let first = late.since.map(|_| format!(", the first {since}"));
    let plus = if late.at_least { "+" } else { "" };
    format!("{}{plus}{}: {}", late.number, first.unwrap_or_default(), late.why)
}

fn standing(status: &Status) -> Vec<(&'static str, String)> {
    let at = status.at;
    let alive = status.daemons.iter().filter(|daemon| daemon.is_alive).count();
    let queued = status.queues.iter().filter(|(_, waiting)| waiting.number > 0);
    let queued: Vec<_> = queued
        .map(|(kind, waiting)| format!("{} {}", kind.as_str(), counted(at, waiting)))
        .collect();
    vec![
        ("Daemons", format!("{alive} alive")),
        (
            "Intake",
            format!(
                "{} to take in, {} to apply",
                match &status.stream {
                    Ok(stream) => counted(at, stream),
                    Err(_) => "?".to_owned(),
                },
                counted(at, &status.inbox)
            ),
        ),
        ("Going out", number(status.notices)),
        (
            "Queued",
            if queued.is_empty() {
                "nothing".to_owned()
            } else {
                queued.join(", ")
            },
        ),
        ("With agents", cases(status)),
        ("With DAs", waiting(at, &status.das, status.longest_das.first())),
        (
            "Setting up",
            waiting(at, &status.provisioning, status.longest_provisioning.first()),
        ),
        (
            "Bounced",
            match status.bounces.newest {
                None => format!("nothing in {} h", BOUNCES_FOR.num_hours()),
                Some(newest) => format!(
                    "{} addresses in {} h, the last {}",
                    number(status.bounces.number),
                    BOUNCES_FOR.num_hours(),
                    relative(at, newest)
                ),
            },
        ),
    ]
}

fn cases(status: &Status) -> String {
    let cases = &status.cases;
    let plus = if cases.are_more { "+" } else { "" };
    debug_assert!(cases.number <= MOST_CASES, "no more were looked at");
    let reasons = cases
        .reasons
        .iter()
        .map(|(reason, number)| format!("{reason} {number}"));
    let mut told = format!("{}{plus}", cases.number);
    if let Some(first) = cases.longest.first() {
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        told = format!("{told} ({reasons}), longest {}", named(status.at, first));
    }
    told
}

fn waiting(at: DateTime<Utc>, waiting: &Waiting, longest: Option<&Held>) -> String {
    let longest = longest.map(|held| format!(", longest {}", named(at, held)));
    format!("{}{}", number(waiting.number), longest.unwrap_or_default())
}

/// `reg-7 (boss), 26h ago`
fn named(at: DateTime<Utc>, held: &Held) -> String {
    let da = held.da.as_ref().map(|da| format!(" ({da})")).unwrap_or_default();
    format!("{}{da}, {}", held.id, relative(at, held.since))
}

/// `12 (59s ago)`
fn counted(at: DateTime<Utc>, waiting: &Waiting) -> String {
    let oldest = waiting.oldest.map(|oldest| format!(" ({})", relative(at, oldest)));
    format!("{}{}", number(waiting.number), oldest.unwrap_or_default())
}

fn number(number: u64) -> String {
    if is_at_least(number) {
        format!("{number}+")
    } else {
        number.to_string()
    }
}
