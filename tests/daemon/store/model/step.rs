//! What each command means for the model.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use enrolld::{
    links::digest,
    queue::JobRef,
    store::{
        entities::{inbox, job, refused, sync},
        inbox::{NewEvent, NewRefused},
    },
};
use enrolld_jobs::{effect::sync_id, values::RegistrationId};
use uuid::Uuid;

use super::{
    command::{Command, LEASE, TARGETS, before, order, pseudonym},
    draw::DAEMONS,
    transition::commit,
    world::{InboxKey, World},
};

/// What is known when a command is tried on the model.
pub(super) struct Round<'a> {
    pub(super) now: DateTime<Utc>,
    /// The inbox's numbers before the round.
    pub(super) seqs: &'a BTreeMap<i64, InboxKey>,
    /// What the database held afterwards: it tells what a command took that did not say, or could not.
    pub(super) after: &'a World,
    /// Whether the command was the only one, so that nobody had locked what it was to take.
    pub(super) is_alone: bool,
}

/// What a command did to the model, and its answer.
pub(super) struct Step {
    pub(super) world: World,
    pub(super) answer: String,
}

impl Round<'_> {
    pub(super) fn now_ms(&self) -> i64 {
        self.now.timestamp_millis()
    }

    /// Does `command`; `answer` is what it answered, where that is known. `None` if it cannot have answered that.
    pub(super) fn step(&self, world: &World, command: &Command, answer: Option<&str>) -> Option<Step> {
        let mut world = world.clone();
        let now_ms = self.now_ms();
        let done = || Some("done".to_owned());
        let given = match command {
            Command::Commit(transition) => Some(commit(&mut world, transition, self.seqs)),
            Command::TakeIn(epoch, events, refused) => Some(take_in(&mut world, *epoch, events, refused, now_ms)),
            Command::Refuse(seq, event) => {
                if end_event(&mut world, &self.seqs[seq], "refused", now_ms) {
                    refuse(&mut world, event, now_ms);
                }
                done()
            }
            Command::EndRepeated(seq) => {
                end_event(&mut world, &self.seqs[seq], "repeated", now_ms);
                done()
            }
            Command::NoteEventCrash(seq) => {
                if let Some(event) = world.inbox.get_mut(&self.seqs[seq]) {
                    event.crashes += 1;
                }
                done()
            }
            Command::ClearEventCrashes(seq) => {
                if let Some(event) = world.inbox.get_mut(&self.seqs[seq]) {
                    event.crashes = 0;
                }
                done()
            }
            Command::TakeDue(limit) => self.take_due(&mut world, *limit, answer),
            Command::TakeQueued(kind, seconds, limit) => self.take_queued(&mut world, *kind, *seconds, *limit, answer),
            Command::NoteCrash(reference) => Some(note_crash(&mut world, *reference)),
            Command::TakeAbandoned(limit) => self.take_abandoned(&mut world, *limit, answer),
            Command::Requeue(id) => Some(requeue(&mut world, *id, self.now).to_string()),
            Command::Heartbeat(id) => {
                world.daemons.entry((*id).to_owned()).or_insert((None, false)).1 = false;
                done()
            }
            Command::Stopped(id) => {
                if let Some(daemon) = world.daemons.get_mut(*id) {
                    daemon.0 = Some(now_ms);
                }
                done()
            }
            Command::HoldLease(holder) => Some(hold_lease(&mut world, holder)),
            Command::GiveLeasesBack(holder) => {
                for lease in world.leases.values_mut().filter(|lease| lease.0 == *holder) {
                    lease.2 = true;
                }
                done()
            }
            Command::Reconcile(limit) => Some(reconcile(&mut world, *limit, self.now)),
            Command::Prune(what, seconds, limit) => self.prune(&mut world, *what, *seconds, *limit, answer),
            Command::Erase(id, version) => Some(erase(&mut world, id, *version, now_ms)),
            Command::TimePasses => {
                world.leases.values_mut().for_each(|lease| lease.2 = true);
                world.daemons.values_mut().for_each(|daemon| daemon.1 = true);
                done()
            }
        }?;
        Some(Step { world, answer: given })
    }
}

