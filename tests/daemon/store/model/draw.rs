//! Commands drawn at random: mostly such that they change something, some that are late, and many that are in each other's way.

use chrono::{DateTime, Utc};
use enrolld::{
    links::digest,
    queue::JobRef,
    store::{
        entities::job,
        inbox::{NewEvent, NewRefused},
        pruning::Finished,
    },
};
use enrolld_jobs::{job::JobKind, values::RegistrationId};
use rand::{Rng, RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use uuid::Uuid;

use super::{
    command::{Command, LEASE},
    world::{Found, World},
};

/// How many ids of registrations there are.
const REGISTRATIONS: usize = 6;
pub(super) const ACCOUNTS: [&str; 3] = ["newbie", "rival", "boss"];
pub(super) const DAEMONS: [&str; 2] = ["daemon-1", "daemon-2"];

/// A dice, and what is there to draw from.
pub(super) struct Drawing<'a> {
    pub(super) dice: StdRng,
    pub(super) found: &'a Found,
    pub(super) now: DateTime<Utc>,
    /// Makes ids differ from those of other rounds.
    pub(super) round: u64,
    pub(super) given: u64,
}

impl<'a> Drawing<'a> {
    pub(super) fn world(&self) -> &'a World {
        &self.found.world
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now.timestamp_millis()
    }

    /// With a likelihood in percent.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    pub(super) fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        all.choose(&mut self.dice).cloned()
    }

    pub(super) fn id(&mut self) -> Uuid {
        self.given += 1;
        // In no order: what is drawn later is not always the last row.
        let high = self.dice.next_u64();
        Uuid::from_u64_pair(high, (self.round << 16) + self.given)
    }

    pub(super) fn account(&mut self) -> String {
        self.one_of(&ACCOUNTS).expect("there are some").to_owned()
    }

    /// A registration's id that nobody with that id was erased from.
    pub(super) fn registration(&mut self) -> Option<String> {
        let ids = (0..REGISTRATIONS).map(|number| format!("reg-{number}"));
        let ids: Vec<_> = ids
            .filter(|id| !self.world().erased.contains_key(&digest(id)))
            .collect();
        self.one_of(&ids)
    }

    pub(super) fn job(&mut self, fits: impl Fn(&job::Model) -> bool) -> Option<job::Model> {
        let all: Vec<_> = self.world().jobs.values().filter(|job| fits(job)).collect();
        all.choose(&mut self.dice).map(|job| (*job).clone())
    }

    /// The lease's epoch, or one that is long over.
    pub(super) fn epoch(&mut self) -> i64 {
        let epoch = self.world().leases.get(LEASE).map_or(0, |lease| lease.1);
        if self.chance(10) { epoch - 1 } else { epoch }
    }

    /// The number of an event, most likely one that waits.
    pub(super) fn event(&mut self) -> Option<i64> {
        let any = self.chance(20);
        let seqs = self.found.seqs.iter();
        let fits = |(_, key): &(&i64, _)| any || self.world().inbox[*key].state == "waiting";
        let seqs: Vec<_> = seqs.filter(fits).map(|(seq, _)| *seq).collect();
        self.one_of(&seqs)
    }

    /// One command, or none if there is nothing for what was thought of.
    pub(super) fn command(&mut self) -> Option<Command> {
        Some(match self.dice.random_range(0..100) {
            0..50 => Command::Commit(Box::new(self.transition())),
            50..57 => self.take_in(),
            57..59 => {
                let seq = self.event()?;
                let key = self.found.seqs[&seq].clone();
                Command::Refuse(seq, self.refused(key.0))
            }
            59..61 => Command::EndRepeated(self.event()?),
            61 => Command::NoteEventCrash(self.event()?),
            62 => Command::ClearEventCrashes(self.event()?),
            63..71 => Command::TakeDue(self.limit()),
            71..75 => {
                let kind = self.one_of(&[JobKind::Verification, JobKind::Notification])?;
                Command::TakeQueued(kind, self.dice.random_range(0..10), self.limit())
            }
            75..80 => {
                let job = self.job(|job| matches!(job.state.as_str(), "queued" | "running" | "succeeded"))?;
                Command::NoteCrash(self.reference(&job))
            }
            80..83 => Command::TakeAbandoned(self.limit()),
            83..86 => {
                let dead = self.job(|job| job.state == "dead");
                Command::Requeue(dead.or_else(|| self.job(|_| true))?.id.parse().expect("an id"))
            }
            86 => Command::Heartbeat(self.one_of(&DAEMONS)?),
            87 => Command::Stopped(self.one_of(&DAEMONS)?),
            88..92 => Command::HoldLease(self.one_of(&DAEMONS)?),
            92 => Command::GiveLeasesBack(self.one_of(&DAEMONS)?),
            93..95 => Command::Reconcile(self.limit()),
            _ => {
                let what = [
                    Finished::Events,
                    Finished::Jobs,
                    Finished::Mails,
                    Finished::FailedAttempts,
                ];
                Command::Prune(self.one_of(&what)?, self.dice.random_range(5..20), self.limit())
            }
        })
    }

    /// One that nobody else may be at work beside.
    pub(super) fn lone_command(&mut self) -> Option<Command> {
        if self.chance(30) {
            return Some(Command::TimePasses);
        }
        if self.chance(30) {
            let rows: Vec<_> = self.world().registrations.values().collect();
            let row = *rows.choose(&mut self.dice)?;
            let (id, version) = (row.id.clone(), row.version.cast_unsigned());
            let id = RegistrationId::new(id).expect("an id");
            let late = u64::from(self.chance(10));
            return Some(Command::Erase(id, version + late));
        }
        self.command()
    }

    fn limit(&mut self) -> u64 {
        self.one_of(&[1, 2, 5, 500]).expect("there are some")
    }

    fn reference(&mut self, job: &job::Model) -> JobRef {
        let late = i64::from(self.chance(15));
        let run_no = u32::try_from(job.run_no + late).expect("few runs");
        JobRef {
            id: job.id.parse().expect("an id"),
            run_no,
        }
    }

    fn take_in(&mut self) -> Command {
        let epoch = self.epoch();
        let mut events = Vec::new();
        for _ in 0..self.dice.random_range(0..4) {
            let subject = self.registration().unwrap_or("nobody".to_owned());
            // Few keys, so that events repeat each other.
            let event_id = format!("e-{}", self.dice.random_range(0..30));
            let entry = if self.chance(10) {
                "1-1".to_owned()
            } else {
                format!("{}", self.id())
            };
            events.push(NewEvent {
                entry,
                source: "/portal".to_owned(),
                event_id,
                subject,
                kind: self
                    .one_of(&["registration.confirmed", "mail.bounced"])
                    .expect("some")
                    .to_owned(),
                body: format!("{{\"round\":{}}}", self.round),
            });
        }
        // What an earlier daemon has taken in and not acknowledged.
        if self.chance(20) {
            let known: Vec<_> = self.world().inbox.values().collect();
            if let Some(known) = known.choose(&mut self.dice) {
                let known = (*known).clone();
                events.push(NewEvent {
                    entry: known.entry,
                    source: known.source,
                    event_id: known.event_id,
                    subject: known.subject,
                    kind: known.r#type,
                    body: known.body,
                });
            }
        }
        let refused = (0..self.dice.random_range(0..2)).map(|_| {
            let entry = self.id().to_string();
            self.refused(entry)
        });
        let refused = refused.collect();
        Command::TakeIn(epoch, events, refused)
    }

    fn refused(&mut self, entry: String) -> NewRefused {
        NewRefused {
            entry,
            kind: self.chance(50).then(|| "registration.confirmed".to_owned()),
            subject: self.registration(),
            event: vec![0xff, 0, 1],
            reason: "malformed",
            detail: "{}".to_owned(),
        }
    }
}
