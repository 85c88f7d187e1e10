//! The daemon as a service of systemd sees it: what it tells over `NOTIFY_SOCKET` of its start, its work, its settings and its end.
//! Under a real systemd the package is tested by `tests/systemd`.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::provisioning;
use crate::steps::{JOINER, confirm};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::{Database, DatabaseServer};
use crate::support::events;
use crate::support::target::{Manner, Target};

/// systemd's end of `NOTIFY_SOCKET`.
struct NotifySocket {
    socket: UnixDatagram,
    /// Everything told so far, a line each.
    told: Vec<String>,
}

impl NotifySocket {
    /// Listens, and has every run of the daemon tell it.
    fn listen(daemon: &mut TestDaemon) -> Self {
        let path = daemon.path("notify");
        let socket = UnixDatagram::bind(&path).expect("the folder is writable");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a socket has time-outs");
        daemon.variable("NOTIFY_SOCKET", path.to_string_lossy());
        Self {
            socket,
            told: Vec::new(),
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.told.extend(text.lines().map(str::to_owned));
        }
    }

    /// Waits for a line that begins so, and returns what came before it and it; what came is forgotten.
    fn wait(&mut self, line: &str) -> Vec<String> {
        let start = Instant::now();
        loop {
            self.read();
            if let Some(at) = self.told.iter().position(|told| told.starts_with(line)) {
                return self.told.drain(..=at).collect();
            }
            assert!(start.elapsed() < PATIENCE, "{line} is never told, but {:?}", self.told);
        }
    }
}

fn count(told: &[String], line: &str) -> usize {
    told.iter().filter(|told| told.starts_with(line)).count()
}

