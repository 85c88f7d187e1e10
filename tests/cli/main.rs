//! The command line, as the program itself: what it writes where, and its exit status.

#[path = "../support/child.rs"]
mod child;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod redis_server;

#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod postgres;
#[path = "../support/smtp.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod smtp;

mod demo;
mod directory;
mod doctor;
mod intake;
mod jobs;
mod listings;
mod packaged;
mod preview;
mod seed;
mod settings;
mod tls;
mod usage;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with settings, and the program run in it.
struct Enrolld {
    folder: TempDir,
}

impl Enrolld {
    /// With the defaults, and `settings` over them.
    fn new(settings: &str) -> Self {
        // Closed to others, as the folder of a daemon is.
        let folder = tempfile::Builder::new()
            .prefix("enrolld-cli-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .expect("the temporary folder is writable");
        std::fs::write(folder.path().join("enrolld.toml"), settings).expect("the folder is writable");
        Self { folder }
    }

    /// The same, with its database made.
    fn migrated(settings: &str) -> Self {
        let enrolld = Self::new(settings);
        enrolld.run(&["migrate"]).succeeds();
        enrolld
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder is writable");
        std::fs::write(path, text).expect("the folder is writable");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enrolld"));
        command
            .args(arguments)
            .arg("--config")
            .arg("enrolld.toml")
            .current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ENROLLD__") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("COLUMNS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().expect("the program can be run"))
    }

    /// As somebody whom the system tells.
    fn run_as(&self, user: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        Ended::of(command.env("SUDO_USER", user).output().expect("the program can be run"))
    }

    fn run_at_width(&self, columns: u16, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        Ended::of(
            command
                .env("COLUMNS", columns.to_string())
                .output()
                .expect("the program can be run"),
        )
    }

    fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        stdin.write_all(input).expect("it is read");
        drop(stdin);
        Ended::of(child.wait_with_output().expect("the program can be waited for"))
    }
}

/// How the program ended.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("it writes UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("it writes UTF-8"),
        }
    }

    /// Status 0; gives standard output.
    #[track_caller]
    fn succeeds(self) -> String {
        assert_eq!(self.status, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Status 0, and JSON.
    #[track_caller]
    fn json(self) -> serde_json::Value {
        let stdout = self.succeeds();
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    }

    /// Status 1 and nothing on standard output; gives what was said, which starts with `error: ` and has no trace of Rust.
    #[track_caller]
    fn fails(self) -> String {
        assert_eq!(self.status, Some(1), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        for internal in ["panicked", "backtrace", "Error {", "Some(", "Custom"] {
            assert!(!self.stderr.contains(internal), "{}", self.stderr);
        }
        self.stderr
    }
}
