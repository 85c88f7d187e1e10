//! `enrolld demo`: the main job on this machine, from nothing. A real daemon on SQLite, a private Redis and mail files; requests
//! for every road go through the real intake, and people answer as they would.

mod people;
mod report;
mod roads;
mod stopped;

use std::{
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

pub use self::stopped::Stopped;
use self::{people::People, roads::Road, stopped::Signals};

use crate::{
    daemon::{Daemon, Systemd},
    directory,
    environment::{Environment, System},
    links::hex,
    private_redis::{self, PrivateRedisError},
    settings::{PRIVATE_REDIS_DIR, Settings},
    store::Store,
};

/// The sample directory, the guide's own example among its records.
const DIRECTORY: &str = include_str!("../config/demo/directory.json");

/// Marks a folder as the demo's own, to be emptied at the next start.
const MARKER: &str = ".enrolld-demo";

/// Where the demo's agents get their cases.
const AGENTS: &str = "agents@vendor.example";

/// How long any single step may take before the demo gives up and says at which.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo in `folder`, which is made, or emptied if an earlier demo made it; reports to `out`.
///
/// # Errors
/// When a step does not come out as it must, or the folder belongs to somebody else. [`Stopped`] by a signal: the daemon and its
/// Redis have ended then, too.
pub async fn run(folder: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let folder = prepare(folder).await?;
    let settings = settings(&folder)?;
    writeln!(
        out,
        "A daemon on SQLite, a private Redis and mail files, in {}",
        folder.display()
    )?;
    writeln!(
        out,
        "DA stands for Delegated Administrator: who manages the users of a company."
    )?;
    settings.make_data_dir()?;
    let store = Store::open(&settings.database.url.connect_url(), 2).await?;
    store.migrate().await?;
    let sample = folder.join("directory.json");
    let environment = Arc::new(System);
    directory::import(store.writer().unbounded(), &sample, environment.now())
        .await
        .context("the sample directory")?;
    let mail_dir = settings.data_dir.join("mail");
    // A signal waits for the start, which takes moments: what has started whole can be ended well.
    let daemon = Daemon::start(settings, environment, Systemd::none()).await?;
    let people = People::new(&daemon, mail_dir.clone())?;
    let stop = CancellationToken::new();
    let mut working = tokio::spawn(daemon.run(stop.clone()));
    let roads = roads::all();
    let bar = bar(&roads);
    let walked = tokio::select! {
        walked = walk(&people, &roads, &bar) => walked,
        signal = signals.next() => Err(Stopped::by(signal, &folder).into()),
    };
    bar.finish_and_clear();
    stop.cancel();
    let ended = tokio::select! {
        ended = &mut working => ended.context("the daemon ended badly")?,
        // Somebody does not want to wait for what runs; the daemon's Redis ends with it even so.
        signal = signals.next() => {
            working.abort();
            Err(Stopped::by(signal, &folder).into())
        }
    };
    if let Err(error) = walked.and(ended) {
        store.close().await;
        return Err(error);
    }
    let written = report::write(out, &store, &mail_dir, &folder).await;
    store.close().await;
    written
}

/// A progress bar, where somebody watches.
fn bar(roads: &[Road]) -> ProgressBar {
    let steps: u64 = roads.iter().map(|road| road.steps.len() as u64).sum();
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar
}

/// Walks all roads.
async fn walk(people: &People, roads: &[Road], bar: &ProgressBar) -> anyhow::Result<()> {
    for road in roads {
        for step in &road.steps {
            bar.set_message(step.to_string());
            let taken = tokio::time::timeout(PATIENCE, people.take(step)).await;
            taken
                .unwrap_or_else(|_| bail!("nothing came of it within {PATIENCE:?}"))
                .with_context(|| format!("{}: {step}", road.title))?;
            bar.inc(1);
        }
    }
    Ok(())
}

/// An empty folder of the demo's own, in which nothing is at work.
async fn prepare(folder: &Path) -> anyhow::Result<PathBuf> {
    let cannot = || format!("cannot use the folder {}", folder.display());
    if folder.exists() {
        let is_empty = folder.read_dir().with_context(cannot)?.next().is_none();
        if !is_empty && !folder.join(MARKER).exists() {
            bail!(
                "{} exists and is not a demo's; name another with --folder, or remove it",
                folder.display()
            );
        }
        let data_dir = data_dir(folder);
        let left_over = private_redis::end_left_over(&data_dir, &data_dir.join(PRIVATE_REDIS_DIR)).await;
        left_over.map_err(|error| match error {
            PrivateRedisError::InUse(_) => anyhow!(
                "a daemon works in {}, so it cannot be emptied; end that daemon first, or name another folder with --folder",
                folder.display()
            ),
            error => anyhow::Error::from(error).context(cannot()),
        })?;
        std::fs::remove_dir_all(folder).with_context(cannot)?;
    }
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let folder = folder.canonicalize().with_context(cannot)?;
    std::fs::write(folder.join(MARKER), "").with_context(cannot)?;
    std::fs::write(folder.join("directory.json"), DIRECTORY).with_context(cannot)?;
    Ok(folder)
}

fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Writes the demo's configuration file and loads it, so that the command line can be used on the same data afterwards.
fn settings(folder: &Path) -> anyhow::Result<Settings> {
    let port = free_port()?;
    let mut table = toml::Table::new();
    table.insert("data_dir".to_owned(), data_dir(folder).display().to_string().into());
    let mut http = toml::Table::new();
    http.insert("bind".to_owned(), format!("127.0.0.1:{port}").into());
    http.insert("public_url".to_owned(), format!("http://127.0.0.1:{port}").into());
    table.insert("http".to_owned(), http.into());
    let mut security = toml::Table::new();
    security.insert("link_key".to_owned(), hex(&System.random()).into());
    table.insert("security".to_owned(), security.into());
    let mut review = toml::Table::new();
    review.insert("mailbox".to_owned(), AGENTS.into());
    table.insert("review".to_owned(), review.into());
    let text = toml::to_string(&table)?;
    let file = folder.join("enrolld.toml");
    // It holds a key.
    let mut opened = std::fs::OpenOptions::new();
    let opened = opened.write(true).create_new(true).mode(0o600).open(&file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", file.display()))?;
    // Nothing of the machine's own configuration: the demo is the same everywhere.
    Ok(Settings::parse(Some(("enrolld.toml", &text)), std::iter::empty())?)
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
