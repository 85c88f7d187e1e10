//! A `redis-server` of the daemon's own, for when no `redis.url` is set: a child on a free loopback port that keeps its data beside
//! the database.
//!
//! `<data_dir>/redis.url` tells the command line where it listens. A server that a killed daemon left behind is used again.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::queue::Redis;

/// How long the server may take to answer after its start.
const START_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

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
    /// It does not answer.
    #[error("the private redis-server does not answer after {START_WITHIN:?}; its log is {0}")]
    Silent(PathBuf),
}

/// The running server.
#[derive(Debug)]
pub struct PrivateRedis {
    url: String,
    file: PathBuf,
    child: Option<Child>,
}

/// The file that tells where the private Redis of `data_dir` listens.
pub fn url_file(data_dir: &Path) -> PathBuf {
    data_dir.join("redis.url")
}

impl PrivateRedis {
    /// Starts the server in `folder`, or takes over one that is there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(data_dir: &Path, folder: &Path) -> Result<Self, PrivateRedisError> {
        let file = url_file(data_dir);
        if let Ok(url) = std::fs::read_to_string(&file)
            && is_ours(url.trim(), folder).await
        {
            tracing::info!(
                url = url.trim(),
                "the private redis-server of an earlier daemon is used again"
            );
            return Ok(Self {
                url: url.trim().to_owned(),
                file,
                child: None,
            });
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| PrivateRedisError::Files { path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let port = free_port().map_err(PrivateRedisError::NoServer)?;
        let log = folder.join("redis.log");
        let child = Command::new("redis-server")
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
                "redis.log",
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
            .map_err(PrivateRedisError::NoServer)?;
        let url = format!("redis://127.0.0.1:{port}");
        let started = Self {
            url,
            file,
            child: Some(child),
        };
        started.wait(&log).await?;
        std::fs::write(&started.file, format!("{}\n", started.url)).map_err(failed(&started.file))?;
        tracing::info!(url = started.url, folder = %folder.display(), "no redis.url is set: started a private redis-server");
        Ok(started)
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn wait(&self, log: &Path) -> Result<(), PrivateRedisError> {
        let answers = async {
            loop {
                if let Ok(redis) = Redis::open(&self.url)
                    && redis.ping().await.is_ok()
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(START_WITHIN, answers)
            .await
            .map_err(|_| PrivateRedisError::Silent(log.to_owned()))
    }

    /// Ends the server, its data on disk.
    pub async fn stop(mut self) {
        if let Ok(redis) = Redis::open(&self.url) {
            // The connection ends instead of an answer.
            let _: Result<(), _> = redis.query(redis::cmd("SHUTDOWN").arg("NOW")).await;
        }
        if let Some(child) = &mut self.child {
            let _ = tokio::time::timeout(STOP_WITHIN, child.wait()).await;
            let _ = child.kill().await;
        }
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Whether the server at `url` is one that works in `folder`.
async fn is_ours(url: &str, folder: &Path) -> bool {
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
