//! How long the steps of registrations took, and how many were in time: for `enrolld report sla`.
//!
//! Registrations are read in chunks, and of each step that is over one number is kept: a million registrations of eight steps take some
//! 32 MB. What the steps are is said in [`sla`].

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use enrolld_jobs::{
    registration::StateName,
    rules::Rules,
    sla::{self, Left, Step},
    values::RegistrationId,
    view::TimelineLine,
};

use crate::store::{Store, error::StoreError, registrations::Place};

/// Registrations read at once.
const CHUNK: u64 = 500;

/// Milliseconds in the unit in which spans are kept: a `u32` of them has room for 13 years.
const TENTH_MS: i64 = 100;

/// What steps are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By the step itself, and the whole by its outcome.
    Step,
    /// What waited for a DA, by who was asked.
    Da,
    /// The cases of the agents, by who ended them.
    Agent,
}

/// What a row of the report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A step.
    Step(Step),
    /// A DA, or an agent.
    Person(String),
}

/// A row of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is about.
    pub about: About,
    /// How many steps are over.
    pub count: u64,
    /// How many of them ended with a decision of whom they waited for.
    pub answered: u64,
    /// Half of them took no longer.
    pub median: Duration,
    /// 95 in 100 took no longer.
    pub p95: Duration,
    /// How long they may take.
    pub deadline: Option<Duration>,
    /// How many took less than that.
    pub in_time: Option<u64>,
}

impl Row {
    /// The share that was in time, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact in its 53rd bit")]
    pub fn share(&self) -> Option<f64> {
        self.in_time.map(|in_time| in_time as f64 / self.count.max(1) as f64)
    }
}

/// The steps that ended from `since` on and before `until`.
#[derive(Debug)]
pub struct Report<'a> {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    by: By,
    rules: &'a Rules,
    columns: BTreeMap<Key, Column>,
}

/// In the order of the rows.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// By the place among the states.
    State(usize),
    Whole(usize),
    Person(String),
}

#[derive(Debug, Default)]
struct Column {
    tenths: Vec<u32>,
    answered: u64,
    in_time: u64,
}

impl<'a> Report<'a> {
    /// A report without any step yet.
    pub fn new(by: By, since: DateTime<Utc>, until: DateTime<Utc>, rules: &'a Rules) -> Self {
        Self {
            since,
            until,
            by,
            rules,
            columns: BTreeMap::new(),
        }
    }

    /// Reads the timelines of all registrations that may have a step in the time of the report.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read(&mut self, store: &Store) -> Result<(), StoreError> {
        let mut after: Option<Place> = None;
        loop {
            // Whoever has left a step since then has come to the present state since then, too.
            let places = store.moved_since(self.since, self.until, after.as_ref(), CHUNK).await?;
            let Some(last) = places.last() else { return Ok(()) };
            let ids: Vec<&RegistrationId> = places.iter().map(Place::id).collect();
            let mut history: Vec<TimelineLine> = Vec::new();
            let mut of = String::new();
            // They come registration by registration.
            for (id, line) in store.timelines(&ids).await? {
                if id != of {
                    self.add(&history);
                    history.clear();
                    of = id;
                }
                history.push(line);
            }
            self.add(&history);
            after = Some(last.clone());
        }
    }

    /// Adds the steps of one registration.
    pub fn add(&mut self, history: &[TimelineLine]) {
        for left in sla::steps(history) {
            if left.at < self.since || left.at >= self.until {
                continue;
            }
            let Some(key) = self.key(&left) else { continue };
            let column = self.columns.entry(key).or_default();
            column.tenths.push(tenths(left.took));
            column.answered += u64::from(left.answered);
            let deadline = left.step.deadline(self.rules);
            let is_in_time = deadline.is_some_and(|deadline| left.took.to_std().unwrap_or_default() < deadline);
            column.in_time += u64::from(is_in_time);
        }
    }

    fn key(&self, left: &Left) -> Option<Key> {
        let place = |state| StateName::ALL.into_iter().position(|known| known == state);
        match (self.by, left.step) {
            (By::Step, Step::State(state)) => place(state).map(Key::State),
            (By::Step, Step::Whole(outcome)) => place(outcome).map(Key::Whole),
            (By::Da, Step::State(StateName::AwaitingDa)) | (By::Agent, Step::State(StateName::InReview)) => {
                left.by.clone().map(Key::Person)
            }
            (By::Da | By::Agent, _) => None,
        }
    }

    /// The rows: steps in the order of the road, people by how many steps they had.
    pub fn rows(self) -> Vec<Row> {
        let of_people = match self.by {
            By::Agent => StateName::InReview,
            By::Step | By::Da => StateName::AwaitingDa,
        };
        let rows = self.columns.into_iter().map(|(key, column)| {
            let (about, step) = match key {
                Key::State(place) => {
                    let step = Step::State(StateName::ALL[place]);
                    (About::Step(step), step)
                }
                Key::Whole(place) => {
                    let step = Step::Whole(StateName::ALL[place]);
                    (About::Step(step), step)
                }
                Key::Person(name) => (About::Person(name), Step::State(of_people)),
            };
            column.row(about, step.deadline(self.rules))
        });
        let mut rows: Vec<Row> = rows.collect();
        if self.by != By::Step {
            // They are in the order of their names, and stay so where they had as many.
            rows.sort_by_key(|row| std::cmp::Reverse(row.count));
        }
        rows
    }
}

