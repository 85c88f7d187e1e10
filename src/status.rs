//! How things stand: what waits, for how long, and what of it is late.
//!
//! Everything is asked of the database and Redis in bounded time, whatever is stored. Counting ends at [`MOST_COUNTED`], and of the
//! agents' cases the oldest [`MOST_CASES`] are looked at.

mod late;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use enrolld_jobs::{
    job::JobKind,
    registration::{Registration, ReviewReason, State, StateName},
    values::{AccountId, RegistrationId},
};

pub use self::late::{Late, late};
use crate::{
    queue::{Redis, kept},
    settings::Settings,
    store::{
        Store,
        counts::{MOST_COUNTED, Waiting},
        entities::{daemon, queue},
        error::StoreError,
        moment,
        standing::{Bounced, FailedAlike},
    },
};

/// Cases of the agents that are looked at, the oldest first.
pub const MOST_CASES: u64 = 1_000;

/// Registrations that are named, of those that wait for longest.
const NAMED: u64 = 5;

/// Daemons that are looked at, of those heard of last.
const MOST_DAEMONS: u64 = 100;

/// Bounces are told for this time.
pub const BOUNCES_FOR: TimeDelta = TimeDelta::hours(24);

/// What is due and has not begun after this time is late: it takes a moment by itself.
pub const DUE_FOR: TimeDelta = TimeDelta::seconds(60);

/// How things stand at a moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// The moment.
    pub at: DateTime<Utc>,
    /// Those that live, and those that fell silent and have no successor on their host.
    pub daemons: Vec<SeenDaemon>,
    /// Entries of `enrolld:intake` that are not taken in; or why Redis does not tell.
    pub stream: Result<Waiting, String>,
    /// Events that are taken in and not applied.
    pub inbox: Waiting,
    /// Events on their way out, counted no further than [`MOST_COUNTED`].
    pub notices: u64,
    /// What is queued, by kind.
    pub queues: Vec<(JobKind, Waiting)>,
    /// The queues that are paused.
    pub paused: Vec<queue::Model>,
    /// Timers and retries that were due [`DUE_FOR`] ago.
    pub timers: Waiting,
    /// Jobs that wait for a person.
    pub dead: Vec<FailedAlike>,
    /// Jobs that failed, and are tried again.
    pub retrying: Vec<FailedAlike>,
    /// What agents have to act on.
    pub cases: Cases,
    /// Registrations that wait for a DA.
    pub das: Waiting,
    /// Those that do for longest.
    pub longest_das: Vec<Held>,
    /// Registrations whose access is being set up.
    pub provisioning: Waiting,
    /// Those of them past `provisioning.within`.
    pub provisioning_overdue: Waiting,
    /// Those that are for longest.
    pub longest_provisioning: Vec<Held>,
    /// Addresses that mail came back from within [`BOUNCES_FOR`].
    pub bounces: Bounced,
}

/// A daemon that there should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDaemon {
    /// Its id.
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: i64,
    /// Its release.
    pub version: String,
    /// Whether it has given a sign of life within `heartbeat.dead_after`.
    pub is_alive: bool,
    /// The last one.
    pub seen: DateTime<Utc>,
}

/// A registration that waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub id: RegistrationId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why agents have it.
    pub reason: Option<ReviewReason>,
    /// The DA who is asked.
    pub da: Option<AccountId>,
}

/// What agents have to act on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cases {
    /// How many, of the [`MOST_CASES`] that were looked at.
    pub number: u64,
    /// Whether there are more.
    pub are_more: bool,
    /// How many of them are past `review.sla`.
    pub overdue: u64,
    /// How many for each reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Those that wait for longest, by the agents' clock.
    pub longest: Vec<Held>,
}

