//! A daemon's life that ends in the midst: a process of its own, which draws the same commands, and is killed with SIGKILL.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use enrolld::store::Store;
use futures::{StreamExt as _, stream::FuturesUnordered};
use sea_orm::DbBackend;
use tempfile::NamedTempFile;

use super::{super::*, Kind, at_round, command::perform, draw, world::read};
use crate::support::child::{ChildProcess, PATIENCE, guarded_command};

/// Tells the process what to do: URL, seed and round.
const LIFE: &str = "ENROLLD_MODEL_LIFE";

/// What the process says once it begins, and before each answer.
const BEGINS: &str = "life begins";
const ANSWER: &str = "life answers ";

/// The role under which it connects to PostgreSQL, so that its sessions are told from others.
const ROLE: &str = "life";

/// Has another process perform the round's commands, kills it after a moment, and returns the answers that it gave until then.
pub(super) async fn ended_early(
    server: &DatabaseServer,
    store: &Store,
    seed: u64,
    round: u64,
    commands: usize,
) -> Vec<Option<String>> {
    let program = std::env::current_exe().expect("the test's own program");
    let said = NamedTempFile::new().expect("the temporary folder is writable");
    let mut command = guarded_command(&program, None);
    let url = server.url().replace("postgres@", &format!("{ROLE}@"));
    command
        .args(["--exact", "store::model::life::of_its_own", "--nocapture"])
        .env(LIFE, format!("{url} {seed} {round}"))
        .stdin(Stdio::null())
        .stdout(said.reopen().expect("the file is there"))
        .stderr(Stdio::null());
    let mut process = ChildProcess::spawn(&mut command);
    let text = || fs::read_to_string(said.path()).expect("the file is there");
    let start = Instant::now();
    while !text().contains(BEGINS) {
        assert!(start.elapsed() < PATIENCE, "it does not come to its commands");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let pause = seed.wrapping_add(round) % 20;
    tokio::time::sleep(Duration::from_millis(pause)).await;
    process.kill();
    settled(store).await;
    let mut answers = vec![None; commands];
    for line in text().lines() {
        let answer = line.strip_prefix(ANSWER).and_then(|answer| answer.strip_suffix(" ."));
        let answer = answer.and_then(|answer| answer.split_once(' '));
        if let Some((number, answer)) = answer {
            answers[number.parse::<usize>().expect("a number")] = Some(answer.to_owned());
        }
    }
    answers
}

/// Makes the role.
pub(super) async fn prepare(store: &Store) {
    if store.writer().get_database_backend() == DbBackend::Postgres {
        execute(store, &format!("CREATE ROLE {ROLE} SUPERUSER LOGIN")).await;
    }
}

/// PostgreSQL goes on with what a killed daemon has sent; SQLite was part of it.
async fn settled(store: &Store) {
    if store.writer().get_database_backend() == DbBackend::Postgres {
        while count(store, &format!("pg_stat_activity WHERE usename = '{ROLE}'")).await > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Not a test, but what [`ended_early`] runs: on its own it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_its_own() {
    let Ok(life) = std::env::var(LIFE) else { return };
    let mut words = life.split(' ');
    let mut word = || words.next().expect("URL, seed and round");
    let url = word().to_owned();
    let (seed, round) = (word().parse().expect("a seed"), word().parse().expect("a round"));
    let store = Store::open(&url, CONNECTIONS)
        .await
        .expect("the database takes connections");
    let now = at_round(round);
    let found = read(&store, now.timestamp_millis()).await;
    let commands = draw(seed, round, Kind::DaemonKilled, &found);
    println!("\n{BEGINS}");
    let tasks = commands.into_iter().enumerate().map(|(number, command)| {
        let store = store.clone();
        async move { (number, perform(&store, command, now).await) }
    });
    let mut answers: FuturesUnordered<_> = tasks.collect();
    while let Some((number, answer)) = answers.next().await {
        if let Some(answer) = answer {
            // An answer that is there only in part was not given.
            println!("\n{ANSWER}{number} {answer} .");
        }
    }
}
