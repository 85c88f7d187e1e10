//! Looks for an order of commands that explains what they answered and left behind.

use std::collections::HashMap;

use super::{command::Command, step::Round, world::World};

/// A command, and its answer if there was one.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) command: Command,
    pub(super) answer: Option<String>,
    /// Whether "stale" may also mean that it has happened, and its answer was lost.
    pub(super) may_have_been_first: bool,
}

/// Whether there is such an order.
pub(super) fn explains(round: &Round<'_>, before: &World, attempts: &[Attempt]) -> bool {
    let mut search = Search {
        round,
        attempts,
        tried: HashMap::new(),
        furthest: (0, before.clone()),
    };
    search.from(0, before)
}

/// How the world that could be explained best differs from the one that was read.
pub(super) fn difference(round: &Round<'_>, before: &World, attempts: &[Attempt]) -> String {
    let mut search = Search {
        round,
        attempts,
        tried: HashMap::new(),
        furthest: (0, before.clone()),
    };
    search.from(0, before);
    let (done, world) = search.furthest;
    let (model, real) = (world.rows(), round.after.rows());
    let mut lines = vec![format!(
        "the furthest that one comes is {} of them ({done:b}); then (- model, + database):",
        done.count_ones()
    )];
    lines.extend(model.difference(&real).map(|row| format!("- {row}")));
    lines.extend(real.difference(&model).map(|row| format!("+ {row}")));
    lines.join("\n")
}

struct Search<'a> {
    round: &'a Round<'a>,
    attempts: &'a [Attempt],
    /// Worlds that were come to before, by the commands done.
    tried: HashMap<u32, Vec<World>>,
    furthest: (u32, World),
}

impl Search<'_> {
    fn from(&mut self, done: u32, world: &World) -> bool {
        let all = self.attempts.iter().enumerate();
        let mut rest = all.filter(|(number, _)| done & (1 << number) == 0);
        // What was not answered need not have happened.
        if world == self.round.after && rest.all(|(_, attempt)| attempt.answer.is_none()) {
            return true;
        }
        let tried = self.tried.entry(done).or_default();
        if tried.contains(world) {
            return false;
        }
        tried.push(world.clone());
        if done.count_ones() >= self.furthest.0.count_ones() {
            self.furthest = (done, world.clone());
        }
        for (number, attempt) in self.attempts.iter().enumerate() {
            if done & (1 << number) != 0 {
                continue;
            }
            for next in self.outcomes(world, attempt) {
                if self.from(done | (1 << number), &next) {
                    return true;
                }
            }
        }
        false
    }

    /// What the attempt may have made of `world`.
    fn outcomes(&self, world: &World, attempt: &Attempt) -> Vec<World> {
        let answer = attempt.answer.as_deref();
        // PostgreSQL has ended it, for the sake of another.
        if answer == Some("nothing") {
            return vec![world.clone()];
        }
        let Some(step) = self.round.step(world, &attempt.command, answer) else {
            return Vec::new();
        };
        let is_answer = answer.is_none_or(|answer| self.same_answer(answer, &step.answer));
        let is_late_answer = attempt.may_have_been_first
            && answer.is_some_and(|answer| answer.starts_with("stale"))
            && step.answer == "done";
        if is_answer || is_late_answer {
            vec![step.world]
        } else {
            Vec::new()
        }
    }

    fn same_answer(&self, told: &str, expected: &str) -> bool {
        // Beside others, guards are looked at one after the other, and what the first spoke of may change before the last is looked at.
        if let (Some(guard), Some(guards)) = (told.strip_prefix("stale "), expected.strip_prefix("stale ")) {
            let mut guards = guards.split(' ');
            return if self.round.is_alone {
                guards.next() == Some(guard)
            } else {
                guards.any(|one| one == guard)
            };
        }
        // References to jobs may come in any order.
        let sorted = |text: &str| {
            let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        told == expected || (told.contains('/') && sorted(told) == sorted(expected))
    }
}
