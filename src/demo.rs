//! `enrolld demo`: the main job on this machine, from nothing. A real daemon on SQLite, a private Redis and mail files; requests
//! for every road go through the real intake, and people answer as they would.

mod people;
mod report;
mod roads;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::Daemon,
    directory,
    environment::{Environment, System},
    links::hex,
    settings::Settings,
    store::Store,
};

/// The sample directory, the guide's own example among its records.
const DIRECTORY: &str = include_str!("../config/demo/directory.json");

/// Marks a folder as the demo's own, to be emptied at the next start.
const MARKER: &str = ".enrolld-demo";

/// How long any single step may take before the demo gives up and says at which.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo in `folder`, which is made, or emptied if an earlier demo made it; reports to `out`.
///
/// # Errors
/// When a step does not come out as it must, or the folder belongs to somebody else.
pub async fn run(folder: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = prepare(folder)?;
    let settings = settings(&folder)?;
    let config = folder.join("enrolld.toml");
    writeln!(
        out,
        "A daemon on SQLite, a private Redis and mail files, in {}",
        folder.display()
    )?;
    let store = Store::open(&settings.database.url.connect_url(), 2).await?;
    store.migrate().await?;
    let sample = folder.join("directory.json");
    let environment = Arc::new(System);
    directory::import(store.writer(), &sample, environment.now())
        .await
        .context("the sample directory")?;
    let mail_dir = settings.data_dir.join("mail");
    let daemon = Daemon::start(settings, environment).await?;
    let people = people::People::new(&daemon, mail_dir.clone())?;
    let stop = CancellationToken::new();
    let working = tokio::spawn(daemon.run(stop.clone()));
    let walked = walk(&people).await;
    stop.cancel();
    let ended = working.await.context("the daemon ended badly")?;
    walked?;
    ended?;
    report::write(out, &store, &mail_dir, &config).await
}

/// Walks all roads, with a progress bar where somebody watches.
async fn walk(people: &people::People) -> anyhow::Result<()> {
    let roads = roads::all();
    let steps: u64 = roads.iter().map(|road| road.steps.len() as u64).sum();
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    for road in roads {
        for step in road.steps {
            bar.set_message(step.to_string());
            let taken = tokio::time::timeout(PATIENCE, people.take(&step)).await;
            taken
                .unwrap_or_else(|_| bail!("nothing came of it within {PATIENCE:?}"))
                .with_context(|| format!("{}: {step}", road.title))?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// An empty folder of the demo's own.
fn prepare(folder: &Path) -> anyhow::Result<PathBuf> {
    let cannot = || format!("cannot use the folder {}", folder.display());
    if folder.exists() {
        let is_empty = folder.read_dir().with_context(cannot)?.next().is_none();
        if !is_empty && !folder.join(MARKER).exists() {
            bail!(
                "{} exists and is not a demo's; name another with --folder, or remove it",
                folder.display()
            );
        }
        std::fs::remove_dir_all(folder).with_context(cannot)?;
    }
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let folder = folder.canonicalize().with_context(cannot)?;
    std::fs::write(folder.join(MARKER), "").with_context(cannot)?;
    std::fs::write(folder.join("directory.json"), DIRECTORY).with_context(cannot)?;
    Ok(folder)
}

/// Writes the demo's configuration file and loads it, so that the command line can be used on the same data afterwards.
fn settings(folder: &Path) -> anyhow::Result<Settings> {
    let port = free_port()?;
    let mut table = toml::Table::new();
    table.insert("data_dir".to_owned(), folder.join("data").display().to_string().into());
    let mut http = toml::Table::new();
    http.insert("bind".to_owned(), format!("127.0.0.1:{port}").into());
    http.insert("public_url".to_owned(), format!("http://127.0.0.1:{port}").into());
    table.insert("http".to_owned(), http.into());
    let mut security = toml::Table::new();
    security.insert("link_key".to_owned(), hex(&System.random()).into());
    table.insert("security".to_owned(), security.into());
    let mut review = toml::Table::new();
    review.insert("mailbox".to_owned(), "agents@vendor.example".into());
    table.insert("review".to_owned(), review.into());
    let text = toml::to_string(&table)?;
    let file = folder.join("enrolld.toml");
    std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    // Nothing of the machine's own configuration: the demo is the same everywhere.
    Ok(Settings::parse(Some(("enrolld.toml", &text)), std::iter::empty())?)
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
