//! A PostgreSQL of the test's own.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::child::{ChildProcess, PATIENCE, RunAs, describe, free_port, guarded_command};

/// How often another port is tried when somebody else took the one found free.
const START_ATTEMPTS: u32 = 10;

/// A PostgreSQL server on a loopback port, with a cluster of its own; it ends with this value.
///
/// Without `fsync` it survives `kill -9`, as the page cache does, not a power cut. `synchronous_commit` stays on: without
/// it, a killed server would lose what it had confirmed.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    bin: PathBuf,
    run_as: Option<RunAs>,
    folder: TempDir,
    port: u16,
    /// Settings besides those of every test; the last of a name holds.
    settings: &'static [&'static str],
    process: Option<ChildProcess>,
}

impl PostgresServer {
    /// Starts a server on a copy of the template cluster, and returns once it accepts connections.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`PostgresServer::start`], with `settings` (`name=value`) that hold against the usual ones.
    pub(crate) fn start_with(settings: &'static [&'static str]) -> Self {
        Self::start_with_files(settings, &[])
    }

    /// As [`PostgresServer::start_with`], with `files` (name and text) of its own in the data folder.
    pub(crate) fn start_with_files(settings: &'static [&'static str], files: &[(&str, &str)]) -> Self {
        let bin = bin_folder();
        let run_as = unprivileged_user();
        let folder = owned_folder(run_as);
        let data = folder.path().join("data");
        copy_folder(&template(&bin, run_as), &data, run_as);
        for (name, text) in files {
            write_private(&data.join(name), text, run_as);
        }
        let mut server = Self {
            bin,
            run_as,
            folder,
            port: 0,
            settings,
            process: None,
        };
        for _ in 0..START_ATTEMPTS {
            server.port = free_port();
            if server.try_run().is_ok() {
                return server;
            }
        }
        panic!("PostgreSQL does not start; its log:\n{}", server.log());
    }

    /// The address of the database `postgres`, for its superuser; trusted without a password.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// `kill -9` of the server: its sessions are cut, nothing is flushed.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends the server in an orderly way: sessions are cut, and a checkpoint is written.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::INT);
            let end = process.wait_within(PATIENCE);
            assert!(end.is_some(), "PostgreSQL does not stop; its log:\n{}", self.log());
        }
    }

    /// Starts it again on the same port and files, after ending it if it runs.
    pub(crate) fn restart(&mut self) {
        self.stop();
        for _ in 0..START_ATTEMPTS {
            // Sessions of a killed server hold its shared memory for a moment, and the port may linger.
            if self.try_run().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("PostgreSQL does not start again; its log:\n{}", self.log());
    }

    /// The server's log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Runs the server, and waits until it is ready. `Err` when it ended by itself instead.
    fn try_run(&mut self) -> Result<(), String> {
        let data = self.folder.path().join("data");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("the folder is writable");
        let sockets = format!("unix_socket_directories={}", self.folder.path().display());
        let port = format!("port={}", self.port);
        let mut command = guarded_command(&self.bin.join("postgres"), self.run_as);
        command.arg("-D").arg(&data);
        for setting in [
            "listen_addresses=127.0.0.1",
            &port,
            &sockets,
            "shared_buffers=16MB",
            "max_connections=50",
            "fsync=off",
            "full_page_writes=off",
        ]
        .iter()
        .chain(self.settings)
        {
            command.args(["-c", setting]);
        }
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be doubled"))
            .stderr(log);
        let mut process = ChildProcess::spawn(&mut command);

        let start = Instant::now();
        while !is_ready(&data, process.id()) {
            if let Some(status) = process.exited() {
                return Err(describe(status));
            }
            assert!(
                start.elapsed() < PATIENCE,
                "PostgreSQL does not become ready; its log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
        Ok(())
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // An immediate shutdown ends the sessions' processes too, before their folder goes.
            process.signal(Signal::QUIT);
            process.wait_within(Duration::from_secs(5));
        }
    }
}

/// What `pg_ctl` looks at as well: line 1 of `postmaster.pid` is the process, line 8 its status.
fn is_ready(data: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines();
    // A killed server leaves its file, with another process in it.
    lines.next().is_some_and(|line| line.trim() == pid.to_string())
        && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

/// The newest installed server's programs.
fn bin_folder() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("postgres").is_file())
        .max();
    if let Some((_, bin)) = installed {
        return bin;
    }
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        .filter(|bin| bin.join("postgres").is_file())
        .expect("a PostgreSQL server is installed (`scripts/install-missing postgres` installs it)")
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`, or `nobody`.
fn unprivileged_user() -> Option<RunAs> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(RunAs { uid, gid })
        })
    };
    let user = find("postgres").or_else(|| find("nobody"));
    Some(user.expect("there is a user `postgres` or `nobody` to run PostgreSQL under"))
}

/// A folder under the system's temporary one, which other users can reach; the build folder may lie under a closed home.
fn owned_folder(run_as: Option<RunAs>) -> TempDir {
    let folder = TempDir::with_prefix("enrolld-postgres-").expect("the temporary folder is writable");
    if let Some(RunAs { uid, gid }) = run_as {
        chown(folder.path(), Some(uid), Some(gid)).expect("root gives folders away");
    }
    folder
}

/// A file that is the server's alone, as it insists on for keys.
fn write_private(file: &Path, text: &str, run_as: Option<RunAs>) {
    fs::write(file, text).expect("the folder is writable");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    if let Some(RunAs { uid, gid }) = run_as {
        chown(file, Some(uid), Some(gid)).expect("root gives files away");
    }
}

/// The cluster all servers are copies of, made once for each version of PostgreSQL by whichever test comes first.
fn template(bin: &Path, run_as: Option<RunAs>) -> PathBuf {
    let version = Command::new(bin.join("postgres")).arg("--version").output();
    let version = version.expect("PostgreSQL tells its version").stdout;
    let version: String = String::from_utf8_lossy(&version)
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let build = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let template = build.join(format!("postgres-{version}"));

    let lock = File::create(build.join("postgres.lock")).expect("the build folder is writable");
    lock.lock().expect("a lock of a local file is granted in the end");
    if !template.exists() {
        let scratch = owned_folder(run_as);
        let made = scratch.path().join("data");
        let output = guarded_command(&bin.join("initdb"), run_as)
            .args(["--username=postgres", "--auth=trust", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "--wal-segsize=1"])
            .arg("--pgdata")
            .arg(&made)
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .output()
            .expect("initdb can be run");
        assert!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        // A copy that was interrupted must not be taken for a template.
        let partial = build.join(format!("postgres-{version}.partial"));
        let _ = fs::remove_dir_all(&partial);
        copy_folder(&made, &partial, None);
        fs::rename(&partial, &template).expect("the build folder is writable");
    }
    template
}

fn copy_folder(from: &Path, to: &Path, owner: Option<RunAs>) {
    let run = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).status();
        let status = status.expect("the core utilities are installed");
        assert!(
            status.success(),
            "copying {} failed: {}",
            from.display(),
            describe(status)
        );
    };
    // PostgreSQL insists on the modes `initdb` gave.
    run(Command::new("cp").args(["-R", "--preserve=mode"]).arg(from).arg(to));
    if let Some(RunAs { uid, gid }) = owner {
        run(Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(to));
    }
}
