//! What Redis tells about itself: version, and whether it may lose what it has taken.

use super::connection::{Error, Redis};

/// The server as `INFO` and `CONFIG GET` describe it. What is `None` it does not tell, or not to our user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerFacts {
    /// Such as `7.0.15`.
    pub(crate) version: Option<String>,
    /// Whether it follows another server, and takes no writes.
    pub(crate) is_replica: bool,
    /// `maxmemory-policy`.
    pub(crate) policy: Option<String>,
    /// Bytes used.
    pub(crate) used_memory: Option<u64>,
    /// Bytes it may use; 0 is no limit.
    pub(crate) max_memory: Option<u64>,
    /// `appendonly`.
    pub(crate) append_only: Option<bool>,
    /// `appendfsync`.
    pub(crate) fsync: Option<String>,
    /// Whether the last write to the append-only file went well.
    pub(crate) append_ok: Option<bool>,
}

impl Redis {
    /// Asks for everything that is told. Both commands are often closed to a daemon's user, so that one stands in for the other.
    ///
    /// # Errors
    /// When Redis is away. A command that is not allowed is no error.
    pub(crate) async fn server_facts(&self) -> Result<ServerFacts, Error> {
        let info = unless_away(self.query::<String>(&redis::cmd("INFO")).await)?.unwrap_or_default();
        let mut facts = read(&info);
        if facts.policy.is_none() {
            facts.policy = self.configured("maxmemory-policy").await?;
        }
        if facts.append_only.is_none() {
            facts.append_only = self.configured("appendonly").await?.map(|value| value == "yes");
        }
        facts.fsync = self.configured("appendfsync").await?;
        Ok(facts)
    }

    async fn configured(&self, name: &str) -> Result<Option<String>, Error> {
        let command = redis::cmd("CONFIG").arg("GET").arg(name).to_owned();
        let pair: Option<Vec<String>> = unless_away(self.query(&command).await)?;
        Ok(pair.and_then(|pair| pair.into_iter().nth(1)))
    }
}

fn unless_away<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_away() => Err(error),
        Err(_) => Ok(None),
    }
}

fn read(info: &str) -> ServerFacts {
    let value = |name: &str| {
        let mut pairs = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let number = |name| value(name).and_then(|text| text.parse().ok());
    ServerFacts {
        version: value("redis_version").map(str::to_owned),
        is_replica: value("role") == Some("slave"),
        policy: value("maxmemory_policy").map(str::to_owned),
        used_memory: number("used_memory"),
        max_memory: number("maxmemory"),
        append_only: value("aof_enabled").map(|text| text == "1"),
        fsync: None,
        append_ok: value("aof_last_write_status").map(|text| text == "ok"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read() {
        let info = "# Server\r\nredis_version:7.0.15\r\n\r\n# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\n\
                    maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\naof_last_write_status:ok\r\nrole:master\r\n";
        let facts = read(info);
        assert_eq!(facts.version.as_deref(), Some("7.0.15"));
        assert_eq!((facts.used_memory, facts.max_memory), (Some(1_048_576), Some(0)));
        assert_eq!(facts.policy.as_deref(), Some("noeviction"));
        assert_eq!(
            (facts.append_only, facts.append_ok, facts.is_replica),
            (Some(true), Some(true), false)
        );
        assert_eq!(read(""), ServerFacts::default());
    }
}
