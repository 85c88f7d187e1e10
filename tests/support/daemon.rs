//! A whole daemon: configured, migrated, filled with a directory, started; fed through Redis as the portal does it.

mod doors;
mod inside;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::child::{ChildProcess, PATIENCE, describe, guarded_command};
use super::database::{Database, DatabaseServer};
use super::redis::RedisServer;
use super::smtp::SmtpServer;

/// The directory a daemon starts with, unless the test brings another.
const DIRECTORY: &str = include_str!("directory.json");
/// The credential of the API, and the test's client sends it with every request.
const API_TOKEN: &str = "the-api-token-of-the-tests";
/// An option, so that the servers' own tests also build where the binary is not.
const PROGRAM: Option<&str> = option_env!("CARGO_BIN_EXE_enrolld");
/// How often something is asked again while it is waited for.
const POLL: Duration = Duration::from_millis(20);
const LOG_LINES_SHOWN: usize = 60;

/// What a daemon shall be like. Everything has a default but the database.
#[derive(Debug)]
pub(crate) struct Builder {
    database: Database,
    settings: BTreeMap<String, toml::Value>,
    directory: String,
    smtp: bool,
    has_durable_redis: bool,
}

impl Builder {
    /// Sets a key of the configuration (`da_response.timeout`) over what the harness chooses.
    pub(crate) fn setting(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// Another directory (contract, section 4) than `directory.json`.
    pub(crate) fn directory(mut self, directory: &Value) -> Self {
        self.directory = directory.to_string();
        self
    }

    /// Mail goes to an SMTP server, [`TestDaemon::smtp`], instead of files.
    pub(crate) fn smtp(mut self) -> Self {
        self.smtp = true;
        self
    }

    /// Redis keeps what it has acknowledged, even if it is killed.
    pub(crate) fn durable_redis(mut self) -> Self {
        self.has_durable_redis = true;
        self
    }

    /// Starts the servers, then the daemon, and returns when it is ready.
    pub(crate) async fn start(self) -> TestDaemon {
        let mut daemon = self.install();
        daemon.prepare();
        daemon.start().await;
        daemon
    }

    /// Starts the servers and writes the files, and runs nothing of the daemon yet.
    pub(crate) fn install(self) -> TestDaemon {
        let folder = TempDir::with_prefix("enrolld-daemon-").expect("the temporary folder is writable");
        let database = self.database.start();
        let redis = RedisServer::start_with(self.has_durable_redis);
        let smtp = self.smtp.then(SmtpServer::start);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();

        let mut settings: BTreeMap<String, toml::Value> = BTreeMap::new();
        let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value.into());
        set("data_dir", text(folder.path().join("data")));
        set("database.url", database.url());
        set("redis.url", redis.url());
        set("redis.prefix", "enrolld".to_owned());
        set("http.bind", "127.0.0.1:0".to_owned());
        // Links are opened by their path, whatever host they name: so mails are the same on every run.
        set("http.public_url", "https://portal.example".to_owned());
        set("http.api_token", API_TOKEN.to_owned());
        if let Some(server) = &smtp {
            set("mail.transport", "smtp".to_owned());
            set("mail.smtp.url", server.url());
        } else {
            set("mail.transport", "file".to_owned());
            set("mail.file.dir", text(folder.path().join("mails")));
        }
        settings.extend(self.settings);
        let prefix = settings["redis.prefix"]
            .as_str()
            .expect("redis.prefix is a text")
            .to_owned();
        let mut config = String::new();
        for (key, value) in &settings {
            writeln!(config, "{key} = {value}").expect("a string takes all text");
        }
        fs::create_dir(folder.path().join("data")).expect("the folder is writable");
        fs::create_dir(folder.path().join("mails")).expect("the folder is writable");
        fs::write(folder.path().join("enrolld.toml"), config).expect("the folder is writable");
        fs::write(folder.path().join("directory.json"), self.directory).expect("the folder is writable");

        let mut headers = reqwest::header::HeaderMap::new();
        let bearer = format!("Bearer {API_TOKEN}").parse().expect("the token is plain text");
        headers.insert(reqwest::header::AUTHORIZATION, bearer);
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .tls_certs_only([])
            .build()
            .expect("a client without TLS can always be made");
        TestDaemon {
            process: None,
            base_url: String::new(),
            variables: Vec::new(),
            client,
            prefix,
            smtp,
            redis,
            database,
            folder,
        }
    }
}

