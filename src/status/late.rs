//! What is late, and why: a pure look at what was seen.

use chrono::{DateTime, Utc};
use enrolld_jobs::job::JobKind;

use super::{DUE_FOR, Status, is_at_least};
use crate::store::{counts::Waiting, interventions::because, moment, standing::FailedAlike};

/// Groups of jobs that are told one by one.
const TOLD: usize = 5;

/// Failures in a row after which more is wrong than a moment: half a minute has passed by then.
const FAILURES: u64 = 5;

/// Something that is late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// What; a name for programs.
    pub what: &'static str,
    /// How many of it.
    pub number: u64,
    /// Whether there may be more, since counting ended.
    pub at_least: bool,
    /// Since when the first of it is.
    pub since: Option<DateTime<Utc>>,
    /// What is known of it, for people.
    pub why: String,
    /// The command that shows more.
    pub look: &'static str,
}

impl Late {
    fn new(what: &'static str, of: Waiting, why: impl Into<String>, look: &'static str) -> Self {
        Self {
            what,
            number: of.number,
            at_least: is_at_least(of.number),
            since: of.oldest,
            why: why.into(),
            look,
        }
    }
}

/// What is late, the worst first: what keeps everything from going on, then what waits for a person, then what is slow.
pub fn late(status: &Status) -> Vec<Late> {
    let mut late = Vec::new();
    late.extend(daemons(status));
    late.extend(redis(status));
    late.extend(intake(status));
    late.extend(dead(status));
    late.extend(timers(status));
    late.extend(paused(status));
    late.extend(queues(status));
    late.extend(agents(status));
    late.extend(provisioning(status));
    late.extend(retrying(status));
    late
}

/// Whether the first of them waits for too long.
fn is_late(status: &Status, waiting: &Waiting) -> bool {
    waiting.oldest.is_some_and(|oldest| oldest + DUE_FOR < status.at)
}

fn daemons(status: &Status) -> Option<Late> {
    let is_one_alive = status.daemons.iter().any(|daemon| daemon.is_alive);
    let silent: Vec<_> = status.daemons.iter().filter(|daemon| !daemon.is_alive).collect();
    if is_one_alive && silent.is_empty() {
        return None;
    }
    let told: Vec<_> = silent
        .iter()
        .take(TOLD)
        .map(|daemon| format!("{} (process {})", daemon.host, daemon.pid))
        .collect();
    let seen = Waiting {
        number: silent.len() as u64,
        oldest: silent.iter().map(|daemon| daemon.seen).min(),
    };
    let look = "enrolld doctor";
    Some(match (is_one_alive, told.is_empty()) {
        (true, _) => Late::new(
            "daemons_silent",
            seen,
            format!("silent, others have taken over: {}", told.join(", ")),
            look,
        ),
        (false, true) => Late::new("no_daemon", seen, "no daemon runs", look),
        (false, false) => Late::new(
            "no_daemon",
            seen,
            format!("no daemon is alive; silent: {}", told.join(", ")),
            look,
        ),
    })
}

fn redis(status: &Status) -> Option<Late> {
    let away = status.stream.as_ref().err()?;
    Some(Late::new(
        "redis_away",
        Waiting::default(),
        away.as_str(),
        "enrolld doctor",
    ))
}

fn intake(status: &Status) -> Vec<Late> {
    let mut late = Vec::new();
    if let Ok(stream) = &status.stream
        && is_late(status, stream)
    {
        let why = "entries of the intake are not taken in";
        late.push(Late::new("intake_waits", *stream, why, "enrolld doctor"));
    }
    if is_late(status, &status.inbox) {
        let why = "events are taken in and not applied: something that they need is away; the log has it";
        late.push(Late::new("events_wait", status.inbox, why, "enrolld doctor"));
    }
    late
}

fn dead(status: &Status) -> Option<Late> {
    let all = together(&status.dead)?;
    let why = format!("by kind and error: {}", by_error(&status.dead));
    Some(Late::new("jobs_dead", all, why, "enrolld jobs list --state dead"))
}

fn retrying(status: &Status) -> Option<Late> {
    let lasting = status.retrying.iter().filter(|group| group.failures >= FAILURES);
    let lasting: Vec<_> = lasting.cloned().collect();
    let all = together(&lasting)?;
    let why = format!("by kind and error: {}", by_error(&lasting));
    Some(Late::new(
        "jobs_retried",
        all,
        why,
        "enrolld jobs list --state retrying",
    ))
}

fn timers(status: &Status) -> Option<Late> {
    let why = "deadlines and retries that were due and have not begun";
    let look = "enrolld jobs list --state scheduled";
    (status.timers.number > 0).then(|| Late::new("deadlines_overdue", status.timers, why, look))
}

/// What somebody has paused waits for them, however long that is.
fn paused(status: &Status) -> Vec<Late> {
    let paused = status.paused.iter().map(|queue| {
        let of_kind = status.queues.iter().find(|(kind, _)| kind.as_str() == queue.kind);
        let waiting = Waiting {
            number: of_kind.map_or(0, |(_, waiting)| waiting.number),
            oldest: Some(moment(queue.paused_ms)),
        };
        let why = format!(
            "{} is paused by {}{}",
            queue.kind,
            queue.paused_by,
            because(&queue.reason)
        );
        Late::new("queue_paused", waiting, why, "enrolld queues list")
    });
    paused.collect()
}

fn queues(status: &Status) -> Vec<Late> {
    let is_paused = |kind: JobKind| status.paused.iter().any(|queue| queue.kind == kind.as_str());
    let late = status
        .queues
        .iter()
        .filter(|(kind, waiting)| is_late(status, waiting) && !is_paused(*kind));
    late.map(|(kind, waiting)| {
        let why = format!("queued in {}", kind.as_str());
        Late::new("queue_waits", *waiting, why, "enrolld queues list")
    })
    .collect()
}

fn agents(status: &Status) -> Option<Late> {
    let cases = &status.cases;
    if cases.overdue == 0 {
        return None;
    }
    let first = cases.longest.first();
    let named = first.map(|held| format!("; {} waits for longest", held.id));
    Some(Late {
        what: "agents_overdue",
        number: cases.overdue,
        at_least: cases.are_more,
        since: first.map(|held| held.since),
        why: format!(
            "with the agents for longer than review.sla{}",
            named.unwrap_or_default()
        ),
        look: "enrolld review list",
    })
}

fn provisioning(status: &Status) -> Option<Late> {
    let first = status.longest_provisioning.first();
    let named = first.map(|held| format!("; {} waits for longest", held.id));
    let why = format!("not set up after provisioning.within{}", named.unwrap_or_default());
    let look = "enrolld registrations list --state provisioning";
    (status.provisioning_overdue.number > 0)
        .then(|| Late::new("provisioning_overdue", status.provisioning_overdue, why, look))
}

fn together(groups: &[FailedAlike]) -> Option<Waiting> {
    (!groups.is_empty()).then(|| Waiting {
        number: groups.iter().map(|group| group.number).sum(),
        oldest: groups.iter().filter_map(|group| group.since).min(),
    })
}

/// `notification smtp_refused 2, verification timeout 1`
fn by_error(groups: &[FailedAlike]) -> String {
    let told = groups.iter().take(TOLD).map(|group| {
        let class = group.class.as_deref().unwrap_or("unknown");
        format!("{} {class} {}", group.kind, group.number)
    });
    let mut told: Vec<_> = told.collect();
    if groups.len() > TOLD {
        told.push(format!("and {} more kinds of error", groups.len() - TOLD));
    }
    told.join(", ")
}

#[cfg(test)]
mod tests;
