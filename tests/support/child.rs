//! Child processes that cannot outlive the test.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The longest a test waits for one thing to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The user and group a child runs under, where it must not be ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunAs {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A command whose process the kernel kills when the thread that started it ends, however it ends.
///
/// Without `setpriv` (util-linux) on the machine it is a plain command: only a `kill -9` of the test leaks it then.
pub(crate) fn guarded_command(program: &Path, run_as: Option<RunAs>) -> Command {
    let Some(setpriv) = find_program("setpriv") else {
        let mut command = Command::new(program);
        if let Some(RunAs { uid, gid }) = run_as {
            command.uid(uid).gid(gid);
        }
        return command;
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL"]);
    if let Some(RunAs { uid, gid }) = run_as {
        // `setpriv` sets the signal after the ids: changing ids would clear it.
        command
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={gid}"))
            .arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name.as_ref()))
        .find(|candidate| candidate.is_file())
}

/// A port of the loopback interface that was free a moment ago. Who starts a server on it tries another when it lost the race.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("the loopback interface has a free port")
        .port()
}

/// A running child, killed and reaped on drop.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
}

impl ChildProcess {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()));
        Self { child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours to wait for")
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.exited().is_none() {
            // Not reaped yet, so the id is still this child's.
            kill_process(Pid::from_child(&self.child), signal).expect("a child of ours takes signals");
        }
    }

    /// Waits until it has ended; `None` when it still runs after `patience`.
    pub(crate) fn wait_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                return Some(status);
            }
            if start.elapsed() > patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`, and the wait for its end.
    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child.wait().expect("the child is ours to wait for")
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Also while a test panics: nothing here may panic again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a status says in a message of a failed test.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".to_owned(),
    }
}