/// A daemon of the test's own with all it stands on. On a failing test its log's end is printed.
// Fields are dropped in order: the daemon first, its servers next, the folder last.
pub(crate) struct TestDaemon {
    process: Option<ChildProcess>,
    base_url: String,
    /// Of the environment of every run.
    variables: Vec<(String, String)>,
    client: reqwest::Client,
    prefix: String,
    /// The mail server, when [`Builder::smtp`] asked for it.
    pub(crate) smtp: Option<SmtpServer>,
    pub(crate) redis: RedisServer,
    pub(crate) database: DatabaseServer,
    folder: TempDir,
}

/// Life cycle.
impl TestDaemon {
    pub(crate) fn builder(database: Database) -> Builder {
        Builder {
            database,
            settings: BTreeMap::new(),
            directory: DIRECTORY.to_owned(),
            smtp: false,
            has_durable_redis: false,
        }
    }

    /// Runs `enrolld run`, and returns when it is ready.
    pub(crate) async fn start(&mut self) {
        let (process, base_url) = self.run(self.command(&["run"]), &self.path("data")).await;
        self.process = Some(process);
        self.base_url = base_url;
    }

    /// Runs `enrolld run`, and does not wait until it is ready.
    pub(crate) fn start_unready(&mut self) {
        self.process = Some(self.spawn(self.command(&["run"]), &self.path("data")));
    }

    /// Returns once a daemon that was started so is ready.
    pub(crate) async fn wait_ready(&mut self) {
        let mut process = self.process.take().expect("the daemon runs");
        self.base_url = self.ready(&mut process, &self.path("data")).await;
        self.process = Some(process);
    }

