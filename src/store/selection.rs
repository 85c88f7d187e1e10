//! Finding jobs: those that are listed, and those that something is to be done with.

use chrono::{DateTime, Utc};
use enrolld_jobs::job::JobKind;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait as _, QueryFilter, QueryOrder, QuerySelect,
    Select, Statement,
    sea_query::{Expr, ExprTrait as _, SimpleExpr},
};

use super::{Store, entities::job, error::StoreError, milliseconds};

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this kind.
    pub kind: Option<JobKind>,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only of this registration.
    pub registration_id: Option<String>,
    /// Only those whose last error is of this class.
    pub error_class: Option<String>,
    /// Only those that ended at or after this moment; while they have not, that were made then.
    pub since: Option<DateTime<Utc>>,
    /// Only those that ended before this moment; while they have not, that were made then.
    pub until: Option<DateTime<Utc>>,
    /// At most so many.
    pub limit: u64,
}

/// When a job has ended; until then, when it was made.
fn ended_or_made() -> SimpleExpr {
    Expr::cust("COALESCE(finished_ms, created_ms)")
}

impl Filter {
    fn condition(&self) -> Condition {
        Condition::all()
            .add_option(self.kind.map(|kind| job::Column::Kind.eq(kind.as_str())))
            .add_option(self.state.as_ref().map(|state| job::Column::State.eq(state.as_str())))
            .add_option(
                self.registration_id
                    .as_ref()
                    .map(|id| job::Column::RegistrationId.eq(id.as_str())),
            )
            .add_option(
                self.error_class
                    .as_ref()
                    .map(|class| job::Column::ErrorClass.eq(class.as_str())),
            )
            .add_option(self.since.map(|since| ended_or_made().gte(milliseconds(since))))
            .add_option(self.until.map(|until| ended_or_made().lt(milliseconds(until))))
    }

    fn query(&self) -> Select<job::Entity> {
        job::Entity::find().filter(self.condition())
    }
}

/// The place of a job in the order in which they were made. It stays the same, whatever is done with the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    created_ms: i64,
    id: String,
}

impl Place {
    /// Where `job` stands.
    pub fn of(job: &job::Model) -> Self {
        Self {
            created_ms: job.created_ms,
            id: job.id.clone(),
        }
    }
}

/// Jobs that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their kind's name.
    pub kind: String,
    /// What they are counted by besides: their state, or the class of their error.
    pub name: String,
    /// How many there are.
    pub number: u64,
    /// When the first of them ended, or was made where none has.
    pub first_ms: i64,
    /// The same of the last.
    pub last_ms: i64,
}

impl Store {
    /// Jobs, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn jobs(&self, filter: &Filter) -> Result<Vec<job::Model>, StoreError> {
        let query = filter
            .query()
            .order_by_desc(job::Column::CreatedMs)
            .order_by_desc(job::Column::Id);
        Ok(query.limit(filter.limit).all(&self.reader).await?)
    }

    /// The next jobs after a place, oldest first. Whoever goes on from the last of them sees each job once, whatever is done
    /// with it meanwhile.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn jobs_after(&self, filter: &Filter, after: Option<&Place>) -> Result<Vec<job::Model>, StoreError> {
        let mut query = filter.query();
        if let Some(place) = after {
            let behind = Condition::any()
                .add(job::Column::CreatedMs.gt(place.created_ms))
                .add(job::Column::Id.gt(place.id.as_str()));
            // The first of the two is what the index is searched by.
            query = query
                .filter(job::Column::CreatedMs.gte(place.created_ms))
                .filter(behind);
        }
        let query = query.order_by_asc(job::Column::CreatedMs).order_by_asc(job::Column::Id);
        Ok(query.limit(filter.limit).all(&self.reader).await?)
    }

    /// How many jobs there are, whatever the filter's limit.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count_jobs(&self, filter: &Filter) -> Result<u64, StoreError> {
        Ok(filter.query().count(self.reader.unbounded()).await?)
    }

    /// The jobs of the filter by kind and class of their error, those first of which there are most; whatever its limit.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn jobs_by_class(&self, filter: &Filter) -> Result<Vec<Group>, StoreError> {
        let rows: Vec<(String, Option<String>, i64, i64, i64)> = filter
            .query()
            .select_only()
            .column(job::Column::Kind)
            .column(job::Column::ErrorClass)
            .column_as(job::Column::Id.count(), "number")
            .column_as(ended_or_made().min(), "first_ms")
            .column_as(ended_or_made().max(), "last_ms")
            .group_by(job::Column::Kind)
            .group_by(job::Column::ErrorClass)
            .into_tuple()
            .all(&self.reader)
            .await?;
        let mut groups: Vec<_> = rows
            .into_iter()
            .map(|(kind, class, number, first_ms, last_ms)| Group {
                kind,
                name: class.unwrap_or_default(),
                number: number.cast_unsigned(),
                first_ms,
                last_ms,
            })
            .collect();
        groups.sort_by(|a, b| {
            let key = |group: &Group| (std::cmp::Reverse(group.number), group.kind.clone(), group.name.clone());
            key(a).cmp(&key(b))
        });
        Ok(groups)
    }

    /// All jobs by kind and state. It reads all there are.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn jobs_by_state(&self) -> Result<Vec<Group>, StoreError> {
        let sql = "SELECT kind, state, COUNT(*) AS number, MIN(created_ms) AS first_ms, MAX(created_ms) AS last_ms \
                   FROM jobs GROUP BY kind, state ORDER BY kind, state";
        let rows = self
            .reader
            .unbounded()
            .query_all_raw(Statement::from_string(self.backend(), sql))
            .await?;
        let group = |row: &sea_orm::QueryResult| {
            let number: i64 = row.try_get("", "number")?;
            Ok(Group {
                kind: row.try_get("", "kind")?,
                name: row.try_get("", "state")?,
                number: number.cast_unsigned(),
                first_ms: row.try_get("", "first_ms")?,
                last_ms: row.try_get("", "last_ms")?,
            })
        };
        rows.iter().map(group).collect()
    }
}