fn take_in(world: &mut World, epoch: i64, events: &[NewEvent], refused: &[NewRefused], now_ms: i64) -> String {
    if world.leases.get(LEASE).is_none_or(|(_, held, _)| *held != epoch) {
        return "stale Lease".to_owned();
    }
    for event in events {
        let key = (event.entry.clone(), event.source.clone(), event.event_id.clone());
        world.inbox.entry(key).or_insert_with(|| inbox::Model {
            seq: 0,
            entry: event.entry.clone(),
            source: event.source.clone(),
            event_id: event.event_id.clone(),
            subject: event.subject.clone(),
            r#type: event.kind.clone(),
            body: event.body.clone(),
            state: "waiting".to_owned(),
            crashes: 0,
            received_ms: now_ms,
            done_ms: None,
        });
    }
    for event in refused {
        refuse(world, event, now_ms);
    }
    "done".to_owned()
}

fn note_crash(world: &mut World, reference: JobRef) -> String {
    let job = world.jobs.get_mut(&reference.id.to_string());
    let job = job.filter(|job| job.run_no == i64::from(reference.run_no));
    let is_its = |job: &&mut job::Model| {
        job.state == "queued" || job.state == "running" && job.daemon_id.as_deref() == Some(DAEMONS[0])
    };
    let Some(job) = job.filter(is_its) else {
        return "none".to_owned();
    };
    job.crashes += 1;
    job.run_no += 1;
    format!("{} {}", job.crashes, job.run_no)
}

fn refuse(world: &mut World, event: &NewRefused, now_ms: i64) {
    let key = (event.entry.clone(), event.event.clone());
    world.refused.entry(key).or_insert_with(|| refused::Model {
        seq: 0,
        entry: event.entry.clone(),
        r#type: event.kind.clone(),
        subject: event.subject.clone(),
        event: event.event.clone(),
        reason: event.reason.to_owned(),
        detail: event.detail.clone(),
        refused_ms: now_ms,
        announced_ms: None,
        replayed_ms: None,
        replayed_by: None,
    });
}

fn end_event(world: &mut World, key: &InboxKey, state: &str, now_ms: i64) -> bool {
    let event = world.inbox.get_mut(key).filter(|event| event.state == "waiting");
    let is_waiting = event.is_some();
    if let Some(event) = event {
        state.clone_into(&mut event.state);
        event.done_ms = Some(now_ms);
    }
    is_waiting
}

fn requeue(world: &mut World, id: Uuid, now: DateTime<Utc>) -> bool {
    let id = id.to_string();
    let job = world.jobs.get_mut(&id);
    let Some(job) = job.filter(|job| matches!(job.state.as_str(), "dead" | "retrying")) else {
        return false;
    };
    job.failures = 0;
    job.requeues += 1;
    job.run_at_ms = now.timestamp_millis();
    job.requeue_note = Some(order(now).note());
    if job.state == "retrying" {
        return true;
    }
    "scheduled".clone_into(&mut job.state);
    (job.attempts, job.crashes) = (0, 0);
    job.finished_ms = None;
    if let Some(mail) = world.mails.get_mut(&id).filter(|mail| mail.state == "failed") {
        "waiting".clone_into(&mut mail.state);
        mail.note = None;
    }
    true
}

fn hold_lease(world: &mut World, holder: &str) -> String {
    let lease = world
        .leases
        .entry(LEASE.to_owned())
        .or_insert((holder.to_owned(), 1, true));
    if lease.0 != holder && !lease.2 {
        return "none".to_owned();
    }
    if lease.0 != holder {
        lease.1 += 1;
    }
    *lease = (holder.to_owned(), lease.1, false);
    lease.1.to_string()
}

fn reconcile(world: &mut World, limit: u64, now: DateTime<Utc>) -> String {
    let (now_ms, since_ms) = (now.timestamp_millis(), before(now, 5).timestamp_millis());
    let is_of_interest = |ended: Option<i64>| ended.is_none_or(|at| at >= since_ms);
    let grants: Vec<_> = world
        .grants
        .values()
        .filter(|grant| is_of_interest(grant.ended_ms))
        .cloned()
        .collect();
    let mut last = "none".to_owned();
    for grant in grants.iter().take(usize::try_from(limit).expect("few")) {
        last.clone_from(&grant.id);
        for target in TARGETS {
            let id = sync_id(Uuid::parse_str(&grant.id).expect("an id"), target).to_string();
            if grant.ended_ms.is_none() {
                world.syncs.entry(id.clone()).or_insert_with(|| sync::Model {
                    id: id.clone(),
                    grant_id: grant.id.clone(),
                    target: target.to_owned(),
                    phase: "new".to_owned(),
                    losses: 0,
                    updated_ms: now_ms,
                });
            }
            if world.syncs.contains_key(&id) {
                let may = |state: &str| matches!(state, "succeeded" | "cancelled");
                arm(world, &id, grant.registration_id.clone(), now_ms, may);
            }
        }
    }
    last
}