    /// Sets a variable of the environment of every run from now on.
    pub(crate) fn variable(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Runs another daemon on the same database, Redis and mail, as a second host would. It ends with the value returned.
    pub(crate) async fn start_second(&self) -> ChildProcess {
        let data = self.path("data-of-the-second");
        fs::create_dir_all(&data).expect("the folder is writable");
        let mut command = self.command(&["run"]);
        command.env("ENROLLD__DATA_DIR", &data);
        self.run(command, &data).await.0
    }

    /// Runs `command`, and returns its process and address once it is ready.
    async fn run(&self, command: Command, data: &Path) -> (ChildProcess, String) {
        let mut process = self.spawn(command, data);
        let base_url = self.ready(&mut process, data).await;
        (process, base_url)
    }

    fn spawn(&self, mut command: Command, data: &Path) -> ChildProcess {
        let address = data.join("http.addr");
        // What a killed daemon left would lead to a port of nobody's, or of somebody else's.
        let _ = fs::remove_file(&address);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .expect("the folder is writable");
        command
            .stdout(log.try_clone().expect("a file handle can be doubled"))
            .stderr(log);
        ChildProcess::spawn(&mut command)
    }

    /// The address of a daemon, once it is ready.
    async fn ready(&self, process: &mut ChildProcess, data: &Path) -> String {
        let start = Instant::now();
        loop {
            if let Ok(written) = fs::read_to_string(data.join("http.addr"))
                && let Ok(address) = written.trim().parse::<std::net::SocketAddr>()
            {
                let base_url = format!("http://{address}");
                let answer = self.client.get(format!("{base_url}/readyz")).send().await;
                if let Ok(answer) = answer
                    && let Ok(readiness) = answer.json::<Value>().await
                    && works(&readiness)
                {
                    return base_url;
                }
            }
            let end = process.exited();
            assert!(
                end.is_none(),
                "the daemon ended while starting: {}",
                end.map(describe).unwrap_or_default()
            );
            assert!(start.elapsed() < PATIENCE, "the daemon is not ready after {PATIENCE:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends SIGHUP: what `systemctl reload` does.
    pub(crate) fn reload(&mut self) {
        self.process.as_mut().expect("the daemon runs").signal(Signal::HUP);
    }

    /// Sends SIGTERM, and does not wait for the end.
    pub(crate) fn tell_to_stop(&mut self) {
        self.process.as_mut().expect("the daemon runs").signal(Signal::TERM);
    }

    /// Sends SIGTERM, and waits for the end: what `systemctl stop` does.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.tell_to_stop();
        self.wait_end()
    }

    /// Waits for the end of a daemon that was told to stop.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the daemon runs");
        // Above the default of `shutdown.grace`, 25 s.
        let end = process.wait_within(Duration::from_secs(30));
        end.expect("the daemon ends within its shutdown.grace")
    }

    /// Sends SIGTERM, and does not wait.
    pub(crate) fn begin_to_terminate(&mut self) {
        self.process.as_mut().expect("the daemon runs").signal(Signal::TERM);
    }

    /// How it ended, if it has: then it can be started again.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let end = self.process.as_mut().expect("the daemon was started").exited()?;
        self.process = None;
        Some(end)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the daemon runs").id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("the daemon runs").kill();
    }

    /// Stops it in its tracks (`SIGSTOP`), until [`TestDaemon::go_on`].
    pub(crate) fn stall(&mut self) {
        self.process.as_mut().expect("the daemon runs").signal(Signal::STOP);
    }

    /// Lets a stalled daemon go on.
    pub(crate) fn go_on(&mut self) {
        self.process.as_mut().expect("the daemon runs").signal(Signal::CONT);
    }

    /// Starts it again on the same database, Redis and folder; SIGTERM first if it runs.
    pub(crate) async fn restart(&mut self) {
        if self.process.is_some() {
            self.terminate();
        }
        self.start().await;
    }

    /// A file in the daemon's folder: `enrolld.toml`, `daemon.log`, `data/`, `mails/`.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the daemon has logged, all starts together.
    pub(crate) fn log(&self) -> String {
        fs::read(self.path("daemon.log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }
}

/// The command line.
impl TestDaemon {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.run_here(PROGRAM.expect("the package has a binary `enrolld`"));
        command.args(arguments).arg("--config").arg(self.path("enrolld.toml"));
        command
    }

    /// A shell in the daemon's folder, with the path of `enrolld` in `PROGRAM`.
    pub(super) fn shell(&self) -> Command {
        let mut shell = self.run_here("sh");
        shell.env("PROGRAM", PROGRAM.expect("the package has a binary `enrolld`"));
        shell
    }

    fn run_here(&self, program: &str) -> Command {
        let mut command = guarded_command(Path::new(program), None);
        command
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        // The file alone configures: not what the environment of the developer says.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ENROLLD__") {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    /// Runs `enrolld ARGUMENTS… --config FILE` to its end.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("enrolld can be run")
    }

    /// The same for a listing, as JSON; it must succeed.
    pub(crate) fn cli_json(&self, arguments: &[&str]) -> Value {
        let output = self.run_ok(&[arguments, &["--output", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "enrolld {arguments:?} did not write JSON ({error}): {}",
                String::from_utf8_lossy(&output.stdout)
            )
        })
    }

    /// Migrates, and imports the directory: what comes before the first start.
    pub(crate) fn prepare(&self) {
        self.run_ok(&["migrate"]);
        self.run_ok(&["directory", "import", &self.path("directory.json").to_string_lossy()]);
    }

    /// Imports more of a directory: records replace those of the same id (contract, section 4).
    pub(crate) fn import(&self, directory: &Value) {
        let file = self.path("changed.json");
        fs::write(&file, directory.to_string()).expect("the folder is writable");
        self.run_ok(&["directory", "import", &file.to_string_lossy()]);
    }

    fn run_ok(&self, arguments: &[&str]) -> Output {
        let output = self.cli(arguments);
        assert!(
            output.status.success(),
            "enrolld {arguments:?}: {}\n{}{}",
            describe(output.status),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }
}

impl Drop for TestDaemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
            #[expect(clippy::print_stderr, reason = "a failing test shows what the daemon said")]
            {
                eprintln!("--- the daemon's log, its last {LOG_LINES_SHOWN} lines ---\n{end}\n---");
            }
        }
    }
}

/// Whether a daemon has begun to work, even where a test keeps a mail server or a target from answering.
fn works(readiness: &Value) -> bool {
    let checks = ["database", "redis", "migrations", "running"];
    checks.iter().all(|check| readiness["checks"][check]["ok"] == true)
}
