//! A `redis-server` of the daemon's own, for when no `redis.url` is set: a child on a free loopback port that keeps its data beside
//! the database.
//!
//! `<data_dir>/redis.url` tells the command line where it listens.
//!
//! A server that a killed daemon left behind goes on, and is used again: upstream can add meanwhile, as it could with a Redis of
//! its own. Under systemd it ends with the unit. [`end_left_over`] ends it where nobody is to use it again.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::queue::Redis;

/// How long the server may take to answer after its start.
const START_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How often a server that is not a child is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The server's log, in its folder.
const LOG: &str = "redis.log";

/// Why there is no private Redis.
#[derive(Debug, thiserror::Error)]
pub enum PrivateRedisError {
    /// There is no `redis-server` to start.
    #[error(
        "redis.url is not set, and no `redis-server` could be started here: {0}; install one (Debian: apt-get install redis-server), or set redis.url"
    )]
    NoServer(#[source] io::Error),
    /// Its folder or files cannot be used.
    #[error("{path}: {source}")]
    Files {
        /// What cannot be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon works in the folder, and its server does not answer.
    #[error("{0} belongs to another daemon that is just starting or ending; try again, or set another data_dir")]
    Taken(PathBuf),
    /// A daemon works in the folder.
    #[error("a daemon works in {0}")]
    InUse(PathBuf),
    /// A server that is to end goes on.
    #[error("the private redis-server at {0} does not end")]
    Stays(String),
    /// It does not answer.
    #[error("the private redis-server does not answer after {START_WITHIN:?}; its log is {0}")]
    Silent(PathBuf),
}

/// The running server. It is started again when it ends by itself.
#[derive(Debug)]
pub struct PrivateRedis {
    url: String,
    owned: Option<Owned>,
}

/// What the daemon that started the server, or took it over, holds on to.
#[derive(Debug)]
struct Owned {
    url_file: PathBuf,
    keeper: JoinHandle<()>,
    stop: CancellationToken,
    /// Locked as long as this daemon lives: another on the same folder uses the server, and does not end it.
    _lock: File,
}

/// The file that tells where the private Redis of `data_dir` listens.
pub fn url_file(data_dir: &Path) -> PathBuf {
    data_dir.join("redis.url")
}

impl PrivateRedis {
    /// Starts the server in `folder`, or uses one that is there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(data_dir: &Path, folder: &Path) -> Result<Self, PrivateRedisError> {
        let file = url_file(data_dir);
        let mut made = DirBuilder::new();
        made.recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed(folder))?;
        let lock_file = folder.join("lock");
        let lock = File::create(&lock_file).map_err(failed(&lock_file))?;
        let is_ours = match lock.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(failed(&lock_file)(error)),
        };
        let running = match std::fs::read_to_string(&file) {
            Ok(url) if works_in(url.trim(), folder).await => Some(url.trim().to_owned()),
            _ => None,
        };
        let (url, child) = match (running, is_ours) {
            (Some(url), false) => {
                tracing::info!(url, "the private redis-server of another daemon is used");
                return Ok(Self { url, owned: None });
            }
            (None, false) => return Err(PrivateRedisError::Taken(folder.to_owned())),
            (Some(url), true) => {
                tracing::info!(url, "the private redis-server of an earlier daemon is used again");
                (url, None)
            }
            (None, true) => {
                let port = free_port().map_err(PrivateRedisError::NoServer)?;
                let child = spawn(folder, port).map_err(PrivateRedisError::NoServer)?;
                let url = format!("redis://127.0.0.1:{port}");
                wait_for(&url, folder).await?;
                publish(&file, &url).map_err(failed(&file))?;
                tracing::info!(url, folder = %folder.display(), "no redis.url is set: started a private redis-server");
                (url, Some(child))
            }
        };
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(child, url.clone(), folder.to_owned(), stop.clone()));
        Ok(Self {
            url,
            owned: Some(Owned {
                url_file: file,
                keeper,
                stop,
                _lock: lock,
            }),
        })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the server, its data on disk; unless it is another daemon's.
    pub async fn stop(self) {
        let Some(owned) = self.owned else { return };
        owned.stop.cancel();
        shut_down(&self.url).await;
        let _ = tokio::time::timeout(STOP_WITHIN, owned.keeper).await;
        let _ = std::fs::remove_file(&owned.url_file);
    }
}

