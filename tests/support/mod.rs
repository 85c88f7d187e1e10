//! What whole-daemon tests stand on: servers of their own, a daemon of their own, its mails, and the events sent to it.
//!
//! Every server listens on a free loopback port, keeps its files in a folder of its own, and ends with the value that
//! started it: on drop, on a panic, and (through `setpriv`) when the test process is killed.
//!
//! Start servers and daemons from the test's own thread: the kernel ends a guarded child with the *thread* that started it.

pub(crate) mod child;
pub(crate) mod collector;
pub(crate) mod companies;
pub(crate) mod daemon;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod mail;
pub(crate) mod postgres;
pub(crate) mod promtool;
pub(crate) mod redis;
pub(crate) mod runbook;
pub(crate) mod smtp;
pub(crate) mod target;

/// Makes of each `async fn name(database: Database)` two tests, `sqlite::name` and `postgres::name`.
macro_rules! for_each_database {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::support::database::Database::Sqlite).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::support::database::Database::Postgres).await;
                }
            )+
        }
    };
}
pub(crate) use for_each_database;

/// What a daemon without provisioning has in place of targets.
pub(crate) fn no_targets(
    environment: std::sync::Arc<dyn enrolld::environment::Environment>,
) -> enrolld::provisioning::HttpTargets {
    enrolld::provisioning::HttpTargets::new(&[], enrolld::provisioning::Limits::shared(1, 0), environment)
        .expect("nothing can be wrong with none")
}
