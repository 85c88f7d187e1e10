//! A `redis-server` of a test's own: on a free loopback port, in a folder of its own, without persistence.
#![allow(
    dead_code,
    reason = "each test binary that includes this file uses another part of it"
)]

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long a server may take to answer. Generous, as tests share a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running server; ended with the value.
pub(crate) struct RedisServer {
    port: u16,
    dir: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server and waits until it answers. When another process takes the free port first, it tries the next.
    pub(crate) fn start() -> Self {
        for _ in 0..10 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let mut server = Self {
                port,
                dir: tempfile::tempdir().expect("a folder"),
                child: None,
            };
            if server.launch() {
                return server;
            }
        }
        panic!("redis-server does not start; is it installed and in PATH?");
    }

    /// `redis://127.0.0.1:PORT`; the same after [`Self::restart`].
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server as `kill -9` does. Nothing is kept.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill redis-server");
            child.wait().expect("wait for redis-server");
        }
    }

    /// Kills the server if it runs, and starts it empty on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.launch(), "redis-server does not start again");
    }

    /// Stops the process in its tracks (`SIGSTOP`): connections stay, and nothing is answered.
    pub(crate) fn stall(&self) {
        self.signal("-STOP");
    }

    /// Lets a stalled server go on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("a running server");
        let status = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .expect("run kill");
        assert!(status.success(), "kill {signal}: {status}");
    }

    /// Whether the server came up; false when it ended instead.
    fn launch(&mut self) -> bool {
        let mut child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start redis-server; install it to run these tests");
        let until = Instant::now() + READY_WITHIN;
        loop {
            if child.try_wait().expect("ask for redis-server").is_some() {
                return false;
            }
            if self.answers() {
                self.child = Some(child);
                return true;
            }
            if Instant::now() > until {
                child.kill().expect("kill redis-server");
                child.wait().expect("wait for redis-server");
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn answers(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let ping = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok(&answer == b"+PONG\r\n")
        };
        ping().unwrap_or(false)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nothing to be done about a failure here, and a panic would hide the test's own.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
