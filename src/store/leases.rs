//! Leases: what only one daemon may do at a time. They run by one clock, `Store::shared_now_ms`.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Store, error::StoreError, span_ms};

/// A lease held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub name: &'static str,
    /// Raised with every change of holder: commits under an earlier epoch fail.
    pub epoch: i64,
}

impl Store {
    /// Takes or extends the lease `name` for `holder` until `valid_for` from now; `None` while another holds it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn hold_lease(
        &self,
        name: &'static str,
        holder: &str,
        now: DateTime<Utc>,
        valid_for: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let sql = "INSERT INTO leases (name, holder, epoch, expires_ms) VALUES ($1, $2, 1, $3) \
                   ON CONFLICT (name) DO UPDATE SET holder = $2, expires_ms = $3, \
                   epoch = CASE WHEN leases.holder = $2 THEN leases.epoch ELSE leases.epoch + 1 END \
                   WHERE leases.holder = $2 OR leases.expires_ms < $4 RETURNING epoch";
        let now = self.shared_now_ms(now).await?;
        let values = [
            name.into(),
            holder.into(),
            (now + span_ms(valid_for)).into(),
            now.into(),
        ];
        let rows = self.writer.rows(sql, values).await?;
        rows.first()
            .map(|row| {
                Ok(Lease {
                    name,
                    epoch: row.try_get("", "epoch")?,
                })
            })
            .transpose()
    }

    /// Gives the leases of `holder` back, so that others need not wait until they expire.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn give_leases_back(&self, holder: &str) -> Result<(), StoreError> {
        self.writer
            .change("UPDATE leases SET expires_ms = 0 WHERE holder = $1", [holder.into()])
            .await?;
        Ok(())
    }
}
