//! Grants, how far each has come at each target, and the daily look whether that still holds (D11).

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    effect::sync_id,
    values::{AccountId, OrganizationId},
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::ExprTrait as _};
use serde_json::json;
use uuid::Uuid;

use super::{
    Store,
    batch::as_json,
    entities::{grant, sync},
    error::StoreError,
    milliseconds,
    sql::{
        Column::{Integer, Text},
        rows,
    },
    statements::ARMED,
};

/// How many organizations one statement names.
const CHUNK: usize = 500;

impl Store {
    /// How far a grant has come at a target, with the grant.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn sync(&self, id: Uuid) -> Result<Option<(sync::Model, grant::Model)>, StoreError> {
        let Some(sync) = sync::Entity::find_by_id(id.to_string()).one(&self.reader).await? else {
            return Ok(None);
        };
        // What is wanted must not be older than what was taken back: it is read where it is written.
        let grant = grant::Entity::find_by_id(sync.grant_id.as_str())
            .one(&self.writer)
            .await?;
        Ok(grant.map(|grant| (sync, grant)))
    }

    /// How far a registration's grants have come at each target.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn syncs_of(&self, grants: &[Uuid]) -> Result<Vec<sync::Model>, StoreError> {
        let query = sync::Entity::find().filter(sync::Column::GrantId.is_in(grants.iter().map(Uuid::to_string)));
        Ok(query.order_by_asc(sync::Column::Target).all(&self.reader).await?)
    }

    /// What the account holds at any of `organizations`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn held(
        &self,
        account: &AccountId,
        organizations: &[OrganizationId],
    ) -> Result<Vec<grant::Model>, StoreError> {
        let mut held = Vec::new();
        for chunk in organizations.chunks(CHUNK) {
            let query = grant::Entity::find()
                .filter(grant::Column::AccountId.eq(account.as_str()))
                .filter(grant::Column::OrganizationId.is_in(chunk.iter().map(OrganizationId::as_str)))
                .filter(grant::Column::EndedMs.is_null())
                .order_by_asc(grant::Column::Id);
            held.extend(query.all(&self.reader).await?);
        }
        Ok(held)
    }

    /// Has each of `targets` asked about the next grants after `after`, at most `limit`: those that are open, and those taken back
    /// since `ended_since`. Jobs that are under way or dead are left alone. Returns the last grant, or `None` when there are no more.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn reconcile(
        &self,
        targets: &[String],
        after: &str,
        ended_since: DateTime<Utc>,
        limit: u64,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, StoreError> {
        let transaction = self.writer.begin().await?;
        let query = grant::Entity::find()
            .filter(grant::Column::Id.gt(after))
            .filter(
                grant::Column::EndedMs
                    .is_null()
                    .or(grant::Column::EndedMs.gte(milliseconds(ended_since))),
            )
            .order_by_asc(grant::Column::Id)
            .limit(limit);
        let grants = query.all(&transaction).await?;
        let Some(last) = grants.last().map(|grant| grant.id.clone()) else {
            return Ok(None);
        };
        let now_ms = milliseconds(now);
        let wanted: Vec<_> = grants
            .iter()
            .flat_map(|grant| targets.iter().map(move |target| (grant, target)))
            .filter_map(|(grant, target)| {
                let id = sync_id(Uuid::parse_str(&grant.id).ok()?, target);
                Some(json!({
                    "id": id, "grant_id": grant.id, "target": target, "open": i64::from(grant.ended_ms.is_none()), "now_ms": now_ms,
                }))
            })
            .collect();
        let source = rows(
            self.backend(),
            &[
                Text("id"),
                Text("grant_id"),
                Text("target"),
                Integer("open"),
                Integer("now_ms"),
            ],
        );
        // A target that was configured later than the grant was made.
        let make = format!(
            "INSERT INTO syncs (id, grant_id, target, phase, losses, updated_ms) \
             SELECT r.id, r.grant_id, r.target, 'new', 0, r.now_ms FROM {source} WHERE r.open = 1 ON CONFLICT DO NOTHING"
        );
        let arm = format!(
            "INSERT INTO jobs (id, kind, registration_id, step, step_bound, state, run_no, attempts, failures, crashes, \
             run_at_ms, created_ms) \
             SELECT s.id, 'provisioning_sync', g.registration_id, 0, false, 'scheduled', 0, 0, 0, 0, r.now_ms, r.now_ms \
             FROM {source} JOIN syncs s ON s.id = r.id JOIN grants g ON g.id = s.grant_id WHERE true \
             ON CONFLICT (id) DO UPDATE SET {ARMED} WHERE jobs.state IN ('succeeded', 'cancelled')"
        );
        let wanted = as_json(&wanted)?;
        for sql in [make, arm] {
            transaction.change(&sql, [wanted.clone()]).await?;
        }
        transaction.commit().await?;
        Ok(Some(last))
    }
}
