//! `enrolld doctor`, with everything well and with each thing broken.

use enrolld_migrations::MigratorTrait as _;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use enrolld::doctor::Verdict;
use enrolld::environment::{Environment, System};
use enrolld::settings::Settings;
use serde_json::Value;

use super::child::{ChildProcess, PATIENCE};
use super::postgres::PostgresServer;
use super::redis_server::RedisServer;
use super::smtp::SmtpServer;
use super::{Ended, Enrolld};

const DIRECTORY: &str = include_str!("../support/directory.json");

/// What everybody should set.
pub(crate) const SETTINGS: &str = "
    http.bind = '127.0.0.1:0'
    http.public_url = 'https://enrolld.portal.example'
    security.link_key = 's3ntinel-0123456789abcdef0123456789'
    review.mailbox = 'agents@vendor.example'
    ops.mailbox = 'ops@vendor.example'
    mail.from = 'no-reply@portal.example'
";

/// The finding of one check.
#[track_caller]
pub(crate) fn finding(findings: &Value, check: &str) -> (String, String) {
    let findings = findings.as_array().expect("a list");
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check} in {findings:#?}"));
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let (result, seen) = (text("result"), format!("{} -> {}", text("seen"), text("remedy")));
    assert_eq!(result == "ok", found["remedy"].is_null(), "{found:#?}");
    (result, seen)
}

/// What it finds, and whether it calls itself content with that.
pub(crate) fn examined(enrolld: &Enrolld) -> (Value, Option<i32>) {
    let Ended { status, stdout, stderr } = enrolld.run(&["doctor", "--output", "json"]);
    let findings = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert!(!format!("{stdout}{stderr}").contains("s3ntinel"), "{stdout}{stderr}");
    (findings, status)
}

/// Everything is well but what `check` tells: it has `result`, and says `told`.
#[track_caller]
fn is_found(enrolld: &Enrolld, check: &str, result: &str, told: &str) {
    let (findings, status) = examined(enrolld);
    let (found, seen) = finding(&findings, check);
    assert_eq!(found, result, "{findings:#}");
    assert!(seen.contains(told), "{seen}");
    assert_eq!(status, Some(i32::from(result == "problem")), "{findings:#}");
}

/// Answers every connection with the same text, once something has come if it is to wait for that.
fn answering(text: &'static str, first: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has a free port");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut some = [0; 4096];
            if !first {
                let _ = stream.read(&mut some);
            }
            let _ = stream.write_all(text.as_bytes());
            // Whoever is still speaking would lose the answer to a reset.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read(&mut some);
        }
    });
    port
}

