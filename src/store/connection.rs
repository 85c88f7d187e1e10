//! Connections to the database whose every statement has an end.
//!
//! A server that vanished without a word would otherwise be waited for until TCP gives up, which is a quarter of an hour. So nothing
//! that asks the database through a [`Store`](super::Store) can stand still for longer than [`ANSWER_WITHIN`], and whatever part of
//! the daemon waits for it is seen to move with each answer ([`progress`]).

use std::time::Duration;

use futures::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _, Value,
    prelude::async_trait::async_trait,
};

use super::error::StoreError;
use crate::progress;

/// How long a statement may take before its connection counts as lost.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A pool of connections.
pub type Connection = Bounded<DatabaseConnection>;

/// A transaction on one of them; dropped without a commit it is rolled back.
pub type Transaction = Bounded<DatabaseTransaction>;

/// What runs statements, each of which is answered within [`ANSWER_WITHIN`] or fails as unavailable. For statements whose work is
/// small, whatever has been stored.
#[derive(Debug, Clone)]
pub struct Bounded<C>(C);

impl<C: ConnectionTrait> Bounded<C> {
    /// Runs constant SQL that changes something, and tells how many rows it changed.
    pub(super) async fn change(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value> + Send,
    ) -> Result<u64, StoreError> {
        Ok(self.execute_raw(self.statement(sql, values)).await?.rows_affected())
    }

    /// Runs constant SQL, and reads the rows that it returns.
    pub(super) async fn rows(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value> + Send,
    ) -> Result<Vec<QueryResult>, StoreError> {
        Ok(self.query_all_raw(self.statement(sql, values)).await?)
    }

    /// As [`Bounded::rows`], where there is at most one.
    pub(super) async fn row(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value> + Send,
    ) -> Result<Option<QueryResult>, StoreError> {
        Ok(self.query_one_raw(self.statement(sql, values)).await?)
    }

    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.get_database_backend(), sql, values)
    }
}

impl Connection {
    /// Over these connections.
    pub const fn new(connections: DatabaseConnection) -> Self {
        Self(connections)
    }

    /// The connections themselves, for statements that grow with what is stored and may take their time: those of commands.
    pub const fn unbounded(&self) -> &DatabaseConnection {
        &self.0
    }

    /// Begins a transaction that is going to write. On SQLite `BEGIN IMMEDIATE`: one that reads first and writes later could not get
    /// the lock any more.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(Bounded(answered(self.0.begin_with_options(options)).await?))
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        Ok(answered(Box::pin(self.0.ping())).await?)
    }
}

impl Transaction {
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        Ok(answered(Box::pin(self.0.commit())).await?)
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Bounded<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        answered(self.0.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        answered(self.0.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        answered(self.0.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        answered(self.0.query_all_raw(statement)).await
    }
}

/// What the database answers, if it does so in time.
async fn answered<T>(answer: BoxFuture<'_, Result<T, DbErr>>) -> Result<T, DbErr> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    progress::goes_round();
    answer.unwrap_or_else(|_| Err(unanswered()))
}

/// The database has not answered in time.
pub(super) fn unanswered() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(format!(
        "no answer within {} s; see that the database server runs and is not overloaded",
        ANSWER_WITHIN.as_secs()
    )))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::progress::{Progress, STANDSTILL};

    #[tokio::test(start_paused = true)]
    async fn a_server_that_vanished_is_given_up_and_holds_nobody_still() {
        let progress = Progress::default();
        let asking = tokio::spawn(progress.watch("notices", async {
            loop {
                let answer = answered(Box::pin(std::future::pending::<Result<(), DbErr>>())).await;
                let error = StoreError::from(answer.expect_err("nobody answers"));
                assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                assert!(error.to_string().contains("no answer within 30 s"), "{error}");
            }
        }));
        for _ in 0..10 {
            tokio::time::sleep(STANDSTILL).await;
            assert!(progress.standing_still(Instant::now()).is_empty());
        }
        assert!(!asking.is_finished());
        asking.abort();
    }
}
