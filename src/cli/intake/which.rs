//! Which refused events a command is about.

use anyhow::bail;
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use enrolld_jobs::refusal::Reason;

use crate::store::{Store, entities::refused, error::StoreError, refused::Filter};

/// Events read at once; each may have 64 KiB.
const CHUNK: usize = 100;

/// Problems that are told one by one.
const SHOWN: usize = 20;

/// Some by their numbers, or all.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Which {
    /// The events' numbers, as `intake rejected` shows them
    #[arg(value_name = "SEQ", required_unless_present = "all", conflicts_with = "all")]
    numbers: Vec<i64>,
    /// All that there are
    #[arg(long)]
    all: bool,
    /// Of all, only those that were refused for one of these reasons
    #[arg(long = "reason", value_name = "REASON", num_args = 1.., requires = "all", conflicts_with = "numbers", value_parser = reasons())]
    reasons: Vec<Reason>,
}

/// The reasons as names that clap lists and completes.
fn reasons() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)).try_map(|name| {
        Reason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == name)
            .ok_or("no reason of this name")
    })
}

impl Which {
    /// Whether they are named, so that each is meant.
    pub(super) fn are_named(&self) -> bool {
        !self.all
    }

    /// Of all, not those that were refused for `reason`, unless that was asked for.
    #[must_use]
    pub(super) fn without(mut self, reason: Reason) -> Self {
        if self.is_any() {
            self.reasons = Reason::ALL.into_iter().filter(|other| *other != reason).collect();
        }
        self
    }

    /// Whether all are meant, for whatever reason they were refused.
    pub(super) fn is_any(&self) -> bool {
        self.all && self.reasons.is_empty()
    }

    /// Looks at each event that is named; fails with all that hinders, if anything does. `done` is what is done with events.
    pub(super) async fn check(
        &self,
        store: &Store,
        done: &str,
        hindrance: impl Fn(&refused::Model) -> Option<String>,
    ) -> anyhow::Result<()> {
        let mut problems = Vec::new();
        for chunk in self.in_order().chunks(CHUNK) {
            let events = store.refused_of(chunk).await?;
            for &seq in chunk {
                let problem = match events.iter().find(|event| event.seq == seq) {
                    Some(event) => hindrance(event),
                    None => Some("there is no such refused event; `enrolld intake rejected` lists them".to_owned()),
                };
                problems.extend(problem.map(|problem| format!("\n  {seq}: {problem}")));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let more = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        if more > 0 {
            problems.push(format!("\n  … and {more} more"));
        }
        bail!("nothing was {done}:{}", problems.concat())
    }

    /// Begins to go through them, oldest first. Those that are refused meanwhile are not among them.
    pub(super) async fn walk(&self, store: &Store, fresh: bool) -> Result<Walk, StoreError> {
        if self.are_named() {
            return Ok(Walk::Named(self.in_order()));
        }
        let newest = store.refused_events(1).await?;
        Ok(Walk::All {
            filter: Filter {
                reasons: self.reasons.clone(),
                fresh,
            },
            after: 0,
            until: newest.first().map_or(0, |event| event.seq),
        })
    }

    fn in_order(&self) -> Vec<i64> {
        let mut numbers = self.numbers.clone();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// Goes through refused events, a chunk at a time.
#[derive(Debug)]
pub(super) enum Walk {
    /// These are left.
    Named(Vec<i64>),
    /// Those of `filter` after one number, up to another.
    All {
        /// Which are meant.
        filter: Filter,
        /// The last that was seen.
        after: i64,
        /// The last that is to be seen.
        until: i64,
    },
}

impl Walk {
    /// The next events; none when there are no more.
    pub(super) async fn next(&mut self, store: &Store) -> Result<Vec<refused::Model>, StoreError> {
        match self {
            Self::Named(left) => {
                let chunk: Vec<i64> = left.drain(..left.len().min(CHUNK)).collect();
                store.refused_of(&chunk).await
            }
            Self::All { filter, after, until } => {
                let events = store.refused_page(filter, *after, *until, CHUNK as u64).await?;
                *after = events.last().map_or(*until, |event| event.seq);
                Ok(events)
            }
        }
    }
}
