//! Several registrations of two people on one directory. What is decided is carried out as the store would: with its guards, all or
//! nothing, and decided again where another was faster.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use enrolld_jobs::{
    decide::Decision,
    effect::Effect,
    event::{Event, Present, Synced},
    registration::{FieldErrorCode, Registration, State, StateName},
    values::{AccountId, RegistrationId},
};
use proptest::prelude::*;

use super::{
    delegating::{DrawnRequest, drawn_request},
    drawn::{Drawn, drawn},
    invariants::check,
    judged,
    world::{World, WorldChange},
};
use crate::road::{Road, account_id, organization_id, rules_with, start};

/// Something that happens in the world.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// To a registration, by its number.
    Event(usize, Drawn),
    /// The same, and another thing while it is being decided: facts are as they were before.
    Meanwhile(usize, Drawn, Box<Happening>),
    /// A DA does something with somebody's access.
    Delegation(DrawnRequest),
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    let plain = || {
        prop_oneof![
            6 => (0..4usize, drawn()).prop_map(|(who, drawn)| Happening::Event(who, drawn)),
            1 => drawn_request().prop_map(Happening::Delegation),
        ]
    };
    prop_oneof![
        6 => plain(),
        1 => (0..4usize, drawn(), plain())
            .prop_map(|(who, drawn, other)| Happening::Meanwhile(who, drawn, Box::new(other))),
    ]
}

/// What has happened at all, so that it can be told whether a property has been tried.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    /// What must be seen.
    const ALL: [&'static str; 9] = [
        "appointed",
        "granted",
        "active after provisioning",
        "taken back by an agent",
        "superseded",
        "already requested",
        "stale",
        "delegated",
        "last administrator",
    ];

    /// What need not be: the DA must be there, and be quick.
    const RARE: [&'static str; 1] = ["taken back by a DA"];

    pub(super) fn note(&mut self, what: &'static str) {
        assert!(Self::ALL.contains(&what) || Self::RARE.contains(&what), "{what}");
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        Self::ALL.iter().all(|what| self.0.contains_key(what))
    }
}

/// The world and the registrations in it: three of `newbie`, one of `rival`.
pub(super) struct Shared {
    pub(super) world: World,
    pub(super) seen: Seen,
    roads: Vec<Road>,
    now: DateTime<Utc>,
}

impl Shared {
    /// Everybody has submitted; `boss` is DA of `first_da`, if that is given.
    pub(super) fn new(targets: usize, first_da: Option<&'static str>) -> Self {
        let owners = ["newbie", "rival", "newbie", "newbie"];
        let roads = owners.iter().enumerate().map(|(number, owner)| {
            let mut road = Road::submitted();
            road.registration.id = RegistrationId::new(format!("reg-{number}")).expect("an id");
            road.registration.account_id = account_id(owner);
            road.rules = rules_with(targets);
            road
        });
        Self {
            world: World::new(first_da),
            seen: Seen::default(),
            roads: roads.collect(),
            now: start(),
        }
    }

    /// Time passes, and the directory changes.
    pub(super) fn pass(&mut self, wait: Duration, change: &WorldChange) {
        self.now += wait;
        self.world.changes(change);
    }

    pub(super) fn happens(&mut self, happening: &Happening) {
        match happening {
            Happening::Event(who, drawn) => {
                let event = drawn.event(&self.roads[*who].registration);
                self.event(*who, &event, None);
            }
            Happening::Meanwhile(who, drawn, other) => {
                let event = drawn.event(&self.roads[*who].registration);
                self.event(*who, &event, Some(other));
            }
            Happening::Delegation(drawn) => {
                let effects = drawn.happens(&mut self.world, self.now, &mut self.seen);
                self.recheck(&effects);
            }
        }
        self.check();
    }

    /// Decides on `event` and commits, while `meanwhile` happens in between.
    fn event(&mut self, who: usize, event: &Event, meanwhile: Option<&Happening>) {
        let taken_back;
        let event = match event {
            // The job takes away from the target what is not wanted any more, and tells who does not want it.
            Event::Synced { grant_id, target, .. } if !self.world.is_open(*grant_id) => {
                taken_back = Event::Synced {
                    grant_id: *grant_id,
                    target: target.clone(),
                    outcome: Synced::TakenBack { by: account_id("boss") },
                };
                &taken_back
            }
            event => event,
        };
        let (road, present, epoch) = (self.road(who), self.present(who), self.world.epoch);
        let decision = judged(&road, event, &present);
        if let Some(other) = meanwhile {
            self.happens(other);
        }
        let Some(decision) = decision else { return };
        if self.commit(&decision, &present, epoch) {
            self.recheck(&decision.effects);
        } else {
            assert!(meanwhile.is_some(), "nobody else was there");
            self.seen.note("stale");
            self.event(who, event, None);
        }
    }

    /// The registration, with the clock and what agents may choose.
    fn road(&self, who: usize) -> Road {
        Road {
            now: self.now,
            companies: self.world.companies(),
            ..self.roads[who].clone()
        }
    }

    fn present(&self, who: usize) -> Present {
        let registration = &self.roads[who].registration;
        let others = self.roads.iter().map(|road| &road.registration).filter(|other| {
            other.account_id == registration.account_id && other.id != registration.id && !other.state.name().is_final()
        });
        self.world.present(registration, others.cloned().collect())
    }

