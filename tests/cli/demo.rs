//! `enrolld demo`, stopped and started again: what it leaves behind, and what it must not take away.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::Ended;
use super::child::{ChildProcess, PATIENCE, guarded_command};

fn demo(folder: &Path) -> Command {
    let mut command = guarded_command(Path::new(env!("CARGO_BIN_EXE_enrolld")), None);
    command.args(["demo", "--folder"]).arg(folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The address that `redis.url` of a demo's folder tells, once it is there.
fn redis_of(folder: &Path) -> String {
    let start = Instant::now();
    loop {
        if let Ok(url) = std::fs::read_to_string(folder.join("data/redis.url"))
            && let Some(address) = url.trim().strip_prefix("redis://")
        {
            return address.to_owned();
        }
        assert!(start.elapsed() < PATIENCE, "the demo starts no Redis");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a command to a Redis; `None` if there is none.
fn ask(address: &str, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "{command}\r\n").ok()?;
    let mut answer = [0; 64];
    let bytes = stream.read(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..bytes]).into_owned())
}

/// Ends the Redis of a demo that was killed, however the test ends.
struct LeftOver(String);

impl Drop for LeftOver {
    fn drop(&mut self) {
        let _ = ask(&self.0, "SHUTDOWN NOSAVE");
    }
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing_running() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let folder = TempDir::with_prefix("enrolld-demo-").expect("the temporary folder is writable");
        let folder = folder.path().join("demo");
        let mut child = ChildProcess::spawn(&mut demo(&folder));
        let redis = redis_of(&folder);
        let _left_over = LeftOver(redis.clone());
        child.signal(signal);
        let ended = child.wait_within(PATIENCE).expect("it ends");
        assert_eq!(ended.code(), Some(status));
        assert_eq!(ask(&redis, "PING"), None, "its Redis has ended");
        for name in ["enrolld.db-wal", "redis.url", "http.addr"] {
            assert!(!folder.join("data").join(name).exists(), "{name} is gone");
        }
        let mode = |name: &str| {
            let found = folder.join(name).metadata().expect("it is there");
            found.permissions().mode() & 0o777
        };
        assert_eq!((mode("data"), mode("data/enrolld.db")), (0o700, 0o600));
        assert_eq!(mode("enrolld.toml"), 0o600, "it holds a key");
    }
}

#[test]
fn the_next_demo_ends_the_redis_of_one_that_was_killed() {
    let folder = TempDir::with_prefix("enrolld-demo-").expect("the temporary folder is writable");
    let folder = folder.path().join("demo");
    let mut killed = ChildProcess::spawn(&mut demo(&folder));
    let redis = redis_of(&folder);
    let _left_over = LeftOver(redis.clone());
    killed.kill();
    assert_eq!(ask(&redis, "PING").as_deref(), Some("+PONG\r\n"));

    let mut next = ChildProcess::spawn(&mut demo(&folder));
    let start = Instant::now();
    while ask(&redis, "PING").is_some() {
        assert!(start.elapsed() < PATIENCE, "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    let _its_own = LeftOver(redis_of(&folder));
    next.signal(Signal::TERM);
    assert_eq!(next.wait_within(PATIENCE).and_then(|ended| ended.code()), Some(143));
}

#[test]
fn a_demo_does_not_empty_a_folder_in_which_a_daemon_works() {
    let folder = TempDir::with_prefix("enrolld-demo-").expect("the temporary folder is writable");
    let folder = folder.path().join("demo");
    let mut first = ChildProcess::spawn(&mut demo(&folder));
    let _left_over = LeftOver(redis_of(&folder));
    let second = Ended::of(
        demo(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .expect("it runs"),
    );
    let said = second.fails();
    let begin = format!(
        "error: a daemon works in {}, so it cannot be emptied; end",
        folder.display()
    );
    assert!(said.starts_with(&begin), "{said}");
    assert!(folder.join("data/enrolld.db").exists());
    first.signal(Signal::TERM);
    assert_eq!(first.wait_within(PATIENCE).and_then(|ended| ended.code()), Some(143));
}

#[test]
fn a_demo_takes_no_settings() {
    let enrolld = super::Enrolld::new("");
    let ended = enrolld.run(&["demo"]);
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("takes no --config"), "{}", ended.stderr);
    assert!(!enrolld.path("enrolld-demo").exists());
}
