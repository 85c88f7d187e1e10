//! `enrolld jobs requeue`.

use std::{collections::HashSet, num::NonZeroU32};

use serde_json::json;
use uuid::Uuid;

use super::{
    list::{class_json, class_table},
    many::{self, Left, jobs_are},
    which::{Narrow, Wanted},
};
use crate::{
    cli::output::{self, Format, Screen},
    store::{Store, interventions::Order},
};

/// What is to be queued again, and how.
#[derive(Debug)]
pub(super) struct Requeue {
    pub(super) ids: Vec<Uuid>,
    pub(super) narrow: Narrow,
    /// `dead` or `retrying`.
    pub(super) state: String,
    pub(super) is_dry: bool,
    pub(super) rate: Option<NonZeroU32>,
    pub(super) form: Format,
}

impl Requeue {
    pub(super) async fn run(self, store: &Store, order: &Order) -> anyhow::Result<()> {
        let are_named = !self.ids.is_empty();
        let wanted = Wanted::new(self.ids.clone(), &self.narrow, &[self.state.as_str()]);
        if self.is_dry {
            return self.tell_number(store, wanted).await;
        }
        let act = async |ids: &[Uuid]| {
            let done: HashSet<Uuid> = store.requeue(ids, order).await?.into_iter().collect();
            let mut left = Vec::new();
            for id in ids.iter().filter(|id| !done.contains(*id)) {
                left.push(Left {
                    id: *id,
                    why: why_not(store, *id).await?,
                });
            }
            Ok(left)
        };
        let tally = Box::pin(many::each(store, wanted, self.rate, act)).await?;
        if tally.done.is_empty() && !are_named {
            self.tell_classes(store).await?;
        }
        if !tally.done.is_empty() {
            tell_paused(store, &self.narrow).await?;
        }
        tally.tell("queued again", are_named, self.form)
    }

    async fn tell_number(&self, store: &Store, wanted: Wanted) -> anyhow::Result<()> {
        let (number, groups) = match wanted {
            Wanted::All(filters) => {
                let mut groups = Vec::new();
                for filter in &filters {
                    groups.extend(store.jobs_by_class(filter).await?);
                }
                (groups.iter().map(|group| group.number).sum(), groups)
            }
            Wanted::These(ids) => {
                let mut number = 0;
                for id in ids {
                    let job = store.job(id).await?;
                    number += u64::from(job.is_some_and(|job| is_meant(&job.state)));
                }
                (number, Vec::new())
            }
        };
        if self.form == Format::Json {
            let by_class: Vec<_> = groups.iter().map(class_json).collect();
            output::json(&json!({"number": number, "by_class": by_class}))?;
        } else {
            output::text(&format!("{} to be queued again", jobs_are(number)))?;
            if !groups.is_empty() {
                output::text(&format!("\n{}", class_table(Screen::stdout(), &groups)))?;
            }
        }
        if number == 0 {
            self.tell_classes(store).await?;
        }
        Ok(())
    }

    /// A class that was misspelt finds nothing: says which there are.
    async fn tell_classes(&self, store: &Store) -> anyhow::Result<()> {
        let Some(wanted) = self.narrow.error() else {
            return Ok(());
        };
        let filter = Narrow::default().filter(Some(self.state.as_str()), 0);
        let groups = store.jobs_by_class(&filter).await?;
        let mut classes: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
        classes.sort_unstable();
        classes.dedup();
        if !classes.contains(&wanted) {
            output::remark(&format!(
                "no job that is {} has an error of class {wanted:?}; there are: {}",
                self.state,
                if classes.is_empty() {
                    "none".to_owned()
                } else {
                    classes.join(", ")
                }
            ));
        }
        Ok(())
    }
}

/// Whether a job in this state can be queued again.
fn is_meant(state: &str) -> bool {
    matches!(state, "dead" | "retrying")
}

async fn why_not(store: &Store, id: Uuid) -> anyhow::Result<String> {
    Ok(match store.job(id).await? {
        Some(job) => format!("it is {}, and only what is dead or retrying can be", job.state),
        None => "there is no such job; `enrolld jobs list --state dead` shows those there are".to_owned(),
    })
}

/// Whoever queues jobs again while their queue is paused waits in vain.
async fn tell_paused(store: &Store, narrow: &Narrow) -> anyhow::Result<()> {
    for queue in store.paused_queues().await? {
        if narrow.kind().is_none_or(|kind| kind.as_str() == queue.kind) {
            output::remark(&format!(
                "the queue {0} is paused: its jobs run after `enrolld queues resume {0}`",
                queue.kind
            ));
        }
    }
    Ok(())
}
