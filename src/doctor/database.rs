//! The database: reachable, of this release, safe, near, and of one mind about the time; who works on it; what its directory has.

use std::time::Duration;

use super::{Finding, SLOW, in_ms, latency, split_advice};
use crate::{
    directory,
    environment::Environment,
    settings::{DatabaseUrl, Settings},
    store::{Store, milliseconds, span_ms},
};

/// Connections of the check.
const CONNECTIONS: u32 = 2;

/// Timers go by the daemon's clock, signs of life and leases by the database's: past this they tell different stories.
const CLOCK_OFF: Duration = Duration::from_secs(2);

/// Past this timers and links are plainly wrong.
const CLOCK_WRONG: Duration = Duration::from_mins(1);

/// Daemons that are named; the rest is only counted.
const NAMED: usize = 3;

pub(super) async fn check(settings: &Settings, environment: &dyn Environment) -> Vec<Finding> {
    let url = &settings.database.url;
    if let DatabaseUrl::Sqlite(path) = url
        && !path.exists()
    {
        return vec![Finding::problem(
            "database",
            format!("there is no database {}", path.display()),
            "make it with `enrolld migrate`, or name the right settings with --config",
        )];
    }
    let store = match Store::open(&url.connect_url(), CONNECTIONS).await {
        Ok(store) => store,
        Err(error) => {
            return vec![Finding::problem(
                "database",
                format!("{url} cannot be opened: {error}"),
                "see that it runs, that database.url is right, and that this user may use it",
            )];
        }
    };
    let mut findings = server(url, &store).await;
    let schema = match store.schema().await {
        Ok(schema) => schema,
        Err(error) => {
            findings.push(unanswered("migrations", &error));
            return findings;
        }
    };
    if let Some(lack) = schema.lack() {
        let (seen, remedy) = split_advice(&lack, "run `enrolld migrate`");
        findings.push(Finding::problem("migrations", seen, remedy));
        // The tables that follow may not be there.
        return findings;
    }
    findings.push(Finding::ok(
        "migrations",
        if schema.foreign == 0 {
            "all carried out"
        } else {
            "all carried out, and those of a newer release"
        },
    ));
    findings.extend(clock(&store, environment).await);
    findings.push(daemons(settings, &store, environment).await);
    findings.push(filled(&store).await);
    findings.extend(paused(&store).await);
    findings
}

/// The oldest PostgreSQL that the tests run on, that of Debian 12.
const TRIED_FROM: u32 = 15;

/// Whether a version, such as `15.14 (Debian 15.14-0+deb12u1)`, is older than all that the tests run on.
fn is_untried(version: &str) -> bool {
    let major = version.split(|c: char| !c.is_ascii_digit()).next();
    major
        .and_then(|major| major.parse().ok())
        .is_some_and(|major: u32| major < TRIED_FROM)
}

async fn server(url: &DatabaseUrl, store: &Store) -> Vec<Finding> {
    let server = match store.server().await {
        Ok(server) => server,
        Err(error) => return vec![unanswered("database", &error)],
    };
    let Some(latency) = latency(|| store.ping()).await else {
        return vec![Finding::problem(
            "database",
            "the connection was lost while it was measured",
            "see that the server keeps running",
        )];
    };
    let seen = format!(
        "{} {} answers in {} at {url}{}",
        server.product,
        server.version,
        in_ms(latency),
        if server.is_encrypted { ", encrypted" } else { "" }
    );
    let mut findings = vec![if server.is_read_only {
        Finding::problem(
            "database",
            format!("{seen}, and takes no writes: it is a replica, or set to read-only"),
            "name the primary in database.url",
        )
    } else if !store.is_sqlite() && is_untried(&server.version) {
        Finding::warning(
            "database",
            format!("{seen}; it is older than any that enrolld is tried with"),
            "use PostgreSQL 15 or later",
        )
    } else if latency >= SLOW {
        Finding::warning(
            "database",
            format!("{seen}, which is slow"),
            "run the daemon nearer to it",
        )
    } else {
        Finding::ok("database", seen)
    }];
    if !server.unsafe_settings.is_empty() {
        findings.push(Finding::warning(
            "database safety",
            format!(
                "a power cut may cost commits, or the whole database: {}",
                server.unsafe_settings.join(", ")
            ),
            "set them to on in postgresql.conf, and reload",
        ));
    }
    findings
}

