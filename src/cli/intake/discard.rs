//! `enrolld intake discard`.

use std::fmt::Write as _;

use super::{rejected::detail, which::Which};
use crate::{
    cli::{
        database,
        output::{self, printable},
    },
    settings::Settings,
    store::entities::refused,
};

pub(super) async fn run(which: &Which, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    which.check(&store, "discarded", hindrance).await?;
    let (mut discarded, mut kept) = (0, 0);
    let mut walk = which.walk(&store, false).await?;
    loop {
        let mut events = walk.next(&store).await?;
        if events.is_empty() {
            break;
        }
        let all = events.len();
        events.retain(|event| hindrance(event).is_none());
        kept += all - events.len();
        let seqs: Vec<i64> = events.iter().map(|event| event.seq).collect();
        discarded += store.discard_refused(&seqs).await?;
        if !events.is_empty() {
            output::text(&events.iter().map(told).collect::<String>())?;
        }
    }
    if discarded == 0 {
        output::remark("nothing to discard");
    }
    if kept > 0 {
        output::remark(&format!("{kept} kept: {NOT_ANNOUNCED}"));
    }
    Ok(())
}

const NOT_ANNOUNCED: &str =
    "not announced to upstream yet; try again once the daemon runs and Redis is there (`enrolld status`)";

fn hindrance(event: &refused::Model) -> Option<String> {
    event.announced_ms.is_none().then(|| NOT_ANNOUNCED.to_owned())
}

/// What it was, on a line of its own.
fn told(event: &refused::Model) -> String {
    let mut line = format!(
        "{} {}",
        event.seq,
        event.r#type.as_deref().unwrap_or("an unreadable entry")
    );
    if let Some(subject) = &event.subject {
        write!(line, " of {subject}").expect("a String takes any text");
    }
    let detail = detail(event);
    let code = detail
        .get("code")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    write!(line, ": {} ({code})", event.reason).expect("a String takes any text");
    format!("{}\n", printable(&line))
}