    fn number(&self, id: &RegistrationId) -> usize {
        let mut roads = self.roads.iter();
        roads.position(|road| road.registration.id == *id).expect("one of ours")
    }

    /// Writes the decision and those of what it takes the place of, if nothing has changed that they rest on.
    fn commit(&mut self, decision: &Decision, present: &Present, epoch: u64) -> bool {
        let all: Vec<_> = std::iter::once(decision).chain(&decision.supersedes).collect();
        let version = |id: &RegistrationId| self.roads[self.number(id)].registration.version;
        let is_next = |one: &&Decision| version(&one.registration.id) + 1 == one.registration.version;
        let holds = all.iter().all(is_next)
            && decision.rests_on.iter().all(|(id, expected)| version(id) == *expected)
            && (!decision.rests_on_tree || epoch == self.world.epoch);
        if !holds {
            return false;
        }
        for superseded in &decision.supersedes {
            let other = self.road(self.number(&superseded.registration.id));
            let by = decision.registration.id.clone();
            check(
                &other.registration,
                &Event::Superseded { by },
                present,
                superseded,
                &other,
            );
            self.seen.note("superseded");
        }
        for one in all {
            let number = self.number(&one.registration.id);
            let before = std::mem::replace(&mut self.roads[number].registration, one.registration.clone());
            self.world.carry_out(one, self.now);
            self.compare(&before, &one.registration);
        }
        true
    }

    /// What a step must have left of the access that was given.
    fn compare(&mut self, before: &Registration, after: &Registration) {
        let (from, to) = (before.state.name(), after.state.name());
        if from == to {
            return;
        }
        match &after.state {
            State::Provisioning { granted, .. } | State::Active { granted } => {
                let appointed = granted.appointed && from != StateName::Provisioning;
                self.seen.note(if appointed { "appointed" } else { "granted" });
            }
            State::NeedsCorrection { errors }
                if errors
                    .iter()
                    .any(|error| error.code == FieldErrorCode::AlreadyRequested) =>
            {
                self.seen.note("already requested");
            }
            _ => {}
        }
        let State::Provisioning { granted, grants, .. } = &before.state else {
            return;
        };
        let is_open: Vec<_> = grants.iter().map(|grant| self.world.is_open(*grant)).collect();
        match to {
            StateName::Active => {
                self.seen.note("active after provisioning");
                assert!(is_open.iter().all(|open| *open), "active without access");
            }
            StateName::Rejected => {
                self.seen.note("taken back by an agent");
                assert!(!is_open.contains(&true), "rejected with access");
                let is_da = self.world.is_appointed(&after.account_id, &granted.organization_id);
                assert!(!(granted.appointed && is_da), "rejected, and still DA");
            }
            StateName::Denied => {
                self.seen.note("taken back by a DA");
                assert!(!is_open.contains(&true), "denied with access");
            }
            _ => panic!("from provisioning to {to:?}"),
        }
    }

    /// The requests that wait for a DA about whom there is news are looked at (D2).
    fn recheck(&mut self, effects: &[Effect]) {
        let news: Vec<AccountId> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::RecheckDa(da) => Some(da.clone()),
                _ => None,
            })
            .collect();
        for who in 0..self.roads.len() {
            let asked = match &self.roads[who].registration.state {
                State::AwaitingDa { asked } => asked.last().map(|asked| asked.administrator.account_id.clone()),
                _ => None,
            };
            if asked.is_some_and(|asked| news.contains(&asked)) {
                self.event(who, &Event::Recheck, None);
            }
        }
    }

    /// What holds of the whole world at any time.
    fn check(&self) {
        for road in &self.roads {
            let registration = &road.registration;
            let state = registration.state.name();
            // No open state without a timer, but where a job is under way; a dead one is the agents' (D22).
            let is_at_work = matches!(state, StateName::Verifying | StateName::Routing);
            assert_eq!(
                registration.deadline.is_some(),
                !state.is_final() && !is_at_work,
                "{registration:?}"
            );
            if let State::Provisioning { grants, .. } = &registration.state {
                for grant in grants {
                    assert!(self.world.is_open_or_ended_by_da(*grant), "access without a grant");
                }
            }
        }
        self.check_one_open_request();
    }

    /// Of one account and company one request at most is under way (D18). What an agent sent elsewhere was verified for another company.
    fn check_one_open_request(&self) {
        let root = organization_id("root");
        let is_under_way = |registration: &&Registration| {
            let state = registration.state.name();
            let is_idle = matches!(state, StateName::Verifying | StateName::NeedsCorrection);
            !state.is_final() && !is_idle && registration.routed_to.is_none() && registration.company() == Some(&root)
        };
        for owner in ["newbie", "rival"].map(account_id) {
            let under_way: Vec<_> = self
                .roads
                .iter()
                .map(|road| &road.registration)
                .filter(|registration| registration.account_id == owner)
                .filter(is_under_way)
                .map(|registration| (registration.id.as_str(), registration.state.name()))
                .collect();
            assert!(under_way.len() <= 1, "D18: {under_way:?}");
        }
    }
}