/// This host's clock against the one that all daemons share. None on SQLite, which is of this host.
async fn clock(store: &Store, environment: &dyn Environment) -> Vec<Finding> {
    if store.is_sqlite() {
        return Vec::new();
    }
    let before = environment.now();
    let shared = match store.shared_now_ms(before).await {
        Ok(shared) => shared,
        Err(error) => return vec![unanswered("clock", &error)],
    };
    let after = environment.now();
    // The answer is of some moment between the two.
    let (least, most) = (shared - milliseconds(after), shared - milliseconds(before));
    let ahead = if least > 0 { least } else { most.min(0) };
    let off = Duration::from_millis(ahead.unsigned_abs());
    if off < CLOCK_OFF {
        return vec![Finding::ok("clock", "this host and the database agree about the time")];
    }
    let seen = format!(
        "the clock of this host is {} {} that of the database",
        humantime::format_duration(Duration::from_secs(off.as_secs())),
        if ahead > 0 { "behind" } else { "ahead of" }
    );
    let remedy = "have both keep the time by NTP (`timedatectl set-ntp true`), and run this on every host";
    vec![if off < CLOCK_WRONG {
        Finding::warning("clock", seen, remedy)
    } else {
        Finding::problem("clock", seen, remedy)
    }]
}

async fn daemons(settings: &Settings, store: &Store, environment: &dyn Environment) -> Finding {
    let asked = async {
        let silent_since = store.shared_now_ms(environment.now()).await? - span_ms(settings.heartbeat.dead_after);
        let mut known = store.daemons().await?;
        known.retain(|daemon| daemon.stopped_ms.is_none() && daemon.heartbeat_ms >= silent_since);
        Ok(known)
    };
    let live = match asked.await {
        Ok(live) => live,
        Err(error) => return unanswered("daemons", &error),
    };
    let Some(newest) = live.first() else {
        return Finding::warning(
            "daemons",
            "none is running",
            "start one: `systemctl start enrolld`, or `enrolld run`",
        );
    };
    let names = live
        .iter()
        .take(NAMED)
        .map(|daemon| format!("{} (process {}, release {})", daemon.host, daemon.pid, daemon.version));
    let mut seen = format!("{} running: {}", live.len(), names.collect::<Vec<_>>().join(", "));
    if live.len() > NAMED {
        seen.push_str(", …");
    }
    if live.iter().any(|daemon| daemon.version != newest.version) {
        return Finding::warning(
            "daemons",
            format!("{seen}; they are of different releases"),
            "finish the upgrade",
        );
    }
    Finding::ok("daemons", seen)
}

/// Queues that somebody has paused, and may have forgotten.
async fn paused(store: &Store) -> Vec<Finding> {
    let paused = match store.paused_queues().await {
        Ok(paused) if paused.is_empty() => return Vec::new(),
        Ok(paused) => paused,
        Err(error) => return vec![unanswered("queues", &error)],
    };
    let kinds: Vec<_> = paused.iter().map(|queue| queue.kind.as_str()).collect();
    let kinds = kinds.join(" ");
    vec![Finding::warning(
        "queues",
        format!("paused: {kinds}"),
        format!("once they may go on: `enrolld queues resume {kinds}`"),
    )]
}

async fn filled(store: &Store) -> Finding {
    const IMPORT: &str = "`enrolld directory import FILE`; the contract, section 4, has the file's form";
    match directory::empty_tables(store.reader()).await {
        Err(error) => unanswered("directory", &error),
        Ok(empty) if empty.is_empty() => Finding::ok("directory", "has organizations, accounts, contracts and devices"),
        Ok(empty) if empty.len() == directory::NEEDED_TABLES => Finding::warning(
            "directory",
            "is empty: every request is refused as of an unknown account",
            IMPORT,
        ),
        Ok(empty) => Finding::warning(
            "directory",
            format!("has no {}: every request is refused", empty.join(", no ")),
            IMPORT,
        ),
    }
}

fn unanswered(check: &str, error: &crate::store::error::StoreError) -> Finding {
    Finding::problem(
        check,
        error.to_string(),
        "see the log of the database, and the rights of its user",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgres_is_judged_by_its_major_version() {
        for (version, untried) in [
            ("14.9", true),
            ("9.6.24", true),
            ("15.14 (Debian 15.14-0+deb12u1)", false),
            ("18beta1", false),
            ("of another maker", false),
        ] {
            assert_eq!(is_untried(version), untried, "{version}");
        }
    }
}
