//! Redis: reachable, new enough, and that it neither evicts nor forgets what upstream was told is taken.

use std::path::Path;

use super::{Finding, SLOW, Verdict, in_ms, latency, split_advice};
use crate::{
    private_redis,
    queue::{Redis, ServerFacts},
    settings::Settings,
};

/// The oldest version that has the commands we use.
const OLDEST: (u32, u32) = (7, 0);

/// A Redis that is fuller than this, in percent, soon refuses requests.
const NEARLY_FULL: u64 = 90;

const RIGHTS: &str = "give the daemon's user +info or +config|get, or look there yourself";

pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    match Redis::of(&settings.redis) {
        Ok(Some(redis)) => server(settings, &redis).await,
        Ok(None) => private(settings).await,
        Err(error) => {
            let error = error.to_string();
            let (seen, remedy) = split_advice(&error, "set it right");
            vec![Finding::problem("redis", seen, remedy)]
        }
    }
}

/// The daemon's own server is there while the daemon is.
async fn private(settings: &Settings) -> Vec<Finding> {
    if let Ok(url) = std::fs::read_to_string(private_redis::url_file(&settings.data_dir))
        && let Ok(redis) = Redis::open(url.trim())
        && redis.ping().await.is_ok()
    {
        return server(settings, &redis).await;
    }
    vec![if is_installed("redis-server") {
        Finding::ok(
            "redis",
            "redis.url is not set: the daemon starts a redis-server of its own, and none runs now",
        )
    } else {
        Finding::problem(
            "redis",
            "redis.url is not set, and there is no `redis-server` in PATH that the daemon could start",
            "install one (Debian: apt-get install redis-server), or set redis.url",
        )
    }]
}

async fn server(settings: &Settings, redis: &Redis) -> Vec<Finding> {
    let away = |error: crate::queue::Error| {
        let error = error.to_string();
        // What the log advises is for a daemon that is running already.
        let (seen, _) = split_advice(&error, "");
        let remedy = "see that it runs, that redis.url is right, and that this host may reach it";
        vec![Finding::problem("redis", seen, remedy)]
    };
    if let Err(error) = redis.ping().await {
        return away(error);
    }
    let facts = match redis.server_facts().await {
        Ok(facts) => facts,
        Err(error) => return away(error),
    };
    let mut findings = vec![reached(redis, &facts).await];
    findings.extend(judged(settings, &facts));
    findings
}

async fn reached(redis: &Redis, facts: &ServerFacts) -> Finding {
    let Some(latency) = latency(|| redis.ping()).await else {
        return Finding::problem(
            "redis",
            "the connection was lost while it was measured",
            "see that Redis keeps running",
        );
    };
    let version = facts.version.as_deref().unwrap_or("of a version it does not tell");
    let seen = format!(
        "Redis {version} answers in {} at {}{}",
        in_ms(latency),
        redis.address(),
        if redis.is_encrypted() { ", encrypted" } else { "" }
    );
    if facts.version.as_deref().is_some_and(is_too_old) {
        Finding::problem("redis", seen, "use Redis 7.0 or later")
    } else if facts.is_replica {
        Finding::problem(
            "redis",
            format!("{seen}, and follows another server: it takes no writes"),
            "name the primary in redis.url",
        )
    } else if latency >= SLOW {
        Finding::warning("redis", format!("{seen}, which is slow"), "run the daemon nearer to it")
    } else {
        Finding::ok("redis", seen)
    }
}

/// Why the daemon must not start on this Redis, with `redis.require_durable` set.
///
/// # Errors
/// When Redis is away.
pub(crate) async fn refusal(settings: &Settings, redis: &Redis) -> Result<Option<Finding>, crate::queue::Error> {
    let facts = redis.server_facts().await?;
    let found = judged(settings, &facts);
    Ok(found.into_iter().find(|finding| finding.result == Verdict::Problem))
}

fn judged(settings: &Settings, facts: &ServerFacts) -> [Finding; 2] {
    let required = settings.redis.require_durable;
    [memory(facts, required), persistence(facts, required)]
}

