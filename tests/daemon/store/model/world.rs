//! The model: the tables as plain maps, and how they are read from the database.
//!
//! Left out is what only the database chooses: numbers of rows, and times by its own clock, of which only counts whether they
//! have passed.

use std::collections::{BTreeMap, BTreeSet};

use enrolld::store::{
    Store,
    entities::{
        appointment, daemon, failed_attempt, grant, inbox, job, lease, link, mail, notice, refused, registration,
        removed_administrator, suppression, sync, timeline,
    },
};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QueryOrder, Statement};

use super::super::{execute, rows};

/// Entry, source and event: what makes an event of the inbox the same one.
pub(super) type InboxKey = (String, String, String);

/// What the database holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct World {
    pub(super) registrations: BTreeMap<String, registration::Model>,
    pub(super) timeline: BTreeMap<(String, i64), timeline::Model>,
    pub(super) jobs: BTreeMap<String, job::Model>,
    pub(super) mails: BTreeMap<String, mail::Model>,
    pub(super) links: BTreeMap<String, link::Model>,
    pub(super) appointments: BTreeMap<String, appointment::Model>,
    pub(super) removed: BTreeMap<(String, String), i64>,
    pub(super) grants: BTreeMap<String, grant::Model>,
    pub(super) syncs: BTreeMap<String, sync::Model>,
    pub(super) suppressions: BTreeMap<String, suppression::Model>,
    pub(super) failed_attempts: BTreeMap<String, failed_attempt::Model>,
    pub(super) delegations: BTreeSet<String>,
    /// The epoch of each tree.
    pub(super) trees: BTreeMap<String, i64>,
    pub(super) inbox: BTreeMap<InboxKey, inbox::Model>,
    pub(super) refused: BTreeMap<(String, Vec<u8>), refused::Model>,
    pub(super) notices: BTreeSet<String>,
    /// Holder, epoch, and whether it has expired.
    pub(super) leases: BTreeMap<String, (String, i64, bool)>,
    /// When it stopped, and whether it has been silent for long.
    pub(super) daemons: BTreeMap<String, (Option<i64>, bool)>,
    /// By the digest of the registration's id.
    pub(super) erased: BTreeMap<String, i64>,
}

impl World {
    /// Every row as a text.
    pub(super) fn rows(&self) -> BTreeSet<String> {
        let text = format!("{self:#?}");
        let mut rows = BTreeSet::new();
        let (mut table, mut row) = (String::new(), String::new());
        for line in text.lines() {
            let depth = line.len() - line.trim_start().len();
            match depth {
                4 => line.trim().clone_into(&mut table),
                8.. => row.push_str(line.trim_start()),
                _ => {}
            }
            if depth == 8 && line.ends_with([',', '}']) {
                rows.insert(format!("{table} {}", std::mem::take(&mut row)));
            }
        }
        rows
    }
}

/// All tables that the model knows.
const TABLES: [&str; 19] = [
    "registrations",
    "timeline",
    "jobs",
    "mails",
    "links",
    "appointments",
    "removed_administrators",
    "grants",
    "syncs",
    "suppressions",
    "failed_attempts",
    "delegations",
    "organization_roots",
    "inbox",
    "refused",
    "notices",
    "leases",
    "daemons",
    "erased",
];

/// Roots of trees; each is also the only organization of its tree.
pub(super) const TREES: [&str; 2] = ["acme", "site"];

/// Empties the database, so that reading it stays quick.
pub(super) async fn empty(store: &Store) {
    for table in TABLES {
        execute(store, &format!("DELETE FROM {table}")).await;
    }
    for tree in TREES {
        execute(
            store,
            &format!("INSERT INTO organization_roots (id, epoch) VALUES ('{tree}', 0)"),
        )
        .await;
    }
}

/// What a read found, with what the model leaves out.
pub(super) struct Found {
    pub(super) world: World,
    /// The inbox by number.
    pub(super) seqs: BTreeMap<i64, InboxKey>,
    /// Notices in their order.
    pub(super) notices: Vec<String>,
}

async fn by_key<E, K: Ord>(store: &Store, key: impl Fn(&E::Model) -> K) -> BTreeMap<K, E::Model>
where
    E: EntityTrait,
    E::Model: Sync,
{
    let all = rows::<E>(store).await.into_iter();
    let mut map = BTreeMap::new();
    for row in all {
        assert!(map.insert(key(&row), row).is_none(), "a row is there twice");
    }
    map
}

