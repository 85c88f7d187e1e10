//! `enrolld status --output json`, in a shape that stays: names are added, never changed.

use chrono::{DateTime, Utc};
use enrolld_jobs::registration::ReviewReason;
use serde_json::{Value, json};

use crate::{
    cli::moments::rfc3339,
    status::{Held, Late, Status, is_at_least},
    store::{counts::Waiting, standing::FailedAlike},
};

pub(super) fn of(status: &Status, late: &[Late]) -> Value {
    json!({
        "at": moment(status.at),
        "late": late.iter().map(of_late).collect::<Vec<_>>(),
        "daemons": status.daemons.iter().map(|daemon| json!({
            "id": daemon.id,
            "host": daemon.host,
            "pid": daemon.pid,
            "version": daemon.version,
            "alive": daemon.is_alive,
            "seen_at": moment(daemon.seen),
        })).collect::<Vec<_>>(),
        "redis": status.stream.as_ref().err(),
        "intake": {
            "stream": status.stream.as_ref().ok().map(waiting),
            "inbox": waiting(&status.inbox),
        },
        "notices": status.notices,
        "queues": status.queues.iter().map(|(kind, queued)| {
            let is_paused = status.paused.iter().any(|queue| queue.kind == kind.as_str());
            json!({ "kind": kind.as_str(), "queued": waiting(queued), "paused": is_paused })
        }).collect::<Vec<_>>(),
        "deadlines_overdue": waiting(&status.timers),
        "jobs": {
            "dead": status.dead.iter().map(failed).collect::<Vec<_>>(),
            "retrying": status.retrying.iter().map(failed).collect::<Vec<_>>(),
        },
        "agents": {
            "number": status.cases.number,
            "at_least": status.cases.are_more,
            "overdue": status.cases.overdue,
            "reasons": status.cases.reasons,
            "longest": status.cases.longest.iter().map(held).collect::<Vec<_>>(),
        },
        "das": with_longest(&status.das, &status.longest_das),
        "provisioning": with_longest(&status.provisioning, &status.longest_provisioning),
        "provisioning_overdue": waiting(&status.provisioning_overdue),
        "bounces": { "number": status.bounces.number, "newest": status.bounces.newest.map(moment) },
    })
}

fn of_late(late: &Late) -> Value {
    json!({
        "what": late.what,
        "number": late.number,
        "at_least": late.at_least,
        "since": late.since.map(moment),
        "why": late.why,
        "look": late.look,
    })
}

fn waiting(waiting: &Waiting) -> Value {
    json!({
        "number": waiting.number,
        "at_least": is_at_least(waiting.number),
        "oldest": waiting.oldest.map(moment),
    })
}

fn with_longest(of: &Waiting, longest: &[Held]) -> Value {
    let mut value = waiting(of);
    value["longest"] = longest.iter().map(held).collect();
    value
}

fn held(held: &Held) -> Value {
    json!({
        "id": held.id,
        "since": moment(held.since),
        "reason": held.reason.map(ReviewReason::as_str),
        "da_account_id": held.da,
    })
}

fn failed(group: &FailedAlike) -> Value {
    json!({
        "kind": group.kind,
        "error": group.class,
        "number": group.number,
        "since": group.since.map(moment),
        "failures": group.failures,
    })
}

fn moment(at: DateTime<Utc>) -> String {
    rfc3339(at.timestamp_millis())
}