/// Ends the server that a daemon which was killed left behind in `folder`, if there is one.
///
/// # Errors
/// [`InUse`](PrivateRedisError::InUse) when a daemon works there, and when the server does not end.
pub async fn end_left_over(data_dir: &Path, folder: &Path) -> Result<(), PrivateRedisError> {
    let lock_file = folder.join("lock");
    let _lock = match File::open(&lock_file) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => Some(lock),
            Err(TryLockError::WouldBlock) => return Err(PrivateRedisError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(&lock_file)(error)),
        },
        Err(_) => None,
    };
    let Ok(url) = std::fs::read_to_string(url_file(data_dir)) else {
        return Ok(());
    };
    let url = url.trim();
    if !works_in(url, folder).await {
        return Ok(());
    }
    shut_down(url).await;
    let ended = async {
        while works_in(url, folder).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STOP_WITHIN, ended)
        .await
        .map_err(|_| PrivateRedisError::Stays(url.to_owned()))
}

async fn shut_down(url: &str) {
    if let Ok(redis) = Redis::open(url) {
        // The connection ends instead of an answer.
        let _: Result<(), _> = redis.query(redis::cmd("SHUTDOWN").arg("NOW")).await;
    }
}

/// For the owner alone: the server asks for no password.
fn publish(file: &Path, url: &str) -> io::Result<()> {
    let mut opened = OpenOptions::new();
    let mut opened = opened.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(opened, "{url}")
}

/// Starts the server again whenever it ends, until the stop.
async fn keep(mut child: Option<Child>, url: String, folder: PathBuf, stop: CancellationToken) {
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    loop {
        match &mut child {
            Some(running) => {
                let _ = running.wait().await;
            }
            // A server of an earlier daemon is not our child: all we can do is ask it.
            None => {
                while works_in(&url, &folder).await && !stop.is_cancelled() {
                    tokio::select! {
                        () = tokio::time::sleep(ASK_EVERY) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
        if stop.is_cancelled() {
            return;
        }
        tracing::error!(url, "the private redis-server has ended; starting it again");
        child = port.and_then(|port| spawn(&folder, port).ok());
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn spawn(folder: &Path, port: u16) -> io::Result<Child> {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--protected-mode",
            "yes",
        ])
        // What upstream was told is taken must survive; jobs come back from the database.
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""])
        .args([
            "--maxmemory-policy",
            "noeviction",
            "--daemonize",
            "no",
            "--logfile",
            LOG,
        ])
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C at the terminal is for the daemon, which ends its Redis last.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn wait_for(url: &str, folder: &Path) -> Result<(), PrivateRedisError> {
    let answers = async {
        while !works_in(url, folder).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(START_WITHIN, answers)
        .await
        .map_err(|_| PrivateRedisError::Silent(folder.join(LOG)))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PrivateRedisError {
    let path = path.to_owned();
    |source| PrivateRedisError::Files { path, source }
}

/// Whether the server at `url` is one that works in `folder`.
async fn works_in(url: &str, folder: &Path) -> bool {
    let Ok(redis) = Redis::open(url) else { return false };
    let asked: Result<Vec<String>, _> = redis.query(redis::cmd("CONFIG").arg("GET").arg("dir")).await;
    let Ok(canonical) = folder.canonicalize() else {
        return false;
    };
    asked.is_ok_and(|pair| pair.get(1).is_some_and(|dir| Path::new(dir) == canonical))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
