//! A Redis of the test's own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::child::{ChildProcess, PATIENCE, free_port, guarded_command};

/// A `redis-server` on a loopback port; it ends with this value. Unless it is durable it keeps nothing on disk:
/// what the daemon needs of Redis, it must be able to lose.
#[derive(Debug)]
pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    is_durable: bool,
    /// Settings besides those of every test; the last of a name holds.
    settings: Vec<String>,
    process: Option<ChildProcess>,
}

impl RedisServer {
    /// Starts a server, and returns once it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(false)
    }

    /// As [`RedisServer::start`]; if it is durable, what it has acknowledged it keeps, even if it is killed.
    pub(crate) fn start_with(is_durable: bool) -> Self {
        Self::start_set(is_durable, &[])
    }

    /// The same, with `settings` (`--name`, `value`, ...) that hold against the usual ones.
    pub(crate) fn start_set(is_durable: bool, settings: &[&str]) -> Self {
        let folder = TempDir::with_prefix("enrolld-redis-").expect("the temporary folder is writable");
        let mut server = Self {
            folder,
            port: 0,
            is_durable,
            settings: settings.iter().map(ToString::to_string).collect(),
            process: None,
        };
        // Somebody may take the port between its choice and its use.
        for _ in 0..10 {
            server.port = free_port();
            if server.try_run() {
                return server;
            }
        }
        panic!("redis-server does not start; its log:\n{}", server.log());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9` of the server.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again on the same port, empty unless it is durable.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(
            self.try_run(),
            "redis-server does not start again; its log:\n{}",
            self.log()
        );
    }

    /// Stops the process in its tracks (`SIGSTOP`): connections stay, and nothing is answered.
    pub(crate) fn stall(&mut self) {
        self.process.as_mut().expect("a running server").signal(Signal::STOP);
    }

    /// Lets a stalled server go on.
    pub(crate) fn go_on(&mut self) {
        self.process.as_mut().expect("a running server").signal(Signal::CONT);
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn try_run(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("the folder is writable");
        let mut command = guarded_command(Path::new("redis-server"), None);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--appendonly", if self.is_durable { "yes" } else { "no" }])
            .args(["--appendfsync", "always", "--save", ""])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be doubled"))
            .stderr(log);
        let mut process = ChildProcess::spawn(&mut command);
        let start = Instant::now();
        while !answers(self.port) {
            if process.exited().is_some() {
                return false;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "redis-server does not answer; its log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        // An answer may come from somebody else's server on the port: ours has ended then.
        if process.exited().is_some() {
            return false;
        }
        self.process = Some(process);
        true
    }
}

fn answers(port: u16) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG\r\n")
    };
    ping().unwrap_or(false)
}