fn memory(facts: &ServerFacts, required: bool) -> Finding {
    const CHECK: &str = "redis memory";
    let Some(policy) = &facts.policy else {
        return untold(
            CHECK,
            "Redis does not tell its maxmemory-policy: it may evict requests",
            required,
        );
    };
    if policy != "noeviction" {
        return Finding::problem(
            CHECK,
            format!("maxmemory-policy is {policy}: when memory runs short, requests vanish"),
            "set `maxmemory-policy noeviction` in redis.conf, and at once with `redis-cli CONFIG SET`",
        );
    }
    let (Some(used), Some(most)) = (facts.used_memory, facts.max_memory) else {
        return Finding::ok(CHECK, "noeviction");
    };
    if most == 0 {
        return Finding::ok(CHECK, format!("noeviction, {} used, no limit", in_mib(used)));
    }
    let seen = format!("noeviction, {} of {} used", in_mib(used), in_mib(most));
    if used / (most / 100).max(1) >= NEARLY_FULL {
        Finding::warning(
            CHECK,
            format!("{seen}: a full Redis refuses requests"),
            "give it more (`maxmemory`), or see who fills it",
        )
    } else {
        Finding::ok(CHECK, seen)
    }
}

fn persistence(facts: &ServerFacts, required: bool) -> Finding {
    const CHECK: &str = "redis persistence";
    let Some(append_only) = facts.append_only else {
        return untold(
            CHECK,
            "Redis does not tell whether it keeps an append-only file",
            required,
        );
    };
    if !append_only {
        let seen = "Redis keeps no append-only file: requests that were not taken in yet are gone when it ends";
        let remedy = "set `appendonly yes` in redis.conf, and at once with `redis-cli CONFIG SET`";
        return if required {
            Finding::problem(CHECK, seen, remedy)
        } else {
            Finding::warning(CHECK, seen, remedy)
        };
    }
    if facts.append_ok == Some(false) {
        return Finding::problem(
            CHECK,
            "Redis could not write to its append-only file",
            "see the room and health of its disk",
        );
    }
    match facts.fsync.as_deref() {
        None => Finding::ok(
            CHECK,
            "append-only file; how often it is flushed is not told (no right to CONFIG GET)",
        ),
        Some("no") => Finding::warning(
            CHECK,
            "append-only file, and nothing says when it reaches the disk (appendfsync no)",
            "set `appendfsync everysec`, or always, in redis.conf",
        ),
        Some(fsync) => Finding::ok(CHECK, format!("append-only file, appendfsync {fsync}")),
    }
}

fn untold(check: &str, seen: &str, required: bool) -> Finding {
    if required {
        Finding::problem(check, seen, format!("{RIGHTS} and unset redis.require_durable"))
    } else {
        Finding::warning(check, seen, RIGHTS)
    }
}

/// Whether the version is older than [`OLDEST`]. One that cannot be read is taken for new.
fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(u32::MAX));
    (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(0)) < OLDEST
}

fn in_mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: std::path::PathBuf| Path::new(&folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable() -> ServerFacts {
        ServerFacts {
            version: Some("7.0.15".to_owned()),
            policy: Some("noeviction".to_owned()),
            append_only: Some(true),
            append_ok: Some(true),
            fsync: Some("everysec".to_owned()),
            ..ServerFacts::default()
        }
    }

    #[test]
    fn versions_are_numbers() {
        for (version, old) in [("6.2.14", true), ("7.0.0", false), ("10.1", false), ("unstable", false)] {
            assert_eq!(is_too_old(version), old, "{version}");
        }
    }

    #[test]
    fn what_is_not_told_counts_only_where_durability_is_required() {
        let silent = ServerFacts::default();
        assert_eq!(memory(&silent, false).result, Verdict::Warning);
        assert_eq!(memory(&silent, true).result, Verdict::Problem);
        assert_eq!(persistence(&silent, false).result, Verdict::Warning);
        assert_eq!(persistence(&silent, true).result, Verdict::Problem);
    }

    #[test]
    fn memory_that_runs_out_is_told_in_time() {
        for (used, verdict) in [(89, Verdict::Ok), (90, Verdict::Warning), (100, Verdict::Warning)] {
            let facts = ServerFacts {
                used_memory: Some(used * 1024 * 1024),
                max_memory: Some(100 * 1024 * 1024),
                ..durable()
            };
            assert_eq!(memory(&facts, false).result, verdict, "{used}");
        }
    }

    #[test]
    fn a_file_that_is_not_flushed_or_not_written_is_told() {
        let with = |fsync: Option<&str>, append_ok| ServerFacts {
            fsync: fsync.map(str::to_owned),
            append_ok: Some(append_ok),
            ..durable()
        };
        assert_eq!(persistence(&with(Some("always"), true), true).result, Verdict::Ok);
        assert_eq!(persistence(&with(None, true), true).result, Verdict::Ok);
        assert_eq!(persistence(&with(Some("no"), true), false).result, Verdict::Warning);
        assert_eq!(
            persistence(&with(Some("always"), false), false).result,
            Verdict::Problem
        );
    }
}
