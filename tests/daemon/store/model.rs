//! The real store against a small model of it: random commands, many at once, and crashes in the midst of them.
//!
//! A round draws commands from what the database holds, has them done at once, and reads the database again. There must be an
//! order of them in which the model gives the answers that they gave, and comes to what was read. Of a command that was not answered,
//! because the database or the daemon was killed, the model knows only that it has happened or not.
//!
//! `ENROLLD_MODEL_SECONDS=600` goes on for longer, `ENROLLD_MODEL_SEED` begins with the seed that a failure has printed: it draws
//! the same commands as long as the database answers in the same order.

mod command;
mod draw;
mod draw_transition;
mod life;
mod order;
mod step;
mod taking;
mod transition;
mod world;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use enrolld::{environment::Environment as _, environment::System, store::Store};
use futures::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::{
    command::{Command, perform},
    draw::Drawing,
    order::{Attempt, explains},
    step::Round,
    world::{Found, empty, read},
};
use super::*;

crate::support::for_each_database!(whatever_is_asked_at_once_happens_in_some_order);

/// How long leases hold, and after which silence a daemon counts as gone.
const LONG: Duration = Duration::from_millis(LONG_MS.cast_unsigned());
const LONG_MS: i64 = 500_000_000;

/// How long each database is tried, where nobody says otherwise.
const SECONDS: u64 = 12;

/// Answers that there must be for the test to have said anything.
const FEWEST: usize = 100;

/// Most commands at once. Looking for their order takes the longer the more they are.
const MOST: usize = 9;

/// Rounds until the database is emptied.
const EMPTY_AFTER: u64 = 40;

/// What becomes of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One command, after the other.
    Alone,
    /// Many at once.
    AtOnce,
    /// Many at once, in a process that is killed meanwhile.
    DaemonKilled,
    /// Many at once, while PostgreSQL is killed and started again.
    ServerKilled,
}

/// The commands of a round, the same wherever they are drawn.
fn draw(seed: u64, round: u64, kind: Kind, found: &Found) -> Vec<Command> {
    let dice = StdRng::seed_from_u64(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut drawing = Drawing {
        dice,
        found,
        now: at_round(round),
        round,
        given: 0,
    };
    if kind == Kind::Alone {
        return drawing.lone_command().into_iter().collect();
    }
    let number = drawing.dice.random_range(2..=MOST);
    (0..number).filter_map(|_| drawing.command()).collect()
}

/// Each round is a second later.
fn at_round(round: u64) -> DateTime<Utc> {
    at(round.cast_signed())
}

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

async fn whatever_is_asked_at_once_happens_in_some_order(database: Database) {
    let chance = u64::from_le_bytes(System.random()[..8].try_into().expect("eight bytes"));
    let seed = number_of("ENROLLD_MODEL_SEED").unwrap_or(chance);
    let time = Duration::from_secs(number_of("ENROLLD_MODEL_SECONDS").unwrap_or(SECONDS));
    let start = Instant::now();
    let (mut server, store) = open(database).await;
    life::prepare(&store).await;
    let mut run = Run { store, seed, seen: 0 };
    let mut dice = StdRng::seed_from_u64(seed);
    for round in 0.. {
        // A machine that has much else to do gets longer.
        if start.elapsed() > time && run.seen > FEWEST {
            break;
        }
        if round % EMPTY_AFTER == 0 {
            empty(&run.store).await;
        }
        let kind = match dice.random_range(0..1_000) {
            0..300 => Kind::Alone,
            300..370 => Kind::DaemonKilled,
            370..390 if database == Database::Postgres => Kind::ServerKilled,
            _ => Kind::AtOnce,
        };
        run.round(&mut server, round, kind).await;
    }
}

struct Run {
    store: Store,
    seed: u64,
    /// Answers seen so far.
    seen: usize,
}

impl Run {
    async fn round(&mut self, server: &mut DatabaseServer, round: u64, kind: Kind) {
        let now = at_round(round);
        let before = read(&self.store, now.timestamp_millis()).await;
        let commands = draw(self.seed, round, kind, &before);
        let answers = match kind {
            Kind::Alone | Kind::AtOnce => perform_all(&self.store, &commands, now).await,
            Kind::DaemonKilled => life::ended_early(server, &self.store, self.seed, round, commands.len()).await,
            Kind::ServerKilled => self.perform_while_killed(server, &commands, now).await,
        };
        let after = read(&self.store, now.timestamp_millis()).await;
        let attempts: Vec<_> = commands
            .into_iter()
            .zip(answers)
            .map(|(command, answer)| Attempt {
                // Who has lost a connection finds a commit that came through by the token of a registration. Without one, it looks
                // as if somebody else had done the same.
                may_have_been_first: kind == Kind::ServerKilled && is_without_token(&command),
                command,
                answer,
            })
            .collect();
        self.seen += attempts.iter().filter(|attempt| attempt.answer.is_some()).count();
        let model = Round {
            now,
            seqs: &before.seqs,
            after: &after.world,
            is_alone: attempts.len() == 1 && kind == Kind::Alone,
        };
        if !explains(&model, &before.world, &attempts) {
            let told: Vec<_> = attempts.iter().map(|attempt| format!("{attempt:#?}")).collect();
            panic!(
                "round {round} ({kind:?}) of ENROLLD_MODEL_SEED={}: no order of these commands explains what they answered and \
                 left behind\n{}\n{}",
                self.seed,
                told.join("\n"),
                order::difference(&model, &before.world, &attempts)
            );
        }
        in_order(&after.notices);
    }

    /// Performs them while PostgreSQL is killed and started again.
    async fn perform_while_killed(
        &mut self,
        server: &mut DatabaseServer,
        commands: &[Command],
        now: DateTime<Utc>,
    ) -> Vec<Option<String>> {
        let DatabaseServer::Postgres(postgres) = server else {
            unreachable!("only PostgreSQL is a server")
        };
        let (store, commands) = (self.store.clone(), commands.to_vec());
        let all = tokio::spawn(async move { perform_all(&store, &commands, now).await });
        let pause = self.seed.wrapping_add(now.timestamp().cast_unsigned()) % 12;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        postgres.kill();
        postgres.restart();
        let answers = all.await.expect("no command panics");
        // Connections that were cut while they lay idle would answer their next users with errors.
        self.store = open_again(server).await;
        answers
    }
}

async fn perform_all(store: &Store, commands: &[Command], now: DateTime<Utc>) -> Vec<Option<String>> {
    join_all(commands.iter().map(|command| perform(store, command.clone(), now))).await
}

fn is_without_token(command: &Command) -> bool {
    matches!(command, Command::Commit(transition) if transition.registrations.is_empty())
}

/// What goes out about one registration goes out in the order of its versions.
fn in_order(notices: &[String]) {
    let mut last = std::collections::HashMap::new();
    for notice in notices {
        let notice: serde_json::Value = serde_json::from_str(notice).expect("JSON");
        let (subject, version) = (notice["subject"].to_string(), notice["version"].as_i64());
        let before = last.insert(subject, version).flatten();
        assert!(
            version.is_none() || before < version,
            "{notice} goes out after version {before:?}"
        );
    }
}
