//! Many: a million registrations that wait, a hundred thousand timers that fall due in the same second. Nothing stalls, and memory stays
//! flat.
//!
//! `make scale` does it whole, on PostgreSQL; a plain test run takes a hundredth, on both databases.

use std::fs;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use enrolld::environment::{Environment as _, System};

use crate::steps::{JOINER, NOOR, confirm};
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;

crate::support::for_each_database!(many_wait_and_many_timers_fall_due_at_once);

/// Registrations that wait, of a hundred percent.
const WAITING: usize = 1_000_000;

/// Of these, those whose DA is to be reminded in the same second.
const DUE: usize = 100_000;

/// A new registration comes as often meanwhile.
const BEGIN_EVERY: Duration = Duration::from_millis(200);

/// Memory that may be used besides for whatever is under way, in bytes: the same for few and for many.
const DAEMON_MAY_GROW: u64 = 96 << 20;
const REDIS_MAY_GROW: u64 = 32 << 20;

/// Rows with the numbers from 1 to `count`.
fn numbers(count: usize) -> String {
    format!("WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})")
}

/// The number as the end of an id.
fn digits(database: Database) -> &'static str {
    match database {
        Database::Sqlite => "printf('%012d', n)",
        Database::Postgres => "lpad(n::text, 12, '0')",
    }
}

/// So many more registrations like the one of this id, each with its trail and its timer, which goes off at `due` where that is given.
async fn multiply(daemon: &TestDaemon, database: Database, like: &str, count: usize, due: Option<DateTime<Utc>>) {
    let numbers = numbers(count);
    let id = format!("'{like}-' || n");
    let data = daemon
        .rows(&format!("SELECT data FROM registrations WHERE id = '{like}'"))
        .await;
    let data: serde_json::Value = serde_json::from_str(data[0]["data"].as_str().expect("a text")).expect("JSON");
    let deadline = data["deadline"].as_str().expect("it waits").to_owned();
    let moved = due.map_or(deadline.clone(), |at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
    let account = data["account_id"].as_str().expect("somebody asks").to_owned();
    // Each is somebody else's.
    let registrations = format!(
        "INSERT INTO registrations (id, account_id, state, version, root_id, since_ms, created_ms, review_reason, da_account_id, data) \
         {numbers} SELECT {id}, account_id || '-' || n, state, version, root_id, since_ms, created_ms, review_reason, da_account_id, \
         replace(replace(replace(data, '\"{like}\"', '\"' || {id} || '\"'), '\"{account}\"', '\"{account}-' || n || '\"'), \
         '{deadline}', '{moved}') FROM registrations, numbers WHERE id = '{like}'"
    );
    let timeline = format!(
        "INSERT INTO timeline (registration_id, version, at_ms, event, actor, detail, token) \
         {numbers} SELECT {id}, version, at_ms, event, actor, detail, token || n FROM timeline, numbers WHERE registration_id = '{like}'"
    );
    // Each waits with one timer.
    let start = if due.is_some() { "1" } else { "2" };
    let run_at_ms = due.map_or("run_at_ms".to_owned(), |at| at.timestamp_millis().to_string());
    let jobs = format!(
        "INSERT INTO jobs (id, kind, registration_id, step, step_bound, state, run_no, attempts, failures, crashes, run_at_ms, created_ms) \
         {numbers} SELECT '{start}0000000-0000-4000-8000-' || {digits}, kind, {id}, step, step_bound, state, run_no, attempts, failures, \
         crashes, {run_at_ms}, created_ms FROM jobs, numbers WHERE registration_id = '{like}' AND state = 'scheduled'",
        digits = digits(database)
    );
    for sql in [registrations, timeline, jobs] {
        daemon.rows(&sql).await;
    }
}

/// What a process has in memory now, in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("Linux tells");
    let kilobytes = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("a number") << 10
}

/// What Redis has in memory now, in bytes.
async fn used_by_redis(daemon: &TestDaemon) -> u64 {
    let mut connection = daemon.redis_connection().await;
    let info: redis::RedisResult<String> = redis::cmd("INFO").arg("memory").query_async(&mut connection).await;
    let info = info.expect("Redis answers");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|number| number.trim().parse().ok()).expect("a number")
}

/// The most that was seen of something, and what it was at first.
#[derive(Debug, Clone, Copy)]
struct Peak {
    first: u64,
    most: u64,
}

impl Peak {
    const fn new(first: u64) -> Self {
        Self { first, most: first }
    }

    fn see(&mut self, now: u64) {
        self.most = self.most.max(now);
    }

    const fn grown(self) -> u64 {
        self.most - self.first
    }
}

const fn megabytes(bytes: u64) -> u64 {
    bytes >> 20
}

