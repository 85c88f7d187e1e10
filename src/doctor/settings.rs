//! The settings themselves: what `config check` warns of, and what is left unset that most want set.

use super::{Finding, split_advice};
use crate::settings::Settings;

/// The name of what tells the warnings of the settings.
pub(super) const CHECK: &str = "settings";

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = settings
        .warnings
        .iter()
        .map(|warning| {
            let (seen, remedy) = split_advice(warning, "see `config/default.toml` for what the key means");
            Finding::warning(CHECK, seen, remedy)
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "sound, and nothing to remark"));
    }
    findings.push(link_key(settings));
    findings.extend(mailboxes(settings));
    findings
}

/// Who can read the database could open every link in it, were its key there as well (D7).
fn link_key(settings: &Settings) -> Finding {
    match settings.security.link_keys.len() {
        0 => Finding::warning(
            "link key",
            "security.link_key is not set: the key of the links in mails is kept in the database, beside the links",
            "set it to the output of `openssl rand -hex 32`; links that were mailed before then stop working",
        ),
        1 => Finding::ok("link key", "from security.link_key"),
        keys => Finding::ok("link key", format!("from security.link_key: the first of {keys} signs")),
    }
}

fn mailboxes(settings: &Settings) -> [Finding; 2] {
    let agents = if settings.review.mailbox.is_some() {
        Finding::ok("agents", "review.mailbox is set: cases are mailed there")
    } else {
        Finding::warning(
            "agents",
            "review.mailbox is not set: no agent is mailed a case",
            "set it, or look at `enrolld review list` several times a day",
        )
    };
    let ops = match (&settings.ops.mailbox, &settings.review.supervisor) {
        (Some(_), _) => Finding::ok("ops", "ops.mailbox is set: alerts are mailed there"),
        (None, Some(_)) => Finding::warning(
            "ops",
            "ops.mailbox is not set: alerts are in the log only",
            "set it, or watch the log",
        ),
        (None, None) => Finding::warning(
            "ops",
            "neither ops.mailbox nor review.supervisor is set: alerts are in the log only, and nobody is mailed an \
             overdue case",
            "set ops.mailbox, or watch the log",
        ),
    };
    [agents, ops]
}
