//! `enrolld migrate`.

use std::fmt::Write as _;

use anyhow::Context as _;

use super::{database, output};
use crate::{
    environment::{Environment as _, System},
    settings::Settings,
    store::schema::Schema,
};

/// Brings the database to this release's schema, and makes the key of links where none is configured (D7).
pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let url = &settings.database.url;
    let store = database::open_or_make(settings).await?;
    let Schema { missing, foreign } = database::schema(&store).await?;
    store
        .migrate()
        .await
        .with_context(|| format!("the database {url} could not be migrated"))?;
    output::text(&match missing {
        0 if foreign > 0 => format!("database {url}: nothing to do; a newer release has been there"),
        0 => format!("database {url}: nothing to do"),
        1 => format!("database {url}: 1 migration carried out"),
        _ => format!("database {url}: {missing} migrations carried out"),
    })?;

    if !settings.security.link_keys.is_empty() {
        return output::text("key of links: from security.link_key");
    }
    let mut fresh = String::with_capacity(64);
    for byte in System.random() {
        write!(fresh, "{byte:02x}").expect("a String takes any text");
    }
    let kept = store
        .link_key(&fresh, System.now())
        .await
        .context("the key of links could not be kept")?;
    output::text(if kept == fresh {
        "key of links: made, and kept in the database (set security.link_key to keep it elsewhere)"
    } else {
        "key of links: in the database already"
    })
}