/// Looks at everything.
///
/// # Errors
/// When the database cannot be asked. Redis may be away.
pub async fn look(
    store: &Store,
    redis: Result<Redis, String>,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Status, StoreError> {
    let stream = async {
        let redis = redis?;
        let entries = kept(&redis, &format!("{}:intake", settings.redis.prefix))
            .await
            .map_err(|error| error.to_string())?;
        Ok(Waiting {
            number: entries.number,
            oldest: entries.oldest_ms.map(|ms| moment(ms.cast_signed())),
        })
    };
    let (stream, database) = tokio::join!(stream, look_at_database(store, settings, now));
    Ok(Status { stream, ..database? })
}

async fn look_at_database(store: &Store, settings: &Settings, now: DateTime<Utc>) -> Result<Status, StoreError> {
    let overdue = now - settings.provisioning.within;
    let longest = async |state| -> Result<Vec<Held>, StoreError> {
        let registrations = store.longest_in(state, NAMED).await?;
        Ok(registrations.iter().map(held).collect())
    };
    Ok(Status {
        at: now,
        daemons: daemons(store, settings.heartbeat.dead_after, now).await?,
        stream: Ok(Waiting::default()),
        inbox: store.inbox_waiting().await?,
        notices: store.notices_waiting().await?,
        queues: store.queues().await?,
        paused: store.paused_queues().await?,
        timers: store.overdue_timers(now - DUE_FOR).await?,
        dead: store.failed_alike("dead").await?,
        retrying: store.failed_alike("retrying").await?,
        cases: cases(&store.cases(None, MOST_CASES + 1).await?, settings.review.sla, now),
        das: store.in_state_before(StateName::AwaitingDa, now).await?,
        longest_das: longest(StateName::AwaitingDa).await?,
        provisioning: store.in_state_before(StateName::Provisioning, now).await?,
        provisioning_overdue: store.in_state_before(StateName::Provisioning, overdue).await?,
        longest_provisioning: longest(StateName::Provisioning).await?,
        bounces: store.bounced_since(now - BOUNCES_FOR).await?,
    })
}

async fn daemons(store: &Store, dead_after: Duration, now: DateTime<Utc>) -> Result<Vec<SeenDaemon>, StoreError> {
    let live = store.live_daemons(now, dead_after).await?;
    let heard_of = store.daemons_heard_of(MOST_DAEMONS).await?;
    Ok(expected(&heard_of, |daemon| live.contains(&daemon.id)))
}

/// Those that live, and those that ended without a word; of a host the newest alone, where that is silent.
fn expected(heard_of: &[daemon::Model], is_alive: impl Fn(&daemon::Model) -> bool) -> Vec<SeenDaemon> {
    let newest_start = |host: &str| {
        let of_host = heard_of.iter().filter(|daemon| daemon.host == host);
        of_host.map(|daemon| daemon.started_ms).max()
    };
    let seen = heard_of.iter().filter_map(|daemon| {
        let is_alive = is_alive(daemon);
        let is_missed = daemon.stopped_ms.is_none() && newest_start(&daemon.host) == Some(daemon.started_ms);
        (is_alive || is_missed).then(|| SeenDaemon {
            id: daemon.id.clone(),
            host: daemon.host.clone(),
            pid: daemon.pid,
            version: daemon.version.clone(),
            is_alive,
            seen: moment(daemon.heartbeat_ms),
        })
    });
    seen.collect()
}

fn held(registration: &Registration) -> Held {
    Held {
        id: registration.id.clone(),
        since: registration
            .agents_clock()
            .map_or(registration.since, |clock| clock.started),
        reason: registration.review_reason(),
        da: match &registration.state {
            State::AwaitingDa { asked } => asked.last().map(|asked| asked.administrator.account_id.clone()),
            _ => None,
        },
    }
}

/// What agents have to act on, among `registrations`, which are cases. One whose applicant was asked something waits for them.
fn cases(registrations: &[Registration], sla: Duration, now: DateTime<Utc>) -> Cases {
    let most = usize::try_from(MOST_CASES).unwrap_or(usize::MAX);
    let mut cases = Cases {
        are_more: registrations.len() > most,
        ..Cases::default()
    };
    let with_agents = registrations
        .iter()
        .take(most)
        .filter(|registration| registration.state.name() != StateName::AwaitingInformation);
    for registration in with_agents {
        let held = held(registration);
        cases.number += 1;
        let clock = registration.agents_clock();
        cases.overdue += u64::from(clock.is_some_and(|clock| clock.started + sla <= now));
        *cases
            .reasons
            .entry(held.reason.map_or("", ReviewReason::as_str))
            .or_default() += 1;
        cases.longest.push(held);
    }
    cases.longest.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    cases.longest.truncate(usize::try_from(NAMED).unwrap_or(usize::MAX));
    cases
}

/// Whether a number is where counting ended.
pub const fn is_at_least(number: u64) -> bool {
    number >= MOST_COUNTED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(id: &str, host: &str, started_ms: i64, stopped_ms: Option<i64>) -> daemon::Model {
        daemon::Model {
            id: id.to_owned(),
            host: host.to_owned(),
            pid: 1,
            version: "0.1.0".to_owned(),
            started_ms,
            heartbeat_ms: started_ms,
            stopped_ms,
        }
    }

    #[test]
    fn a_silent_daemon_is_missed_until_another_starts_in_its_place() {
        let heard_of = [
            daemon("alive", "a", 9, None),
            daemon("killed-before", "a", 5, None),
            daemon("killed", "b", 7, None),
            daemon("killed-earlier", "b", 3, None),
            daemon("stopped", "c", 8, Some(9)),
        ];
        let seen = expected(&heard_of, |daemon| daemon.id == "alive");
        let seen: Vec<_> = seen
            .iter()
            .map(|daemon| (daemon.id.as_str(), daemon.is_alive))
            .collect();
        assert_eq!(seen, [("alive", true), ("killed", false)]);
    }
}
