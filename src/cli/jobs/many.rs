//! Something is done with many jobs: in chunks, as fast as is wanted, and until somebody stops it.

use std::{num::NonZeroU32, time::Duration};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::which::Wanted;
use crate::{
    cli::output::{self, Format},
    store::{Store, selection::Place},
};

/// Jobs looked for, and done with in one transaction, at most.
pub(super) const CHUNK: u64 = 500;

/// Of those that were left alone so many are named.
const NAMED: usize = 20;

/// A job that it was not done with, and why.
#[derive(Debug, Clone)]
pub(super) struct Left {
    pub(super) id: Uuid,
    pub(super) why: String,
}

/// What has become of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The jobs that it was done with.
    pub(super) done: Vec<Uuid>,
    /// Those that it was not done with; of very many, the first ones.
    left: Vec<Left>,
    left_number: usize,
    is_stopped: bool,
}

/// The pace: so many a second, evenly, and never more than a second's at once.
struct Pace {
    rate: Option<NonZeroU32>,
    begun: Instant,
    given: u64,
}

impl Pace {
    fn new(rate: Option<NonZeroU32>) -> Self {
        Self {
            rate,
            begun: Instant::now(),
            given: 0,
        }
    }

    /// Waits until some may be taken, and tells how many of `most`.
    async fn next(&mut self, most: usize) -> usize {
        loop {
            match self.take(self.begun.elapsed(), most) {
                Ok(number) => return number,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// How many of `most` may be taken so long after the beginning, or how long to wait before the next.
    fn take(&mut self, elapsed: Duration, most: usize) -> Result<usize, Duration> {
        let Some(rate) = self.rate else { return Ok(most) };
        let rate = u64::from(rate.get());
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        // The first may go at once.
        let allowed = 1 + elapsed_ms.saturating_mul(rate) / 1_000;
        // Whoever was slow does not make up for all of it.
        self.given = self.given.max(allowed.saturating_sub(rate));
        let number = usize::try_from(allowed - self.given.min(allowed))
            .unwrap_or(most)
            .min(most);
        if number == 0 {
            let due_ms = (self.given * 1_000).div_ceil(rate);
            return Err(Duration::from_millis(due_ms.saturating_sub(elapsed_ms).max(1)));
        }
        self.given += number as u64;
        Ok(number)
    }
}

/// Does `act` with all that is `wanted`, oldest first. It is given some ids at a time, and tells which of them it left alone, and why.
/// Ctrl-C ends it after those that are under way.
pub(super) async fn each(
    store: &Store,
    wanted: Wanted,
    rate: Option<NonZeroU32>,
    mut act: impl AsyncFnMut(&[Uuid]) -> anyhow::Result<Vec<Left>>,
) -> anyhow::Result<Tally> {
    let stop = on_interrupt();
    let bar = progress(number_of(store, &wanted).await?);
    let mut walk = Walk {
        pace: Pace::new(rate),
        tally: Tally::default(),
        bar,
        stop,
    };
    let walked = async {
        match wanted {
            Wanted::These(ids) => walk.through(&ids, &mut act).await?,
            Wanted::All(filters) => {
                for filter in filters {
                    let mut after = None;
                    while !walk.tally.is_stopped {
                        let jobs = store.jobs_after(&filter, after.as_ref()).await?;
                        let Some(last) = jobs.last() else { break };
                        after = Some(Place::of(last));
                        let ids: Vec<_> = jobs.iter().filter_map(|job| Uuid::parse_str(&job.id).ok()).collect();
                        walk.through(&ids, &mut act).await?;
                    }
                }
            }
        }
        anyhow::Ok(())
    };
    let ended = Box::pin(walked).await;
    walk.bar.finish_and_clear();
    ended.with_context(|| {
        format!(
            "it was done with {} jobs so far, and ended there",
            walk.tally.done.len()
        )
    })?;
    Ok(walk.tally)
}

struct Walk {
    pace: Pace,
    tally: Tally,
    bar: ProgressBar,
    stop: CancellationToken,
}

impl Walk {
    async fn through(
        &mut self,
        mut ids: &[Uuid],
        act: &mut impl AsyncFnMut(&[Uuid]) -> anyhow::Result<Vec<Left>>,
    ) -> anyhow::Result<()> {
        while !ids.is_empty() && !self.tally.is_stopped {
            let most = ids.len().min(usize::try_from(CHUNK).unwrap_or(usize::MAX));
            let number = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.tally.is_stopped = true;
                    return Ok(());
                }
                number = self.pace.next(most) => number,
            };
            let (now, later) = ids.split_at(number);
            let left = act(now).await?;
            let is_left = |id: &Uuid| left.iter().any(|left| left.id == *id);
            self.tally.done.extend(now.iter().filter(|id| !is_left(id)));
            self.tally.left_number += left.len();
            self.tally.left.extend(left.into_iter().take(NAMED));
            self.bar.inc(number as u64);
            ids = later;
        }
        Ok(())
    }
}

impl Tally {
    /// Says how it went; `done` is what was done, such as `queued again`. An error when it was stopped, when one of the jobs named
    /// was left alone, or when there were only such.
    pub(super) fn tell(self, done: &str, are_named: bool, form: Format) -> anyhow::Result<()> {
        match form {
            Format::Json => output::json(&self.as_json())?,
            Format::Table if are_named => {
                for id in &self.done {
                    output::text(&id.to_string())?;
                }
            }
            Format::Table => output::text(&format!("{} {done}", jobs_are(self.done.len() as u64)))?,
        }
        let mut lines: Vec<_> = self
            .left
            .iter()
            .take(NAMED)
            .map(|left| format!("{}: {}", left.id, left.why))
            .collect();
        if self.left_number > lines.len() {
            lines.push(format!("and {} more", self.left_number - lines.len()));
        }
        if self.is_stopped {
            bail!(
                "stopped: {} {done}; the same command goes on with the rest",
                jobs_are(self.done.len() as u64)
            );
        }
        if lines.is_empty() {
            return Ok(());
        }
        let said = format!("not {done}:\n  {}", lines.join("\n  "));
        if are_named || self.done.is_empty() {
            bail!("{said}");
        }
        output::remark(&said);
        Ok(())
    }

