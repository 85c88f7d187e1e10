//! The guard of decisions that rest on who is DA: one row for each tree of organizations, with an epoch.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::{read::CHUNK, references::Parents};

/// Raises the epoch of every root, and makes the rows that are missing. Any decision that read older facts fails its
/// compare-and-set and is made again. All of them: one account may be DA in any tree.
pub(super) async fn raise_all<C: ConnectionTrait>(db: &C, parents: &Parents) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    let listed = match backend {
        // In the order in which the store locks them: no two transactions can wait for each other.
        DbBackend::Postgres => "SELECT id FROM organization_roots ORDER BY id COLLATE \"C\" FOR UPDATE",
        _ => "SELECT id FROM organization_roots",
    };
    let rows = db.query_all_raw(Statement::from_string(backend, listed)).await?;
    let known: BTreeSet<String> = rows.iter().map(id).collect::<Result<_, _>>()?;
    db.execute_unprepared("UPDATE organization_roots SET epoch = epoch + 1")
        .await?;

    let missing: BTreeSet<&str> = parents
        .iter()
        .filter(|(id, parent)| parent.is_none() && !known.contains(*id))
        .map(|(id, _)| id.as_str())
        .collect();
    let missing: Vec<&str> = missing.into_iter().collect();
    for chunk in missing.chunks(CHUNK) {
        let rows: Vec<String> = (1..=chunk.len()).map(|at| format!("(${at}, 1)")).collect();
        // One may have been made since they were listed.
        let sql = format!(
            "INSERT INTO organization_roots (id, epoch) VALUES {} \
             ON CONFLICT (id) DO UPDATE SET epoch = organization_roots.epoch + 1",
            rows.join(", ")
        );
        let values = chunk.iter().map(|id| Value::from(*id));
        db.execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
    }
    Ok(())
}

fn id(row: &QueryResult) -> Result<String, DbErr> {
    row.try_get("", "id")
}