fn target(answer: &'static str) -> String {
    let port = answering(answer, false);
    format!(
        "[[provisioning.targets]]\nname = 'tool'\nurl = 'http://127.0.0.1:{port}/api'\ntoken = 's3ntinel-of-tool'\n"
    )
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What differs from run to run.
fn steady<T>(assert: impl FnOnce() -> T) -> T {
    let mut settings = insta::Settings::clone_current();
    for (pattern, shown) in [
        (r"\d+\.\d\d ms", "[SPAN]"),
        (r"\d+\.\d MiB used", "[SIZE] used"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
        (r"(Redis|SQLite|PostgreSQL) \d+[.\d]*", "$1 [VERSION]"),
        (r"\S+ \(process \d+, release [^)]+\)", "[DAEMON]"),
    ] {
        settings.add_filter(pattern, shown);
    }
    settings.bind(assert)
}

/// A daemon of these settings, once it gives signs of life.
pub(crate) fn started(enrolld: &Enrolld) -> ChildProcess {
    let log = fs::File::create(enrolld.path("log")).expect("the folder is writable");
    let mut command = super::child::guarded_command(env!("CARGO_BIN_EXE_enrolld").as_ref(), None);
    command
        .args(["run", "--config", "enrolld.toml"])
        .current_dir(enrolld.folder.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(log);
    let mut daemon = ChildProcess::spawn(&mut command);
    let start = Instant::now();
    while finding(&examined(enrolld).0, "daemons").0 != "ok" {
        let log = || fs::read_to_string(enrolld.path("log")).unwrap_or_default();
        assert!(daemon.exited().is_none(), "the daemon has ended: {}", log());
        assert!(start.elapsed() < PATIENCE, "no sign of life: {}", log());
    }
    daemon
}

#[test]
fn all_is_well() {
    let (redis, smtp) = (RedisServer::start_with(true), SmtpServer::start());
    let settings = format!(
        "redis.url = '{}'\nmail.transport = 'smtp'\nmail.smtp.url = '{}'\n{SETTINGS}{}",
        redis.url(),
        smtp.url(),
        target(NOT_FOUND)
    );
    let enrolld = Enrolld::migrated(&settings);
    enrolld.write("directory.json", DIRECTORY);
    enrolld.run(&["directory", "import", "directory.json"]).succeeds();
    let _daemon = started(&enrolld);

    let told = enrolld.run_at_width(300, &["doctor"]);
    assert_eq!(told.stderr, "all is well\n", "{}", told.stdout);
    let table = told.succeeds();
    let json = enrolld.run(&["doctor", "--output", "json"]).json();
    steady(|| {
        insta::assert_snapshot!("well", table);
        insta::assert_snapshot!("well_json", serde_json::to_string_pretty(&json).expect("it was JSON"));
    });
    assert!(smtp.messages().is_empty(), "no mail is sent");
}

#[test]
fn a_beginner_is_told_everything_in_80_columns() {
    let enrolld = Enrolld::new("");
    let told = enrolld.run(&["doctor"]);
    assert_eq!(told.status, Some(1));
    assert_eq!(told.stderr, "error: 1 problem, 5 warnings\n");
    assert!(
        told.stdout.lines().all(|line| line.chars().count() <= 80),
        "{}",
        told.stdout
    );
    assert!(!enrolld.path("enrolld-data").exists(), "nothing is made");
    insta::assert_snapshot!("beginner", told.stdout);
}

#[test]
fn a_postgres_is_asked_for_more() {
    let (redis, mut postgres) = (RedisServer::start_with(true), PostgresServer::start());
    let enrolld = Enrolld::migrated(&format!(
        "redis.url = '{}'\ndatabase.url = '{}'\n{SETTINGS}",
        redis.url(),
        postgres.url().replace("postgres@", "postgres:s3ntinel@")
    ));
    let (findings, status) = examined(&enrolld);
    assert_eq!(status, Some(0), "{findings:#}");
    assert_eq!(finding(&findings, "database").0, "ok");
    assert_eq!(finding(&findings, "clock").0, "ok");
    assert_eq!(finding(&findings, "migrations").0, "ok");
    let (result, seen) = finding(&findings, "database safety");
    assert_eq!(result, "warning");
    assert!(seen.contains("fsync = off, full_page_writes = off"), "{seen}");
    let (result, seen) = finding(&findings, "directory");
    assert_eq!(result, "warning");
    assert!(seen.contains("is empty"), "{seen}");

    postgres.kill();
    is_found(&enrolld, "database", "problem", "postgres:***@");
    // One failing check does not stop the others.
    assert_eq!(finding(&examined(&enrolld).0, "redis").0, "ok");
}

/// A clock that is wrong by so much.
#[derive(Debug)]
struct Wrong(TimeDelta);

impl Environment for Wrong {
    fn now(&self) -> DateTime<Utc> {
        System.now() + self.0
    }

    fn random(&self) -> [u8; 32] {
        System.random()
    }
}

#[tokio::test]
async fn a_clock_that_differs_from_the_database_s_is_told() {
    let postgres = PostgresServer::start();
    let file = format!("database.url = '{}'\n{SETTINGS}", postgres.url());
    Enrolld::migrated(&file);
    let settings = Settings::parse(Some(("enrolld.toml", &file)), std::iter::empty()).expect("they are right");
    for (seconds, result, told) in [
        (0, Verdict::Ok, "agree"),
        (-10, Verdict::Warning, "s behind"),
        (10, Verdict::Warning, "s ahead of"),
        (-7200, Verdict::Problem, "behind"),
    ] {
        let environment = Arc::new(Wrong(TimeDelta::seconds(seconds)));
        let findings = enrolld::doctor::examine(&settings, environment).await;
        let clock = findings.iter().find(|finding| finding.check == "clock");
        let clock = clock.expect("it is looked at");
        assert_eq!(clock.result, result, "{clock:?}");
        assert!(clock.seen.contains(told), "{clock:?}");
    }
}

#[test]
fn a_database_of_another_release_is_told() {
    let missing = format!("{} migrations", enrolld_migrations::Migrator::migrations().len());
    for postgres in [None, Some(PostgresServer::start())] {
        let database = postgres.as_ref().map(PostgresServer::url);
        let database = database.map_or_else(String::new, |url| format!("database.url = '{url}'\n"));
        let enrolld = Enrolld::new(&format!("{database}{SETTINGS}"));
        if postgres.is_none() {
            enrolld.write("enrolld-data/enrolld.db", "");
        }
        is_found(&enrolld, "migrations", "problem", &missing);
    }
}

#[test]
fn a_redis_that_is_away_or_silent_is_told() {
    let mut redis = RedisServer::start_with(true);
    let enrolld = Enrolld::migrated(&format!("redis.url = '{}'\n{SETTINGS}", redis.url()));
    is_found(&enrolld, "redis", "ok", "answers in");
    redis.stall();
    is_found(&enrolld, "redis", "problem", "is away");
    redis.go_on();
    redis.kill();
    is_found(&enrolld, "redis", "problem", "is away");
    assert_eq!(finding(&examined(&enrolld).0, "database").0, "ok");
}

#[test]
fn a_redis_that_may_lose_requests_is_told_and_refused_where_it_must_not() {
    let evicting = RedisServer::start_set(true, &["--maxmemory-policy", "allkeys-lru"]);
    let forgetful = RedisServer::start();
    for (redis, check, result, told) in [
        (&evicting, "redis memory", "problem", "allkeys-lru"),
        (&forgetful, "redis persistence", "warning", "no append-only file"),
    ] {
        let settings = format!("redis.url = '{}'\n{SETTINGS}", redis.url());
        is_found(&Enrolld::migrated(&settings), check, result, told);

        let strict = Enrolld::migrated(&format!("{settings}redis.require_durable = true\n"));
        is_found(&strict, check, "problem", told);
        let said = strict.run(&["run"]);
        assert_eq!(said.status, Some(1), "{}", said.stderr);
        assert!(
            said.stderr.contains("error: redis.require_durable is set"),
            "{}",
            said.stderr
        );
        assert!(said.stderr.contains(told), "{}", said.stderr);
    }
}

#[test]
fn queues_that_are_paused_are_told() {
    let redis = RedisServer::start_with(true);
    let enrolld = Enrolld::migrated(&format!("redis.url = '{}'\n{SETTINGS}", redis.url()));
    let (findings, _) = examined(&enrolld);
    assert!(!findings.to_string().contains("queues"), "{findings:#}");
    enrolld.run(&["queues", "pause", "notification", "terms"]).succeeds();
    is_found(
        &enrolld,
        "queues",
        "warning",
        "`enrolld queues resume notification terms`",
    );
}

#[test]
fn a_redis_that_does_not_tell_is_told() {
    let redis = RedisServer::start_with(true);
    let enrolld = Enrolld::migrated(&format!("redis.url = '{}'\n{SETTINGS}", redis.url()));
    let limit = |command: &str| {
        let mut connection = redis::Client::open(redis.url())
            .and_then(|client| client.get_connection())
            .expect("Redis answers");
        let () = redis::cmd("ACL")
            .arg(&["SETUSER", "default", command])
            .query(&mut connection)
            .expect("it is allowed");
    };
    limit("-config");
    is_found(&enrolld, "redis persistence", "ok", "no right to CONFIG GET");
    limit("-info");
    is_found(
        &enrolld,
        "redis memory",
        "warning",
        "does not tell its maxmemory-policy",
    );
    is_found(&enrolld, "redis", "ok", "of a version it does not tell");
}

#[test]
fn what_others_may_read_or_nobody_may_write_is_told() {
    let enrolld = Enrolld::migrated(SETTINGS);
    let open = |name: &str, mode| {
        fs::set_permissions(enrolld.path(name), Permissions::from_mode(mode)).expect("they are ours");
    };
    let mode = fs::metadata(enrolld.path("enrolld-data"))
        .expect("it was made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "what we make is closed");
    is_found(&enrolld, "database file", "ok", "closed to others");

    open("", 0o755);
    is_found(
        &enrolld,
        "settings file",
        "problem",
        "enrolld.toml holds secrets, and everybody",
    );
    open("enrolld.toml", 0o600);
    is_found(&enrolld, "settings file", "ok", "closed to others");

    open("enrolld-data", 0o755);
    open("enrolld-data/enrolld.db", 0o644);
    is_found(
        &enrolld,
        "database file",
        "problem",
        "everybody on this machine may read",
    );
    open("enrolld-data", 0o750);
    is_found(&enrolld, "database file", "ok", "closed to others");

    open("enrolld-data", 0o755);
    open("enrolld-data/enrolld.db", 0o600);
    fs::create_dir(enrolld.path("enrolld-data/mail")).expect("the folder is writable");
    open("enrolld-data/mail", 0o755);
    is_found(
        &enrolld,
        "mail folder",
        "problem",
        "everybody on this machine may read the mails",
    );
    open("enrolld-data/mail", 0o700);
    is_found(&enrolld, "mail folder", "ok", "closed to others");

    // Root may write everywhere but into what is no folder.
    let other = Enrolld::new(SETTINGS);
    other.write("enrolld-data", "no folder");
    is_found(&other, "data_dir", "problem", "cannot be written to");
}

#[test]
fn a_mail_server_that_refuses_us_is_told() {
    let with = |url: &str| {
        let settings = format!("mail.transport = 'smtp'\nmail.smtp.url = '{url}'\n{SETTINGS}");
        Enrolld::migrated(&settings)
    };
    let refusing = answering("554 not for you\r\n", true);
    is_found(
        &with(&format!("smtp://127.0.0.1:{refusing}")),
        "mail",
        "problem",
        "not for you",
    );

    let mut smtp = SmtpServer::start();
    is_found(&with(&smtp.url()), "mail", "ok", "not encrypted, without login");
    let login = smtp.url().replace("://", "://enrolld:s3ntinel@");
    is_found(&with(&login), "mail", "problem", "the mail server 127.0.0.1:");
    smtp.stop();
    is_found(&with(&smtp.url()), "mail", "problem", "the mail server 127.0.0.1:");
}

#[test]
fn a_target_is_judged_by_its_answer() {
    for (answer, result, told) in [
        (NOT_FOUND, "ok", "answers at http://127.0.0.1:"),
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            "problem",
            "does not know us",
        ),
        (
            "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n",
            "problem",
            "answered 503",
        ),
        (
            "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n",
            "warning",
            "answered 405",
        ),
    ] {
        let enrolld = Enrolld::migrated(&format!("{SETTINGS}{}", target(answer)));
        is_found(&enrolld, "target tool", result, told);
    }
    let nobody = "[[provisioning.targets]]\nname = 'tool'\nurl = 'http://127.0.0.1:1/'\n";
    is_found(
        &Enrolld::migrated(&format!("{SETTINGS}{nobody}")),
        "target tool",
        "problem",
        "no connection",
    );
}

#[test]
fn a_daemon_tells_its_log_the_same() {
    let redis = RedisServer::start();
    let settings = SETTINGS.replace("security.link_key", "# ");
    let enrolld = Enrolld::migrated(&format!("redis.url = '{}'\n{settings}", redis.url()));
    let daemon = started(&enrolld);
    for told in [
        "security.link_key is not set",
        "Redis keeps no append-only file",
        "set `appendonly yes`",
        "mails are written to a folder",
        "directory: is empty",
    ] {
        let begun = Instant::now();
        let log = || fs::read_to_string(enrolld.path("log")).expect("it was written");
        while !log().contains(told) {
            assert!(begun.elapsed() < PATIENCE, "{told}: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // To look at its own database must not take SQLite's lock from it: another could take the database for closed.
    let database = fs::metadata(enrolld.path("enrolld-data/enrolld.db")).expect("it is there");
    let ours = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.contains(&daemon.id().to_string().as_str()) && line.contains(&format!(":{} ", database.ino()))
    };
    let begun = Instant::now();
    let locks = || fs::read_to_string("/proc/locks").expect("Linux has it");
    while !locks().lines().any(|line| ours(&line)) {
        assert!(begun.elapsed() < PATIENCE, "the lock is gone: {}", locks());
        std::thread::sleep(Duration::from_millis(20));
    }
}
