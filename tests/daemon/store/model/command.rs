//! What is done to the store, and what it answers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use enrolld::{
    queue::JobRef,
    store::{
        Store,
        daemons::Daemon,
        error::StoreError,
        inbox::{NewEvent, NewRefused},
        interventions::Order,
        leases::Lease,
        pruning::Finished,
        transition::{Transition, Verdict},
    },
};
use enrolld_jobs::{job::JobKind, values::RegistrationId};
use uuid::Uuid;

use super::{super::pass, LONG, LONG_MS, draw::DAEMONS};

/// A command of a daemon.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Commit(Box<Transition>),
    TakeIn(i64, Vec<NewEvent>, Vec<NewRefused>),
    Refuse(i64, NewRefused),
    EndRepeated(i64),
    NoteEventCrash(i64),
    ClearEventCrashes(i64),
    TakeDue(u64),
    /// Those queued before so many seconds ago.
    TakeQueued(JobKind, i64, u64),
    NoteCrash(JobRef),
    TakeAbandoned(u64),
    Requeue(Uuid),
    Heartbeat(&'static str),
    Stopped(&'static str),
    HoldLease(&'static str),
    GiveLeasesBack(&'static str),
    Reconcile(u64),
    /// What was finished before so many seconds ago.
    Prune(Finished, i64, u64),
    Erase(RegistrationId, u64),
    /// So long that leases expire and daemons count as gone.
    TimePasses,
}

/// The targets that grants are driven to.
pub(super) const TARGETS: [&str; 2] = ["crm", "erp"];

/// The only lease of the model.
pub(super) const LEASE: &str = "intake";

/// What somebody wanted.
pub(super) fn order(at: DateTime<Utc>) -> Order {
    Order {
        by: "somebody".to_owned(),
        reason: "they wanted it".to_owned(),
        at,
    }
}

/// The pseudonym of whoever is erased.
pub(super) fn pseudonym(id: &RegistrationId) -> String {
    format!("erased-{id}")
}

/// A moment before `now`.
pub(super) fn before(now: DateTime<Utc>, seconds: i64) -> DateTime<Utc> {
    now - chrono::TimeDelta::seconds(seconds)
}

/// Has the store do it. The answer is a text that the model understands; `None` when the database was away, and nobody knows.
pub(super) async fn perform(store: &Store, command: Command, now: DateTime<Utc>) -> Option<String> {
    let answer = match command {
        Command::Commit(transition) => store.commit(*transition).await.map(|verdict| match verdict {
            Verdict::Applied => "done".to_owned(),
            Verdict::Stale(guard) => format!("stale {guard:?}"),
        }),
        Command::TakeIn(epoch, events, refused) => {
            let lease = Lease { name: LEASE, epoch };
            match store.take_in(&lease, &events, &refused, now).await {
                Err(StoreError::Conflict(_)) => Ok("stale Lease".to_owned()),
                other => other.map(done),
            }
        }
        Command::Refuse(seq, event) => store.refuse_event(seq, &event, now).await.map(done),
        Command::EndRepeated(seq) => store.end_repeated(seq, now).await.map(done),
        Command::NoteEventCrash(seq) => store.note_event_crashes(&[seq]).await.map(done),
        Command::ClearEventCrashes(seq) => store.clear_event_crashes(&[seq]).await.map(done),
        Command::TakeDue(limit) => store.take_due(now, limit).await.map(|taken| taken_jobs(&taken)),
        Command::TakeQueued(kind, seconds, limit) => {
            let taken = store.take_queued_before(kind, before(now, seconds), now, limit).await;
            taken.map(|taken| taken_jobs(&taken))
        }
        Command::NoteCrash(job) => store
            .note_crash(job, DAEMONS[0], now)
            .await
            .map(|noted| noted.map_or("none".to_owned(), |(crashes, job)| format!("{crashes} {}", job.run_no))),
        Command::TakeAbandoned(limit) => store
            .take_abandoned(now, LONG, limit)
            .await
            .map(|taken| taken.to_string()),
        Command::Requeue(id) => store
            .requeue(&[id], &order(now))
            .await
            .map(|done| done.contains(&id).to_string()),
        Command::Heartbeat(id) => {
            let (id, host) = (id.to_owned(), "host".to_owned());
            store.heartbeat(&Daemon { id, host, pid: 1 }, now).await.map(done)
        }
        Command::Stopped(id) => store.stopped(id, now).await.map(done),
        Command::HoldLease(holder) => store
            .hold_lease(LEASE, holder, now, Duration::from_millis(LONG_MS.cast_unsigned()))
            .await
            .map(|lease| lease.map_or("none".to_owned(), |lease| lease.epoch.to_string())),
        Command::GiveLeasesBack(holder) => store.give_leases_back(holder).await.map(done),
        Command::Reconcile(limit) => {
            let targets = TARGETS.map(str::to_owned);
            let last = store.reconcile(&targets, "", before(now, 5), limit, now).await;
            last.map(|last| last.unwrap_or("none".to_owned()))
        }
        Command::Prune(what, seconds, limit) => {
            let pruned = store.prune(what, before(now, seconds), limit).await;
            pruned.map(|number| number.to_string())
        }
        Command::Erase(id, version) => {
            let erased = store.erase(&id, version, &pseudonym(&id), now).await;
            erased.map(|erased| if erased.is_some() { "done" } else { "none" }.to_owned())
        }
        Command::TimePasses => {
            pass(store, 2 * LONG_MS / 1_000).await;
            Ok("done".to_owned())
        }
    };
    match answer {
        Ok(answer) => Some(answer),
        Err(StoreError::Refused(_)) => Some("refused".to_owned()),
        // A deadlock, found by PostgreSQL: whoever asked asks again, and nothing was done.
        Err(StoreError::Conflict(_)) => Some("nothing".to_owned()),
        Err(StoreError::Unavailable(_)) => None,
        Err(error @ StoreError::Fault(_)) => panic!("{error}"),
    }
}

fn done((): ()) -> String {
    "done".to_owned()
}

fn taken_jobs(taken: &[(JobKind, JobRef)]) -> String {
    let jobs = taken.iter().map(|(_, job)| format!("{}/{}", job.id, job.run_no));
    jobs.collect::<Vec<_>>().join(" ")
}