#[expect(clippy::print_stderr, reason = "the figures are for people")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// A daemon that is stopped, and in whose database so many registrations wait that timers of `due` of them fall due as soon as it runs.
async fn crowded(database: Database, waiting: usize, due: usize, new: usize) -> TestDaemon {
    let mut directory = companies(new, 1, false);
    let own: serde_json::Value = serde_json::from_str(include_str!("../support/directory.json")).expect("JSON");
    for (list, records) in own.as_object().expect("lists") {
        let all = directory[list].as_array_mut().expect("a list");
        all.extend(records.as_array().expect("a list").iter().cloned());
    }
    let mut daemon = TestDaemon::builder(database)
        .directory(&directory)
        .setting("decisions.by_link", false)
        // What came out is kept as long as the settings say, whoever waits.
        .setting("redis.events_max_len", 1_000)
        .start()
        .await;
    confirm(&daemon, "due", JOINER).await;
    daemon.wait_state("due", "awaiting_da").await;
    daemon.send(&NOOR.submitted("idle")).await;
    daemon.wait_state("idle", "awaiting_organization").await;
    daemon.wait_kind("access_request", "due", 1).await;
    daemon.terminate();
    let start = Instant::now();
    multiply(&daemon, database, "idle", waiting - due, None).await;
    multiply(&daemon, database, "due", due, Some(System.now())).await;
    tell(&format!(
        "{waiting} registrations made in {:.0} s",
        start.elapsed().as_secs_f64()
    ));
    daemon
}

/// What was seen while the timers went off.
#[derive(Debug)]
struct Seen {
    daemon: Peak,
    redis: Peak,
    /// Most entries of a queue.
    queue: u64,
    /// Registrations that came meanwhile, and how long the slowest took to its first question.
    new: usize,
    slowest: Duration,
    /// When all timers had gone off.
    decided: Option<Duration>,
}

impl Seen {
    async fn look(&mut self, daemon: &TestDaemon) {
        self.daemon.see(resident(daemon.pid()));
        self.redis.see(used_by_redis(daemon).await);
        for kind in ["da_response_timeout", "notification"] {
            self.queue = self.queue.max(daemon.stream_length(&format!("jobs:{kind}")).await);
        }
    }

    /// Whoever comes now is not kept waiting by all the others.
    async fn begin_another(&mut self, daemon: &TestDaemon) {
        let id = format!("new-{}", self.new);
        let asked = Instant::now();
        daemon.send(&submitted_at(&id, self.new, "a")).await;
        daemon.wait_state(&id, "awaiting_organization").await;
        self.slowest = self.slowest.max(asked.elapsed());
        self.new += 1;
        tokio::time::sleep(BEGIN_EVERY.saturating_sub(asked.elapsed())).await;
    }
}

async fn many_wait_and_many_timers_fall_due_at_once(database: Database) {
    let percent = std::env::var("SCALE_PERCENT")
        .ok()
        .and_then(|percent| percent.parse().ok());
    let percent: usize = percent.unwrap_or(1);
    if percent > 1 && database == Database::Sqlite {
        tell("SQLite is for one host: a hundredth is tried with it, in the plain test run");
        return;
    }
    let (waiting, due) = (WAITING / 100 * percent, DUE / 100 * percent);
    let patience = Duration::from_mins(2) * u32::try_from(percent).expect("at most a hundred");
    let most_new = usize::try_from(patience.as_millis() / BEGIN_EVERY.as_millis()).expect("few");
    let mut daemon = crowded(database, waiting, due, most_new).await;
    daemon.start().await;
    let start = Instant::now();
    let mut seen = Seen {
        daemon: Peak::new(resident(daemon.pid())),
        redis: Peak::new(used_by_redis(&daemon).await),
        queue: 0,
        new: 0,
        slowest: Duration::ZERO,
        decided: None,
    };
    let timers = "jobs WHERE id LIKE '10000000-%' AND state <> 'succeeded'";
    let mails = "jobs WHERE kind = 'notification' AND state <> 'succeeded'";
    while seen.decided.is_none() || daemon.count(mails).await > 0 {
        seen.begin_another(&daemon).await;
        seen.look(&daemon).await;
        if seen.decided.is_none() && daemon.count(timers).await == 0 {
            seen.decided = Some(start.elapsed());
        }
        assert!(start.elapsed() < patience, "timers or mails are left over");
    }
    tell(&format!(
        "{waiting} registrations wait, {due} timers due at once, {database:?}: decided in {:.1} s, mailed in {:.1} s; {} new ones \
         meanwhile, the slowest in {:.2} s; at most {} in a queue; daemon {} MiB, at most {} MiB; Redis {} MiB, at most {} MiB",
        seen.decided.unwrap_or_default().as_secs_f64(),
        start.elapsed().as_secs_f64(),
        seen.new,
        seen.slowest.as_secs_f64(),
        seen.queue,
        megabytes(seen.daemon.first),
        megabytes(seen.daemon.most),
        megabytes(seen.redis.first),
        megabytes(seen.redis.most),
    ));
    let reminded = "registrations r WHERE r.id LIKE 'due-%' \
                    AND r.version = (SELECT l.version + 1 FROM registrations l WHERE l.id = 'due')";
    assert_eq!(daemon.count(reminded).await, due, "each once");
    let told = "mails WHERE kind = 'access_request_reminder' AND state = 'sent'";
    assert_eq!(daemon.count(told).await, due);
    assert_eq!(daemon.count("jobs WHERE attempts > 1").await, 0);
    // Each waits on, with one timer.
    let next = "jobs WHERE state = 'scheduled' AND kind = 'da_response_timeout'";
    assert_eq!(daemon.count(next).await, due + 1);
    assert!(seen.daemon.grown() < DAEMON_MAY_GROW, "{seen:?}");
    assert!(seen.redis.grown() < REDIS_MAY_GROW, "{seen:?}");
    daemon.terminate();
}