    fn as_json(&self) -> Value {
        let left = self.left.iter().map(|left| json!({"id": left.id, "why": left.why}));
        json!({
            "jobs": self.done,
            "left_alone": left.collect::<Vec<_>>(),
            "left_alone_number": self.left_number,
            "stopped": self.is_stopped,
        })
    }
}

/// `1 job is`
pub(super) fn jobs_are(number: u64) -> String {
    match number {
        1 => "1 job is".to_owned(),
        number => format!("{number} jobs are"),
    }
}

/// How many are wanted.
pub(super) async fn number_of(store: &Store, wanted: &Wanted) -> anyhow::Result<u64> {
    match wanted {
        Wanted::These(ids) => Ok(ids.len() as u64),
        Wanted::All(filters) => {
            let mut number = 0;
            for filter in filters {
                number += store.count_jobs(filter).await?;
            }
            Ok(number)
        }
    }
}

/// A bar on standard error; none where that is no terminal.
fn progress(number: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} jobs, {per_sec}, {eta} left");
    let bar = ProgressBar::new(number);
    bar.set_style(style.expect("the template is sound"));
    bar
}

/// Cancelled at Ctrl-C.
fn on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    stop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_even_and_owes_no_more_than_a_second() {
        let mut pace = Pace::new(NonZeroU32::new(10));
        let (mut elapsed, mut taken) = (Duration::ZERO, 0);
        while taken < 500 {
            match pace.take(elapsed, 500 - taken) {
                Ok(number) => taken += number,
                Err(wait) => elapsed += wait,
            }
        }
        assert_eq!(elapsed, Duration::from_millis(49_900));
        // What was missed meanwhile is not all made up for.
        elapsed += Duration::from_mins(1);
        assert_eq!(pace.take(elapsed, 500), Ok(10));
        assert_eq!(pace.take(elapsed, 500), Err(Duration::from_millis(100)));

        let mut fast = Pace::new(NonZeroU32::new(100_000));
        assert_eq!(fast.take(Duration::ZERO, 500), Ok(1));
        assert_eq!(fast.take(Duration::from_millis(2), 500), Ok(200));
        assert_eq!(fast.take(Duration::from_secs(2), 500), Ok(500));
        assert_eq!(Pace::new(None).take(Duration::ZERO, 500), Ok(500));
    }
}
