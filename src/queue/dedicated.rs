//! Connections for commands that block: one for each reader.

use std::{fmt, time::Duration};

use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::connection::{ANSWER_WITHIN, Error, Redis};

impl Redis {
    /// A connection of one's own, for commands which block up to `block`.
    pub async fn dedicated(&self, block: Duration) -> Result<Dedicated, Error> {
        let mut dedicated = Dedicated {
            connection: self.connect(block + ANSWER_WITHIN).await?,
            redis: self.clone(),
            answer_within: block + ANSWER_WITHIN,
            peer: None,
        };
        let info: Result<String, _> = dedicated.query(redis::cmd("CLIENT").arg("INFO")).await;
        match info {
            Ok(info) => dedicated.peer = Peer::read(&info),
            // Access rules may forbid it, and it is of use only after a stall.
            Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(dedicated)
    }
}

/// A connection of one's own, for commands which block. After [`Error::Away`] it is of no more use: open another.
pub struct Dedicated {
    redis: Redis,
    connection: MultiplexedConnection,
    answer_within: Duration,
    peer: Option<Peer>,
}

/// A connection as the server names it. The id alone could mean another one after a restart of Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    id: String,
    address: String,
}

impl Peer {
    /// From the answer of `CLIENT INFO`.
    fn read(info: &str) -> Option<Self> {
        let field = |name: &str| {
            info.split_whitespace()
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        Some(Self {
            id: field("id")?,
            address: field("addr")?,
        })
    }
}

impl fmt::Debug for Dedicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dedicated").field(&self.redis).finish()
    }
}

impl Dedicated {
    /// Runs a command that may block. Not to be dropped while it waits: what Redis hands out then is lost to the caller.
    pub async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Error> {
        let answer = timeout(self.answer_within, command.query_async(&mut self.connection)).await;
        match answer {
            Ok(Ok(answer)) => {
                self.redis.reached();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.redis.failed(error)),
            Err(_) => Err(self.redis.away("no answer in time".to_owned())),
        }
    }

    /// Who this connection is to the server.
    pub(super) fn peer(&self) -> Option<Peer> {
        self.peer.clone()
    }

    /// Has the server end an earlier connection that we have given up. What was sent on it might be carried out as late as
    /// now (after a stall), and its answer would reach nobody.
    pub(super) async fn end(&mut self, earlier: &Peer) -> Result<(), Error> {
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("ID").arg(&earlier.id);
        kill.arg("ADDR").arg(&earlier.address);
        match self.query::<u64>(&kill).await {
            Ok(_) | Err(Error::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_known_by_id_and_address() {
        let info = "id=31 addr=127.0.0.1:4242 laddr=127.0.0.1:6379 fd=8 name= db=0\n";
        let peer = Peer::read(info).expect("both are given");
        assert_eq!((&*peer.id, &*peer.address), ("31", "127.0.0.1:4242"));
        assert_eq!(Peer::read("id=31"), None);
    }
}