fn wait_log(daemon: &TestDaemon, text: &str) {
    let start = Instant::now();
    while !daemon.log().contains(text) {
        assert!(start.elapsed() < PATIENCE, "the log never says {text:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn it_is_ready_once_redis_answers_and_an_outage_is_no_standstill() {
    let mut daemon = TestDaemon::builder(Database::Sqlite).install();
    daemon.prepare();
    let mut systemd = NotifySocket::listen(&mut daemon);
    daemon.variable("WATCHDOG_USEC", "400000");
    daemon.redis.kill();
    daemon.start_unready();
    let told = systemd.wait("STATUS=waiting for Redis at 127.0.0.1:");
    assert_eq!(count(&told, "READY=1"), 0, "{told:?}");
    // It may take its time for that, and is alive.
    let told = systemd.wait("WATCHDOG=1");
    assert_eq!(count(&told, "READY=1"), 0, "{told:?}");
    let mut told = systemd.wait("EXTEND_TIMEOUT_USEC=60000000");
    assert_eq!(count(&told, "READY=1"), 0, "{told:?}");

    daemon.redis.restart();
    told = systemd.wait("READY=1");
    assert!(
        count(&told, "STATUS=working; ") == 1,
        "with the line for people: {told:?}"
    );
    if count(&told, "STATUS=working; takes in events") == 0 {
        systemd.wait("STATUS=working; takes in events");
    }
    daemon.wait_ready().await;
    assert!(daemon.log().contains("the start waits for Redis at 127.0.0.1:"));

    // Once started it stays started, whatever is away.
    daemon.redis.kill();
    systemd.wait("STATUS=waiting for Redis at 127.0.0.1:");
    told = (0..3).flat_map(|_| systemd.wait("WATCHDOG=1")).collect();
    assert_eq!(count(&told, "EXTEND_TIMEOUT_USEC"), 0, "{told:?}");
    daemon.redis.restart();
    told = systemd.wait("STATUS=working; ");
    assert_eq!(count(&told, "READY=1"), 0, "that was told: {told:?}");

    assert_eq!(daemon.terminate().code(), Some(0));
    systemd.wait("STOPPING=1");
    systemd.read();
    assert_eq!(count(&systemd.told, "READY=1"), 0);
}

#[tokio::test]
async fn the_start_waits_for_postgres_and_can_be_stopped_meanwhile() {
    let mut daemon = TestDaemon::builder(Database::Postgres).install();
    daemon.prepare();
    let mut systemd = NotifySocket::listen(&mut daemon);
    postgres(&mut daemon).stop();
    daemon.start_unready();
    systemd.wait("EXTEND_TIMEOUT_USEC=");
    wait_log(&daemon, "the start waits for the database");
    assert_eq!(daemon.terminate().code(), Some(0), "a stop is no failure");

    daemon.start_unready();
    let told = systemd.wait("STATUS=waiting for the database");
    assert_eq!(count(&told, "READY=1"), 0, "{told:?}");
    postgres(&mut daemon).restart();
    systemd.wait("READY=1");
}

fn postgres(daemon: &mut TestDaemon) -> &mut crate::support::postgres::PostgresServer {
    let DatabaseServer::Postgres(server) = &mut daemon.database else {
        unreachable!("the builder was told so")
    };
    server
}

#[tokio::test]
async fn settings_are_read_again_on_sighup() {
    let mut daemon = TestDaemon::builder(Database::Sqlite).install();
    daemon.prepare();
    let mut systemd = NotifySocket::listen(&mut daemon);
    daemon.start().await;
    systemd.wait("READY=1");
    let file = daemon.path("enrolld.toml");
    let settings = fs::read_to_string(&file).expect("the file is there");

    let changed = settings.replace("the-api-token-of-the-tests", "another-api-token-of-the-tests");
    fs::write(&file, format!("{changed}review.sla = '1h'\nlog.filter = 'warn'\n")).expect("the file is writable");
    daemon.reload();
    let told = systemd.wait("READY=1");
    assert_eq!(count(&told, "RELOADING=1"), 1, "{told:?}");
    assert_eq!(count(&told, "MONOTONIC_USEC="), 1, "{told:?}");
    wait_log(&daemon, "hold after a restart");
    let log = daemon.log();
    assert!(log.contains(r#"keys="http.api_token, review.sla""#), "{log}");
    assert!(!log.contains("another-api-token"), "{log}");

    // What is at fault changes nothing, and is told with its remedy.
    fs::write(&file, format!("{settings}intake.batch = 0\n")).expect("the file is writable");
    daemon.reload();
    systemd.wait("RELOADING=1");
    let told = systemd.wait("READY=1");
    let at_fault = told
        .iter()
        .find(|told| told.contains("; the settings as they are now cannot be used"));
    assert!(
        at_fault.is_some_and(|told| told.starts_with("STATUS=working; ")),
        "{told:?}"
    );
    wait_log(&daemon, "the settings cannot be used; those of before hold");
    assert!(daemon.log().contains("write a whole number from 1 to 1000"));

    fs::write(&file, format!("{changed}log.filter = 'warn'\n")).expect("the file is writable");
    daemon.reload();
    systemd.wait("RELOADING=1");
    let told = systemd.wait("READY=1");
    let status = told.iter().find(|told| told.starts_with("STATUS="));
    assert!(
        status.is_some_and(|told| !told.contains("settings")),
        "they are mended: {told:?}"
    );

    // The filter of before holds: a stop is no warning.
    assert_eq!(daemon.terminate().code(), Some(0));
    assert!(
        !daemon.log().contains("stopping: finishing what runs"),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn a_drain_asks_for_more_time_whenever_a_job_has_ended() {
    let targets = [Target::start("first"), Target::start("second")];
    let [first, second] = &targets;
    let mut daemon = provisioning::builder(Database::Sqlite, &[first, second]).install();
    daemon.prepare();
    let mut systemd = NotifySocket::listen(&mut daemon);
    daemon.start().await;
    systemd.wait("READY=1");
    for target in &targets {
        target.always("joiner", Manner::Hold);
    }
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    for target in &targets {
        target.wait_heard("PUT", "joiner", 1).await;
    }
    let mails = "jobs WHERE kind = 'notification' AND state IN ('queued', 'running')";
    provisioning::wait_count(&daemon, mails, 0).await;

    daemon.tell_to_stop();
    let told = systemd.wait("STOPPING=1");
    assert_eq!(count(&told, "STATUS=stopping; 2 jobs still run"), 1, "{told:?}");
    // The second holds the drain until it has been told of the first.
    first.let_go();
    let told = systemd.wait("EXTEND_TIMEOUT_USEC=15000000");
    assert_eq!(count(&told, "STATUS=stopping; 1 job still runs"), 1, "{told:?}");
    second.let_go();
    assert_eq!(daemon.wait_end().code(), Some(0));
}