/// Has a sync's job run, unless it is in a state in which it may not be touched. Whether it does.
pub(super) fn arm(
    world: &mut World,
    id: &str,
    registration: Option<String>,
    at_ms: i64,
    may: impl Fn(&str) -> bool,
) -> bool {
    let job = world.jobs.entry(id.to_owned()).or_insert_with(|| job::Model {
        id: id.to_owned(),
        kind: "provisioning_sync".to_owned(),
        registration_id: registration,
        account_id: None,
        step: 0,
        step_bound: false,
        // So that it is armed below.
        state: "succeeded".to_owned(),
        run_no: 0,
        attempts: 0,
        failures: 0,
        crashes: 0,
        requeues: 0,
        requeue_note: None,
        run_at_ms: at_ms,
        queued_ms: None,
        started_ms: None,
        finished_ms: None,
        daemon_id: None,
        error_class: None,
        error: None,
        note: None,
        created_ms: at_ms,
        trace: None,
    });
    if !may(&job.state) {
        return false;
    }
    "scheduled".clone_into(&mut job.state);
    (job.attempts, job.failures, job.crashes) = (0, 0, 0);
    job.run_at_ms = at_ms;
    (job.finished_ms, job.error_class, job.error, job.note) = (None, None, None, None);
    true
}

fn erase(world: &mut World, id: &RegistrationId, version: u64, now_ms: i64) -> String {
    let pseudonym = pseudonym(id);
    let id = id.as_str();
    let stored = world.registrations.get(id).map(|row| row.version);
    if stored != Some(version.cast_signed()) {
        return "none".to_owned();
    }
    let lines = std::mem::take(&mut world.timeline).into_iter();
    world.timeline = lines
        .map(|((of, version), mut line)| {
            if of != id {
                return ((of, version), line);
            }
            line.registration_id.clone_from(&pseudonym);
            "{}".clone_into(&mut line.detail);
            if line.actor != "enrolld" {
                line.actor.clone_from(&pseudonym);
            }
            ((pseudonym.clone(), version), line)
        })
        .collect();
    let is_ours = |of: &Option<String>| of.as_deref() == Some(id);
    for job in world.jobs.values_mut().filter(|job| is_ours(&job.registration_id)) {
        if matches!(job.kind.as_str(), "notification" | "email_verification")
            && matches!(job.state.as_str(), "scheduled" | "queued" | "retrying")
        {
            "cancelled".clone_into(&mut job.state);
            job.finished_ms = Some(now_ms);
        }
        (job.registration_id, job.error) = (None, None);
        (job.note, job.requeue_note, job.trace) = (None, None, None);
    }
    world.mails.retain(|_, mail| !is_ours(&mail.registration_id));
    world.links.retain(|_, link| link.registration_id != id);
    for grant in world
        .grants
        .values_mut()
        .filter(|grant| is_ours(&grant.registration_id))
    {
        if grant.ended_ms.is_some() {
            grant.account_id.clone_from(&pseudonym);
            grant.ended_by = None;
        }
        grant.registration_id = None;
    }
    for appointment in world
        .appointments
        .values_mut()
        .filter(|row| is_ours(&row.registration_id))
    {
        if appointment.ended_ms.is_some() {
            appointment.account_id.clone_from(&pseudonym);
        }
        appointment.registration_id = None;
    }
    for event in world.inbox.values_mut() {
        if event.subject == id && event.r#type.starts_with("registration.") && event.state != "waiting" {
            event.subject.clone_from(&pseudonym);
            "{}".clone_into(&mut event.body);
        }
    }
    let is_about = |event: &refused::Model| {
        event.subject.as_deref() == Some(id)
            && event
                .r#type
                .as_deref()
                .is_some_and(|kind| kind.starts_with("registration."))
    };
    world.refused.retain(|_, event| !is_about(event));
    world.registrations.remove(id);
    world.erased.insert(digest(id), now_ms);
    let subject = format!("\"subject\":\"{id}\"");
    world.notices.retain(|body| !body.contains(&subject));
    "done".to_owned()
}
