//! Entries that were read and not taken in: by a daemon that is gone, in an outage, or over a connection that was lost.
//!
//! Redis counts the deliveries of an entry; here that count is the number of daemons that may have ended over it, the one that
//! now has it included. So it is raised by hand before an entry is taken in, and lowered when the daemon is still there
//! afterwards: what was away meanwhile is not the entry's fault.

use std::{sync::LazyLock, time::Duration};

use redis::{Script, Value};
use tokio_util::sync::CancellationToken;

use super::{GROUP, Intake, Trouble, entry};
use crate::{
    progress,
    queue::{self, Dedicated, Error},
    store::leases::Lease,
};

/// Daemons that may end over an entry before it is refused as `poison`.
const MAX_ENDS: u64 = 3;

/// A consumer without entries is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// Nobody of this name reads: it holds what daemons have handed back.
const HANDED_BACK: &str = "handed-back";

/// Most entries handed back in one script.
const CHUNK: u64 = 500;

/// The entries pending for one consumer go to another, each with one delivery less. One step, so that they are not taken from
/// whoever has claimed them meanwhile. Returns how many.
static HAND_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
        local held = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[4], ARGV[2])
        for _, one in ipairs(held) do
            local count = math.max(one[4] - 1, 0)
            redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], '0', one[1], 'RETRYCOUNT', count, 'JUSTID')
        end
        return #held
        ",
    )
});

/// An entry that was read and not taken in.
struct LeftOver {
    id: String,
    /// How many daemons may have ended over it.
    ends: u64,
}

impl Intake {
    /// How many entries were read and not taken in.
    pub(super) async fn pending(&self, reader: &mut Dedicated) -> Result<u64, Trouble> {
        let mut command = redis::cmd("XPENDING");
        command.arg(self.stream()).arg(GROUP);
        let summary: Result<(u64, Value, Value, Value), _> = reader.query(&command).await;
        match summary {
            // Redis was emptied; the next read finds that, too.
            Err(error) if error.code() == Some("NOGROUP") => Ok(0),
            summary => Ok(summary?.0),
        }
    }

    /// Takes in what is left over. One at a time: one of them may have been a daemon's end.
    pub(super) async fn take_in_left_over(
        &self,
        reader: &mut Dedicated,
        lease: &Lease,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        while !stop.is_cancelled() {
            progress::goes_round();
            let Some(LeftOver { id, ends }) = self.first_left_over(reader).await? else {
                // What daemons before this one had read is settled, so their names are of no more use.
                queue::delete_idle_consumers(&self.redis, &self.stream(), GROUP, FORGET_AFTER).await?;
                return Ok(());
            };
            match self.claim(reader, &id, ends + 1).await? {
                None => {
                    tracing::warn!(
                        entry = id,
                        "an entry was deleted from the stream before it was taken in"
                    );
                    self.acknowledge(&[id]).await?;
                }
                Some(entry) if ends >= MAX_ENDS => {
                    tracing::error!(entry = id, ends, "an entry that ends daemons is refused");
                    self.store(lease, &[], &[entry.poison(ends)]).await?;
                    self.acknowledge(&[id]).await?;
                }
                Some(entry) => self.take_in(lease, vec![entry]).await?,
            }
            self.lease().await?;
        }
        Ok(())
    }

    async fn first_left_over(&self, reader: &mut Dedicated) -> Result<Option<LeftOver>, Trouble> {
        let mut command = redis::cmd("XPENDING");
        command.arg(self.stream()).arg(GROUP).arg("-").arg("+").arg(1);
        let pending: Vec<(String, String, u64, u64)> = reader.query(&command).await?;
        Ok(pending.into_iter().next().map(|(id, consumer, _, deliveries)| {
            // A name is a daemon's from start to end: its own entries are no end of it.
            let survived = u64::from(consumer == self.daemon_id);
            LeftOver {
                id,
                ends: deliveries.saturating_sub(survived),
            }
        }))
    }

    /// Takes an entry over, with this number of deliveries; `None` if it is not in the stream any more. An answer that is lost
    /// does no harm: the number is the same the next time.
    async fn claim(&self, reader: &mut Dedicated, id: &str, deliveries: u64) -> Result<Option<entry::Entry>, Trouble> {
        let mut command = redis::cmd("XCLAIM");
        command.arg(self.stream()).arg(GROUP).arg(&self.daemon_id);
        command.arg(0).arg(id).arg("RETRYCOUNT").arg(deliveries);
        let claimed: Value = reader.query(&command).await?;
        Ok(entry::entries(&claimed).into_iter().next())
    }

    /// Lets go of what this daemon has read and not taken in, and does not count: the daemon has not ended over it.
    pub(super) async fn hand_back(&self) -> Result<(), Error> {
        let mut script = HAND_BACK.key(self.stream());
        script.arg(GROUP).arg(&self.daemon_id).arg(HANDED_BACK).arg(CHUNK);
        loop {
            match self.redis.script::<u64>(&script).await {
                Ok(CHUNK) => {}
                Err(error) if error.code() != Some("NOGROUP") => return Err(error),
                _ => return Ok(()),
            }
        }
    }
}