impl Column {
    fn row(mut self, about: About, deadline: Option<Duration>) -> Row {
        self.tenths.sort_unstable();
        Row {
            about,
            count: self.tenths.len() as u64,
            answered: self.answered,
            median: percentile(&self.tenths, 50),
            p95: percentile(&self.tenths, 95),
            deadline,
            in_time: deadline.map(|_| self.in_time),
        }
    }
}

fn tenths(took: TimeDelta) -> u32 {
    let tenths = took.num_milliseconds().max(0) / TENTH_MS;
    u32::try_from(tenths).unwrap_or(u32::MAX)
}

/// The least of the `sorted` spans that at least `percent` of them do not exceed.
fn percentile(sorted: &[u32], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    let tenths = sorted.get(rank - 1).copied().unwrap_or_default();
    Duration::from_millis(u64::from(tenths) * TENTH_MS.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a moment")
    }

    fn line(seconds: i64, to: &str, event: &str, actor: &str, da: Option<&str>) -> TimelineLine {
        let mut detail = serde_json::Map::new();
        detail.insert("to".to_owned(), to.into());
        detail.extend(da.map(|da| ("da_account_id".to_owned(), json!(da))));
        TimelineLine {
            at: start() + TimeDelta::seconds(seconds),
            event: event.to_owned(),
            actor: actor.to_owned(),
            detail,
        }
    }

    /// Asked at 0, and decided by `da` after so many seconds.
    fn decided(da: &str, seconds: i64, to: &str) -> Vec<TimelineLine> {
        vec![
            line(0, "awaiting_da", "registration.confirmed", "newbie", Some(da)),
            line(seconds, to, "registration.da_decided", da, None),
        ]
    }

    fn report(by: By, rules: &Rules) -> Report<'_> {
        Report::new(by, start(), start() + TimeDelta::days(30), rules)
    }

    #[test]
    fn every_outcome_counts_and_a_deadline_is_missed_by_reaching_it() {
        let rules = Rules {
            da_timeout: Duration::from_secs(100),
            ..Rules::default()
        };
        let mut report = report(By::Step, &rules);
        for (seconds, to) in [(10, "denied"), (20, "active"), (99, "withdrawn"), (100, "denied")] {
            report.add(&decided("boss", seconds, to));
        }
        let rows = report.rows();
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.about.clone(),
                    row.count,
                    row.median.as_secs(),
                    row.p95.as_secs(),
                    row.in_time,
                )
            })
            .collect();
        let whole = |outcome| About::Step(Step::Whole(outcome));
        assert_eq!(
            told,
            [
                (About::Step(Step::State(StateName::AwaitingDa)), 4, 20, 100, Some(3)),
                (whole(StateName::Active), 1, 20, 20, None),
                (whole(StateName::Denied), 2, 10, 100, None),
                (whole(StateName::Withdrawn), 1, 99, 99, None),
            ]
        );
        assert_eq!(rows[0].share(), Some(0.75));
    }

    #[test]
    fn people_stand_by_how_much_they_had_and_what_ended_elsewhere_is_left_out() {
        let rules = Rules::default();
        let mut by_da = report(By::Da, &rules);
        for (da, seconds) in [("boss", 10), ("deputy", 20), ("deputy", 30), ("late", 31 * 86_400)] {
            by_da.add(&decided(da, seconds, "denied"));
        }
        let people: Vec<_> = by_da
            .rows()
            .into_iter()
            .map(|row| (row.about, row.count, row.answered))
            .collect();
        let person = |name: &str| About::Person(name.to_owned());
        assert_eq!(people, [(person("deputy"), 2, 2), (person("boss"), 1, 1)]);

        let mut by_agent = report(By::Agent, &rules);
        by_agent.add(&[
            line(0, "in_review", "registration.routed", "enrolld", None),
            line(60, "rejected", "registration.review_decided", "ann", None),
        ]);
        by_agent.add(&decided("boss", 10, "denied"));
        let rows = by_agent.rows();
        assert_eq!((rows.len(), &rows[0].about), (1, &person("ann")));
        assert_eq!((rows[0].deadline, rows[0].in_time), (Some(rules.review_sla), Some(1)));
    }

    proptest! {
        /// By its definition, counted out.
        #[test]
        fn a_percentile_is_the_least_that_so_many_do_not_exceed(
            mut spans in prop::collection::vec(0..1_000_u32, 1..200),
            percent in 1..=100_usize,
        ) {
            spans.sort_unstable();
            let found = percentile(&spans, percent).as_millis() / 100;
            let not_above = |limit: u128| spans.iter().filter(|span| u128::from(**span) <= limit).count() * 100;
            prop_assert!(spans.iter().any(|span| u128::from(*span) == found));
            prop_assert!(not_above(found) >= spans.len() * percent);
            if let Some(below) = found.checked_sub(1) {
                prop_assert!(not_above(below) < spans.len() * percent);
            }
        }
    }
}
