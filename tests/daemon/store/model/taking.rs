//! Commands that take what they find, some of several: what they took is known from their answers, or from what was left.

use std::collections::BTreeMap;

use enrolld::store::{entities::job, pruning::Finished};
use enrolld_jobs::job::JobKind;

use super::{LONG_MS, command::before, step::Round, world::World};

impl Round<'_> {
    pub(super) fn take_due(&self, world: &mut World, limit: u64, answer: Option<&str>) -> Option<String> {
        let now_ms = self.now_ms();
        let is_due =
            |job: &job::Model| matches!(job.state.as_str(), "scheduled" | "retrying") && job.run_at_ms <= now_ms;
        let taken =
            |before: &job::Model, after: &job::Model| before.run_no < after.run_no && after.queued_ms == Some(now_ms);
        let ids = self.taken(world, is_due, |job| job.run_at_ms, limit, answer, taken)?;
        for id in &ids {
            let job = world.jobs.get_mut(id).expect("it was taken");
            job.run_no += 1;
            "queued".clone_into(&mut job.state);
            job.queued_ms = Some(now_ms);
            job.daemon_id = None;
        }
        Some(references(world, &ids))
    }

    /// The ids that a command took: those that it named, else those that look like it afterwards. All must fit, and there must be
    /// no fewer, nor later ones, than there could be, if nobody had locked some.
    fn taken(
        &self,
        world: &World,
        fits: impl Fn(&job::Model) -> bool,
        order: impl Fn(&job::Model) -> i64,
        limit: u64,
        answer: Option<&str>,
        looks_taken: impl Fn(&job::Model, &job::Model) -> bool,
    ) -> Option<Vec<String>> {
        let all: Vec<_> = world.jobs.values().filter(|job| fits(job)).collect();
        let named = answer.filter(|answer| answer.contains('/') || answer.is_empty());
        let ids: Vec<String> = if let Some(answer) = named {
            let references = answer.split(' ').filter_map(|name| name.split_once('/'));
            references.map(|(id, _)| id.to_owned()).collect()
        } else {
            let taken = all.iter().filter(|job| {
                self.after
                    .jobs
                    .get(&job.id)
                    .is_some_and(|after| looks_taken(job, after))
            });
            // Which of several it was makes no difference.
            taken.map(|job| job.id.clone()).take(at_most(answer, limit)).collect()
        };
        let is_one = |id: &String| all.iter().any(|job| job.id == *id);
        if !ids.iter().all(is_one) || ids.len() as u64 > limit {
            return None;
        }
        if self.is_alone && answer.is_some() {
            let latest = ids.iter().map(|id| order(&world.jobs[id])).max();
            let is_before = |job: &&job::Model| !ids.contains(&job.id) && latest.is_some_and(|at| order(job) < at);
            if ids.len() as u64 != limit.min(all.len() as u64) || all.into_iter().any(|job| is_before(&job)) {
                return None;
            }
        }
        Some(ids)
    }

    pub(super) fn take_queued(
        &self,
        world: &mut World,
        kind: JobKind,
        seconds: i64,
        limit: u64,
        answer: Option<&str>,
    ) -> Option<String> {
        let (now_ms, before) = (self.now_ms(), before(self.now, seconds).timestamp_millis());
        let is_old = |job: &job::Model| {
            job.state == "queued" && job.kind == kind.as_str() && job.queued_ms.is_some_and(|at| at < before)
        };
        let taken =
            |before: &job::Model, after: &job::Model| before.run_no == after.run_no && after.queued_ms == Some(now_ms);
        let order = |job: &job::Model| job.queued_ms.unwrap_or_default();
        let ids = self.taken(world, is_old, order, limit, answer, taken)?;
        for id in &ids {
            world.jobs.get_mut(id).expect("it was taken").queued_ms = Some(now_ms);
        }
        Some(references(world, &ids))
    }

    pub(super) fn take_abandoned(&self, world: &mut World, limit: u64, answer: Option<&str>) -> Option<String> {
        let now_ms = self.now_ms();
        let daemons = world.daemons.clone();
        let is_live = |id: &str| matches!(daemons.get(id), Some((None, false)));
        let is_lost = |job: &job::Model| {
            job.state == "running"
                && job.started_ms.is_some_and(|at| at < now_ms - LONG_MS)
                && job.daemon_id.as_deref().is_some_and(|id| !is_live(id))
        };
        let taken = |_: &job::Model, after: &job::Model| after.run_at_ms == now_ms;
        let ids = self.taken(world, is_lost, |_| 0, limit, answer, taken)?;
        for id in &ids {
            let job = world.jobs.get_mut(id).expect("it was taken");
            "retrying".clone_into(&mut job.state);
            job.run_at_ms = now_ms;
            job.crashes += 1;
        }
        Some(ids.len().to_string())
    }

    pub(super) fn prune(
        &self,
        world: &mut World,
        what: Finished,
        seconds: i64,
        limit: u64,
        answer: Option<&str>,
    ) -> Option<String> {
        let before = before(self.now, seconds).timestamp_millis();
        let is_old = |at: Option<i64>| at.is_some_and(|at| at < before);
        let (after, most) = (self.after, at_most(answer, limit));
        let number = match what {
            Finished::Events => prune(
                &mut world.inbox,
                &after.inbox,
                most,
                |row| row.received_ms,
                |row| is_old(row.done_ms),
            ),
            Finished::Jobs => prune(
                &mut world.jobs,
                &after.jobs,
                most,
                |row| row.created_ms,
                |row| is_old(row.finished_ms) && matches!(row.state.as_str(), "succeeded" | "cancelled" | "discarded"),
            ),
            Finished::Mails => prune(
                &mut world.mails,
                &after.mails,
                most,
                |row| row.created_ms,
                |row| row.created_ms < before && matches!(row.state.as_str(), "sent" | "skipped"),
            ),
            Finished::FailedAttempts => prune(
                &mut world.failed_attempts,
                &after.failed_attempts,
                most,
                |row| row.at_ms,
                |row| row.at_ms < before,
            ),
            // Silence is judged by another clock on PostgreSQL.
            Finished::Daemons => unreachable!("it is not drawn"),
        };
        let (pruned, fitting) = number;
        let is_enough = !self.is_alone || answer.is_none() || pruned == limit.min(fitting);
        (pruned <= limit && is_enough).then(|| pruned.to_string())
    }
}

/// How many rows a command took, as far as its answer tells.
fn at_most(answer: Option<&str>, limit: u64) -> usize {
    let told = answer.and_then(|answer| answer.parse().ok());
    told.unwrap_or_else(|| usize::try_from(limit).expect("few"))
}

/// Deletes the rows that fit and are gone afterwards. How many, and how many fitted.
fn prune<K: Ord, V>(
    rows: &mut BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    at_most: usize,
    made: impl Fn(&V) -> i64,
    fits: impl Fn(&V) -> bool,
) -> (u64, u64) {
    let fitting = rows.values().filter(|row| fits(row)).count();
    let mut pruned = 0;
    rows.retain(|key, row| {
        // It may have come again meanwhile.
        let is_gone = after.get(key).is_none_or(|after| made(after) != made(row));
        let is_pruned = pruned < at_most && fits(row) && is_gone;
        pruned += usize::from(is_pruned);
        !is_pruned
    });
    (pruned as u64, fitting as u64)
}

fn references(world: &World, ids: &[String]) -> String {
    let jobs = ids.iter().map(|id| format!("{id}/{}", world.jobs[id].run_no));
    jobs.collect::<Vec<_>>().join(" ")
}