/// Reads what the model speaks of. `now_ms` is the time of SQLite's daemons; PostgreSQL has its own.
pub(super) async fn read(store: &Store, now_ms: i64) -> Found {
    let connection = store.writer();
    let backend = connection.get_database_backend();
    let now_ms = match backend {
        DbBackend::Postgres => "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)".to_owned(),
        _ => now_ms.to_string(),
    };
    let select = async |sql: String| {
        let statement = Statement::from_string(backend, sql);
        connection.query_all_raw(statement).await.expect("the query is sound")
    };
    let text = |row: &sea_orm::QueryResult, column: &str| row.try_get::<String>("", column).expect("a text");
    let number = |row: &sea_orm::QueryResult, column: &str| row.try_get::<i64>("", column).expect("a number");
    let mut seqs = BTreeMap::new();
    let mut inbox = BTreeMap::new();
    for row in rows::<inbox::Entity>(store).await {
        let key = (row.entry.clone(), row.source.clone(), row.event_id.clone());
        seqs.insert(row.seq, key.clone());
        inbox.insert(key, inbox::Model { seq: 0, ..row });
    }
    let mut refused = BTreeMap::new();
    for row in rows::<refused::Entity>(store).await {
        let key = (row.entry.clone(), row.event.clone());
        let before = refused.insert(key, refused::Model { seq: 0, ..row });
        assert!(before.is_none(), "an entry is refused twice");
    }
    let in_order = notice::Entity::find().order_by_asc(notice::Column::Seq);
    let notices: Vec<_> = in_order.all(connection).await.expect("the database answers");
    let notices: Vec<_> = notices.into_iter().map(|row| row.body).collect();
    let past = |column: &str, span: i64| format!("CASE WHEN {column} + {span} < {now_ms} THEN 1 ELSE 0 END");
    let expired = select(format!(
        "SELECT name, CAST({} AS BIGINT) AS past FROM leases",
        past("expires_ms", 0)
    ));
    let expired: BTreeMap<_, _> = expired
        .await
        .iter()
        .map(|row| (text(row, "name"), number(row, "past")))
        .collect();
    let silent = select(format!(
        "SELECT id, CAST({} AS BIGINT) AS past FROM daemons",
        past("heartbeat_ms", super::LONG_MS)
    ));
    let silent: BTreeMap<_, _> = silent
        .await
        .iter()
        .map(|row| (text(row, "id"), number(row, "past")))
        .collect();
    let trees = select("SELECT id, epoch FROM organization_roots".to_owned()).await;
    let erased = select("SELECT id_digest, erased_ms FROM erased".to_owned()).await;
    let delegations = select("SELECT id FROM delegations".to_owned()).await;
    let world = World {
        registrations: by_key::<registration::Entity, _>(store, |row| row.id.clone()).await,
        timeline: by_key::<timeline::Entity, _>(store, |row| (row.registration_id.clone(), row.version)).await,
        jobs: by_key::<job::Entity, _>(store, |row| row.id.clone()).await,
        mails: by_key::<mail::Entity, _>(store, |row| row.id.clone()).await,
        links: by_key::<link::Entity, _>(store, |row| row.id.clone()).await,
        appointments: by_key::<appointment::Entity, _>(store, |row| row.id.clone()).await,
        removed: by_key::<removed_administrator::Entity, _>(store, |row| {
            (row.organization_id.clone(), row.account_id.clone())
        })
        .await
        .into_iter()
        .map(|(key, row)| (key, row.removed_ms))
        .collect(),
        grants: by_key::<grant::Entity, _>(store, |row| row.id.clone()).await,
        syncs: by_key::<sync::Entity, _>(store, |row| row.id.clone()).await,
        suppressions: by_key::<suppression::Entity, _>(store, |row| row.address_digest.clone()).await,
        failed_attempts: by_key::<failed_attempt::Entity, _>(store, |row| row.id.clone()).await,
        delegations: delegations.iter().map(|row| text(row, "id")).collect(),
        trees: trees
            .iter()
            .map(|row| (text(row, "id"), number(row, "epoch")))
            .collect(),
        inbox,
        refused,
        notices: notices.iter().cloned().collect(),
        leases: by_key::<lease::Entity, _>(store, |row| row.name.clone())
            .await
            .into_iter()
            .map(|(name, row)| {
                let expired = expired[&name] == 1;
                (name, (row.holder, row.epoch, expired))
            })
            .collect(),
        daemons: by_key::<daemon::Entity, _>(store, |row| row.id.clone())
            .await
            .into_iter()
            .map(|(id, row)| {
                let silent = silent[&id] == 1;
                (id, (row.stopped_ms, silent))
            })
            .collect(),
        erased: erased
            .iter()
            .map(|row| (text(row, "id_digest"), number(row, "erased_ms")))
            .collect(),
    };
    Found { world, seqs, notices }
}
