//! `enrolld jobs list` and `enrolld jobs stats`.

use enrolld_jobs::job::JobKind;
use serde_json::{Value, json};

use super::{STATES, as_json, which::Narrow};
use crate::{
    cli::{
        listing::Listing,
        moments::{relative_ms, rfc3339},
        output::{self, Format, Screen},
        table::{Column, table},
    },
    environment::{Environment as _, System},
    store::{Store, entities::job, selection::Group},
};

/// Writes the jobs. Above a table of dead ones stands what they died of.
pub(super) async fn list(store: &Store, narrow: &Narrow, state: Option<&str>, listing: Listing) -> anyhow::Result<()> {
    let filter = narrow.filter(state, listing.asked());
    let jobs = store.jobs(&filter).await?;
    let groups = if state == Some("dead") && !listing.is_json() {
        store.jobs_by_class(&filter).await?
    } else {
        Vec::new()
    };
    listing.write("jobs", &jobs, as_json, |jobs| {
        let screen = Screen::stdout();
        let listed = job_table(screen, jobs);
        if groups.is_empty() {
            return listed;
        }
        format!("{}\n\n{listed}", class_table(screen, &groups))
    })
}

fn job_table(screen: Screen, jobs: &[job::Model]) -> String {
    let now = System.now();
    let columns = [
        Column::new("ID", 0),
        Column::new("KIND", 1),
        Column::new("STATE", 0).state(),
        Column::new("ABOUT", 2),
        Column::new("CREATED", 4),
        Column::new("DUE", 5),
        Column::new("ATTEMPTS", 6).number(),
        Column::new("ERROR", 3).wrapped(),
    ];
    let rows = jobs.iter().map(|job| {
        let waits = matches!(job.state.as_str(), "scheduled" | "retrying");
        [
            job.id.clone(),
            job.kind.clone(),
            job.state.clone(),
            about(job).unwrap_or_default(),
            relative_ms(now, job.created_ms),
            if waits {
                relative_ms(now, job.run_at_ms)
            } else {
                String::new()
            },
            job.attempts.to_string(),
            job.error_class.clone().unwrap_or_default(),
        ]
    });
    table(screen, columns, rows)
}

/// What the job is for, where it is for a registration or an account.
fn about(job: &job::Model) -> Option<String> {
    job.registration_id.clone().or_else(|| job.account_id.clone())
}

/// Jobs by kind and class of error.
pub(super) fn class_table(screen: Screen, groups: &[Group]) -> String {
    let now = System.now();
    let columns = [
        Column::new("JOBS", 0).number(),
        Column::new("KIND", 0),
        Column::new("CLASS", 0),
        Column::new("FIRST", 1),
        Column::new("LAST", 2),
    ];
    let rows = groups.iter().map(|group| {
        [
            group.number.to_string(),
            group.kind.clone(),
            group.name.clone(),
            relative_ms(now, group.first_ms),
            relative_ms(now, group.last_ms),
        ]
    });
    table(screen, columns, rows)
}

/// Writes how many jobs there are of each kind and state, and what the dead ones died of.
pub(super) async fn stats(store: &Store, form: Format) -> anyhow::Result<()> {
    let by_state = store.jobs_by_state().await?;
    let dead = store.jobs_by_class(&Narrow::default().filter(Some("dead"), 0)).await?;
    match form {
        Format::Json => output::json(&json!({
            "jobs": by_state.iter().map(|group| json!({
                "kind": group.kind, "state": group.name, "number": group.number,
            })).collect::<Vec<_>>(),
            "dead": dead.iter().map(class_json).collect::<Vec<_>>(),
        })),
        Format::Table => {
            let screen = Screen::stdout();
            let mut text = state_table(screen, &by_state);
            if !dead.is_empty() {
                text = format!("{text}\n\nDead\n{}", class_table(screen, &dead));
            }
            output::text(&text)
        }
    }
}

pub(super) fn class_json(group: &Group) -> Value {
    json!({
        "kind": group.kind,
        "error_class": group.name,
        "number": group.number,
        "first_at": rfc3339(group.first_ms),
        "last_at": rfc3339(group.last_ms),
    })
}

/// A line a kind, a column a state.
fn state_table(screen: Screen, groups: &[Group]) -> String {
    let columns = [
        Column::new("KIND", 0),
        Column::new("SCHEDULED", 3).number(),
        Column::new("QUEUED", 0).number(),
        Column::new("RUNNING", 2).number(),
        Column::new("SUCCEEDED", 4).number(),
        Column::new("RETRYING", 1).number(),
        Column::new("DEAD", 0).number(),
        Column::new("CANCELLED", 5).number(),
        Column::new("DISCARDED", 6).number(),
    ];
    let ours = JobKind::ALL.iter().map(|kind| kind.as_str());
    let others = groups.iter().map(|group| group.kind.as_str());
    let mut kinds: Vec<&str> = ours.collect();
    // A later release's.
    for kind in others {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let number = |kind: &str, state: &str| {
        let found = groups.iter().find(|group| group.kind == kind && group.name == state);
        found.map_or(0, |group| group.number).to_string()
    };
    let rows = kinds.into_iter().map(|kind| {
        std::array::from_fn(|column| match column.checked_sub(1) {
            None => kind.to_owned(),
            Some(state) => number(kind, STATES[state]),
        })
    });
    table(screen, columns, rows)
}
