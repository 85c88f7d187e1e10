//! `enrolld intake discard`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{rejected::detail, which::Which};
use crate::{
    cli::{
        database,
        output::{self, Format, printable},
    },
    settings::Settings,
    store::entities::refused,
};

pub(super) async fn run(which: &Which, form: Format, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    which.check(&store, "discarded", hindrance).await?;
    let (mut discarded, mut kept, mut all_told) = (0, 0, Vec::new());
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
        match form {
            Format::Json => all_told.extend(events.iter().map(as_json)),
            Format::Table if events.is_empty() => {}
            Format::Table => output::text(&events.iter().map(told).collect::<String>())?,
        }
    }
    if form == Format::Json {
        output::json(&json!({"discarded": all_told, "kept_number": kept}))?;
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
    write!(line, ": {} ({})", event.reason, code(event).unwrap_or_default()).expect("a String takes any text");
    format!("{}\n", printable(&line))
}

fn as_json(event: &refused::Model) -> Value {
    json!({"seq": event.seq, "type": event.r#type, "subject": event.subject, "reason": event.reason, "code": code(event)})
}

fn code(event: &refused::Model) -> Option<String> {
    Some(detail(event).get("code")?.as_str()?.to_owned())
}
