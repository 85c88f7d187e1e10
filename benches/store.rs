//! How many transitions a second the store commits, for a number of concurrent submitters, on SQLite and PostgreSQL with
//! everything flushed to the disk. A transition is the next version of one of 20,000 registrations of some 700 bytes, a
//! line on its timeline, a notice, one new job, and one that ended.
//!
//! `cargo bench --bench store`; a PostgreSQL server must be installed.
#![expect(clippy::print_stdout, reason = "the figures are the purpose")]

#[path = "../tests/support/child.rs"]
mod child;
#[path = "../tests/support/postgres.rs"]
#[expect(dead_code, reason = "nothing is killed here")]
mod postgres;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use comfy_table::Table;
use enrolld::store::{
    Store,
    transition::{JobWrite, NewJob, RegistrationWrite, Transition, Verdict},
};
use futures::future::try_join_all;
use postgres::PostgresServer;
use sea_orm::{ConnectionTrait, Statement};
use tempfile::TempDir;
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

const REGISTRATIONS: usize = 20_000;
const SUBMITTERS: [usize; 4] = [1, 16, 64, 256];
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 10;
const NOW_MS: i64 = 1_795_000_000_000;

/// The settings of a server that loses nothing, and has the memory of a small one.
const DURABLE: &[&str] = &[
    "fsync=on",
    "full_page_writes=on",
    "shared_buffers=128MB",
    "max_wal_size=1GB",
];

/// What a submitter remembers of one of its registrations.
struct Known {
    number: usize,
    version: i64,
}

impl Known {
    fn job(&self) -> Uuid {
        Uuid::from_u128((self.number as u128) << 64 | u128::from(self.version.cast_unsigned()))
    }

    /// The next version; ends the job that the present one made.
    fn next(&mut self, data: &str) -> Transition {
        let before = (self.version > 0).then(|| self.job());
        self.version += 1;
        let id = format!("registration-{:08}", self.number);
        Transition {
            registrations: vec![RegistrationWrite {
                id: id.clone(),
                account_id: format!("account-{}", self.number),
                state: "verifying",
                version: self.version,
                step: self.version,
                root_id: None,
                review_reason: None,
                da_account_id: None,
                since_ms: NOW_MS,
                created_ms: NOW_MS,
                data: data.to_owned(),
                at_ms: NOW_MS,
                event: "registration.submitted",
                actor: "newbie".to_owned(),
                detail: "{}".to_owned(),
                token: self.job(),
                notice: data.to_owned(),
            }],
            job: before.map(|id| JobWrite {
                id,
                run_no: 1,
                from: "queued".to_owned(),
                state: "succeeded",
                attempts: 0,
                failures: 0,
                crashes: 0,
                run_at_ms: NOW_MS,
                started_ms: Some(NOW_MS),
                finished_ms: Some(NOW_MS),
                daemon_id: Some("daemon-1".to_owned()),
                error_class: None,
                error: None,
                note: None,
            }),
            jobs: vec![NewJob {
                id: self.job(),
                kind: "verification",
                registration_id: Some(id),
                account_id: None,
                step: self.version,
                step_bound: true,
                state: "queued",
                run_no: 1,
                run_at_ms: NOW_MS,
                queued_ms: Some(NOW_MS),
                created_ms: NOW_MS,
                trace: "4bf92f3577b34da6a3ce929d0e0e4736-01".to_owned(),
            }],
            ..Transition::default()
        }
    }
}

/// Commits the next version of one registration after the other, until the time is up; returns how long each took.
async fn submit(store: Store, mut own: Vec<Known>, until: Instant) -> Result<(Vec<Known>, Vec<Duration>), Failure> {
    let data = format!("{{\"text\":\"{}\"}}", "x".repeat(690));
    let mut times = Vec::new();
    let mut place = 0;
    loop {
        let started = Instant::now();
        if started >= until {
            return Ok((own, times));
        }
        let verdict = store.commit(own[place].next(&data)).await?;
        assert_eq!(verdict, Verdict::Applied);
        times.push(started.elapsed());
        place = (place + 1) % own.len();
    }
}

/// One round: returns transitions a second, and the times in order.
async fn round(store: &Store, known: &mut Vec<Known>, submitters: usize) -> Result<(f64, Vec<Duration>), Failure> {
    let share = known.len() / submitters;
    let started = Instant::now();
    let tasks: Vec<_> = (0..submitters)
        .map(|_| {
            tokio::spawn(submit(
                store.clone(),
                known.split_off(known.len() - share),
                started + ROUND,
            ))
        })
        .collect();
    let mut times = Vec::new();
    let ended = try_join_all(tasks).await?;
    let seconds = started.elapsed().as_secs_f64();
    for submitter in ended {
        let (own, some) = submitter?;
        known.extend(own);
        times.extend(some);
    }
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let rate = times.len() as f64 / seconds;
    Ok((rate, times))
}

async fn number(store: &Store, sql: &str) -> Result<i64, Failure> {
    let connection = store.writer();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await?.ok_or("no row")?;
    Ok(row.try_get_by_index(0)?)
}

async fn measure(database: &str, url: &str, table: &mut Table) -> Result<(), Failure> {
    let store = Store::open(url, CONNECTIONS).await?;
    store.migrate().await?;
    let mut known: Vec<_> = (0..REGISTRATIONS).map(|number| Known { number, version: 0 }).collect();
    for part in known.chunks_mut(1_000) {
        let first = part.iter_mut().map(|known| store.commit(known.next("{}")));
        try_join_all(first.collect::<Vec<_>>()).await?;
    }
    for submitters in SUBMITTERS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(round(&store, &mut known, submitters).await?);
        }
        rounds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (rate, times) = &rounds[ROUNDS / 2];
        let percentile = |percent| {
            let time: Duration = times.get(times.len() * percent / 100).copied().unwrap_or_default();
            format!("{:.2}", time.as_secs_f64() * 1e3)
        };
        table.add_row([
            database.to_owned(),
            submitters.to_string(),
            format!("{rate:.0}"),
            format!("{:.0} to {:.0}", rounds[0].0, rounds[ROUNDS - 1].0),
            percentile(50),
            percentile(99),
        ]);
    }
    // Everything answered is there, once.
    let total: i64 = known.iter().map(|known| known.version).sum();
    let sum = number(&store, "SELECT CAST(SUM(version) AS BIGINT) FROM registrations").await?;
    assert_eq!(sum, total, "versions");
    for count in ["timeline", "notices", "jobs"] {
        let rows = number(&store, &format!("SELECT COUNT(*) FROM {count}")).await?;
        assert_eq!(rows, total, "{count}");
    }
    let ended = number(&store, "SELECT COUNT(*) FROM jobs WHERE state = 'succeeded'").await?;
    assert_eq!(ended, total - i64::try_from(REGISTRATIONS)?, "jobs that ended");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut table = Table::new();
    table.set_header(["database", "submitters", "transitions/s", "rounds", "p50 ms", "p99 ms"]);
    let folder = TempDir::with_prefix("enrolld-bench-")?;
    let file = format!("sqlite://{}", folder.path().join("enrolld.db").display());
    measure("SQLite", &file, &mut table).await?;
    let server = PostgresServer::start_with(DURABLE);
    measure("PostgreSQL", &server.url(), &mut table).await?;
    println!(
        "{REGISTRATIONS} registrations, median of {ROUNDS} rounds of {} s",
        ROUND.as_secs()
    );
    println!("{table}");
    Ok(())
}
