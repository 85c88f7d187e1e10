//! Looks at everything the daemon stands on, and says of each thing what was seen and what to do about it (`enrolld doctor`).
//! The daemon tells its log the same once it has started (`remarks`).
//!
//! The checks run side by side, each within `CHECK_WITHIN`, and one that fails leaves the others alone. Nothing is changed:
//! no mail is sent, no database made, no grant asked for. No finding shows a secret or a whole address.

mod database;
mod files;
mod mail;
mod redis;
mod settings;
mod targets;

use std::{fmt, sync::Arc, time::Duration};

use futures::FutureExt as _;
use serde::Serialize;

pub(crate) use self::redis::refusal;
use crate::{environment::Environment, settings::Settings};

/// How long one check may take. Longer than a connection to the database is waited for, so that its own error is told.
const CHECK_WITHIN: Duration = Duration::from_secs(7);

/// An answer that takes longer, at best, makes every request slow.
const SLOW: Duration = Duration::from_millis(50);

/// How often latency is measured. The best counts: it tells of the way, and not of what else the machine does.
const PINGS: u32 = 5;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and is probably not meant so, or is not yet complete.
    Warning,
    /// It does not work, or loses something.
    Problem,
}

impl Verdict {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How it is.
    pub result: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do; nothing where all is well.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, seen: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            result: Verdict::Ok,
            seen: seen.into(),
            remedy: None,
        }
    }

    fn warning(check: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            result: Verdict::Warning,
            remedy: Some(remedy.into()),
            ..Self::ok(check, seen)
        }
    }

    fn problem(check: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            result: Verdict::Problem,
            ..Self::warning(check, seen, remedy)
        }
    }
}

/// Carries out all checks. The order of the findings is always the same.
pub async fn examine(settings: &Settings, environment: Arc<dyn Environment>) -> Vec<Finding> {
    // Futures of the database and of connections are large.
    let database = within(
        "database",
        "see that the database server runs and is not overloaded",
        database::check(settings, &*environment),
    )
    .boxed();
    let redis = within(
        "redis",
        "see that Redis runs and is not overloaded",
        redis::check(settings),
    )
    .boxed();
    let mail = within("mail", "see that the mail server runs", mail::check(settings)).boxed();
    let targets = targets::check(settings, &environment).boxed();
    let (database, redis, mail, targets) = tokio::join!(database, redis, mail, targets);
    [
        settings::check(settings),
        files::check(settings),
        database,
        redis,
        mail,
        targets,
    ]
    .concat()
}

/// What a daemon that has started tells its log: all that is not as it should be, but for what `Settings::warnings` holds, which it
/// has told before.
pub(crate) async fn remarks(settings: &Settings, environment: Arc<dyn Environment>) -> Vec<Finding> {
    let mut findings = examine(settings, environment).await;
    findings.retain(|finding| finding.result != Verdict::Ok && finding.check != settings::CHECK);
    findings
}

/// The findings, or that they did not come in time.
async fn within(check: &str, remedy: &str, findings: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let findings = tokio::time::timeout(CHECK_WITHIN, findings).await;
    findings.unwrap_or_else(|_| {
        let seen = format!("no answer within {} s", CHECK_WITHIN.as_secs());
        vec![Finding::problem(check, seen, remedy)]
    })
}

/// The best of a few round trips; `None` when one fails.
async fn latency<E, F: Future<Output = Result<(), E>>>(ping: impl Fn() -> F) -> Option<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..PINGS {
        let start = tokio::time::Instant::now();
        ping().await.ok()?;
        best = best.min(start.elapsed());
    }
    Some(best)
}

/// Milliseconds, as people read them.
fn in_ms(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1000.0)
}

/// What is wrong, and after the first semicolon the advice.
fn split_advice<'t>(text: &'t str, otherwise: &'t str) -> (&'t str, &'t str) {
    text.split_once("; ").unwrap_or((text, otherwise))
}
