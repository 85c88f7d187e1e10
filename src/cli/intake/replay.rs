//! `enrolld intake replay`.

use std::fmt::Write as _;

use anyhow::Context as _;
use enrolld_jobs::refusal::Reason;
use serde_json::json;

use super::{send, which::Which};
use crate::{
    cli::{
        database,
        moments::relative_ms,
        order::somebody,
        output::{self, Format},
    },
    environment::{Environment as _, System},
    intake::replay::{original, put_back},
    settings::Settings,
    store::{Store, entities::refused, error::StoreError, refused::Filter},
};

pub(super) async fn run(which: Which, again: bool, form: Format, settings: &Settings) -> anyhow::Result<()> {
    let is_any = which.is_any();
    // What ended daemons would do so again.
    let which = which.without(Reason::Poison);
    let store = database::open(settings).await?;
    which.check(&store, "replayed", |event| hindrance(event, again)).await?;
    let (redis, remedy) = send::redis(settings)?;
    let by = somebody();
    let mut replayed = Replayed {
        form,
        entries: Vec::new(),
        lost: 0,
    };
    let walked = async {
        let mut walk = which.walk(&store, !again).await?;
        loop {
            let events = walk.next(&store).await?;
            if events.is_empty() {
                return anyhow::Ok(());
            }
            let (seqs, bytes): (Vec<i64>, Vec<&[u8]>) = events
                .iter()
                .filter_map(|event| Some((event.seq, original(event).ok()?)))
                .unzip();
            replayed.lost += events.len() - seqs.len();
            if seqs.is_empty() {
                continue;
            }
            let entries = put_back(&redis, &settings.redis.prefix, &bytes).await;
            // Added first and noted then: what Redis has not taken is not called replayed.
            let entries = entries.with_context(|| not_taken(replayed.entries.len(), &remedy))?;
            store.note_replayed(&seqs, &by, System.now()).await?;
            replayed.add(&seqs, entries)?;
        }
    };
    let walked = walked.await;
    replayed.tell()?;
    walked?;
    output::remark(&outcome(replayed.entries.len(), replayed.lost));
    if is_any && is_poison_left(&store, !again).await? {
        output::remark("what ended daemons is left out (poison); once that is mended, name it or say --reason poison");
    }
    Ok(())
}

/// What has been put back so far.
struct Replayed {
    form: Format,
    /// The events' numbers, and the entries that they are now.
    entries: Vec<(i64, String)>,
    /// Events that are not kept as they came.
    lost: usize,
}

impl Replayed {
    /// Tells of these at once, where that is for people.
    fn add(&mut self, seqs: &[i64], entries: Vec<String>) -> anyhow::Result<()> {
        let added = seqs.iter().copied().zip(entries);
        if self.form == Format::Json {
            self.entries.extend(added);
            return Ok(());
        }
        let mut told = String::new();
        for (seq, entry) in added {
            writeln!(told, "{seq} {entry}").expect("a String takes any text");
            self.entries.push((seq, entry));
        }
        output::text(&told)
    }

    fn tell(&self) -> anyhow::Result<()> {
        if self.form == Format::Json {
            let entries = self
                .entries
                .iter()
                .map(|(seq, entry)| json!({"seq": seq, "entry": entry}));
            output::json(&json!({"replayed": entries.collect::<Vec<_>>(), "lost_number": self.lost}))?;
        }
        Ok(())
    }
}

async fn is_poison_left(store: &Store, fresh: bool) -> Result<bool, StoreError> {
    let filter = Filter {
        reasons: vec![Reason::Poison],
        fresh,
    };
    Ok(!store.refused_page(&filter, 0, i64::MAX, 1).await?.is_empty())
}

/// Why an event that is named cannot be replayed.
fn hindrance(event: &refused::Model, again: bool) -> Option<String> {
    if let Err(lost) = original(event) {
        return Some(format!("{lost}; upstream has to send it again"));
    }
    let at = event.replayed_ms.filter(|_| !again)?;
    let by = event.replayed_by.as_deref().unwrap_or("somebody");
    Some(format!(
        "{by} has replayed it {}; with --again it is replayed once more",
        relative_ms(System.now(), at)
    ))
}

fn not_taken(replayed: usize, remedy: &str) -> String {
    match replayed {
        0 => format!("no event was noted as replayed; try again{remedy}"),
        _ => format!("{replayed} events were replayed, the others are to be replayed again; none is applied twice"),
    }
}

fn outcome(replayed: usize, lost: usize) -> String {
    let mut told = match replayed {
        0 => "nothing to replay".to_owned(),
        1 => "1 event is back on the intake".to_owned(),
        _ => format!("{replayed} events are back on the intake"),
    };
    if replayed > 0 {
        told.push_str("; `enrolld intake rejected` shows what is refused again");
    }
    match lost {
        0 => {}
        1 => told.push_str("\n1 event is not kept as it came: upstream has to send it again"),
        _ => write!(
            told,
            "\n{lost} events are not kept as they came: upstream has to send them again"
        )
        .expect("a String takes any text"),
    }
    told
}
