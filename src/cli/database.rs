//! The database, for commands that find it made and current.

use std::sync::Mutex;

use anyhow::{Context as _, bail};

use crate::{
    settings::{DatabaseUrl, Settings},
    store::{Store, schema::Schema},
};

/// Connections of one command.
const CONNECTIONS: u32 = 2;

/// What the command has opened, to be closed at its end whatever way that comes: SQLite writes its log into its file only then.
static OPENED: Mutex<Vec<Store>> = Mutex::new(Vec::new());

/// Opens the database, made when it is missing; so is `data_dir` if it is to stand there, but no other folder.
pub(super) async fn open_or_make(settings: &Settings) -> anyhow::Result<Store> {
    let url = &settings.database.url;
    if let DatabaseUrl::Sqlite(path) = url
        && path.parent() == Some(&settings.data_dir)
    {
        let made = settings.make_data_dir();
        made.with_context(|| format!("cannot make data_dir {}", settings.data_dir.display()))?;
    }
    let remedy = match url {
        DatabaseUrl::Sqlite(_) => "",
        DatabaseUrl::Postgres(_) => "; see that it runs and that database.url is right",
    };
    let store = Store::open(&url.connect_url(), CONNECTIONS)
        .await
        .with_context(|| format!("cannot open the database {url}{remedy}"))?;
    OPENED.lock().expect("nobody panics with it").push(store.clone());
    Ok(store)
}

/// Closes what the command has opened.
pub(super) async fn close() {
    let opened = std::mem::take(&mut *OPENED.lock().expect("nobody panics with it"));
    for store in opened {
        store.close().await;
    }
}

/// Opens the database, which must be there and of this release's schema.
pub(super) async fn open(settings: &Settings) -> anyhow::Result<Store> {
    if let DatabaseUrl::Sqlite(path) = &settings.database.url
        && !path.exists()
    {
        bail!(
            "there is no database {}; make it with `enrolld migrate`, or name the right settings with --config",
            path.display()
        );
    }
    let store = open_or_make(settings).await?;
    match schema(&store).await?.lack() {
        None => Ok(store),
        Some(lack) => bail!("the database {} is not of this release: {lack}", settings.database.url),
    }
}

/// Whether the database is of this release.
pub(super) async fn schema(store: &Store) -> anyhow::Result<Schema> {
    store
        .schema()
        .await
        .context("cannot tell whether the database is of this release")
}
