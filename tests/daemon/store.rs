//! The store alone, on both databases: what is written together, what keeps what out, and what an outage leaves.

mod attempts;
mod audit;
mod batches;
mod counts;
mod erasures;
mod guards;
mod intake;
mod jobs;
mod model;
mod outages;
mod plans;
mod queues;
mod recovery;
mod schedules;
mod selection;
mod several;
mod syncs;
mod transitions;
mod upkeep;

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use enrolld::store::Store;
use enrolld::store::entities::job;
use enrolld::store::error::StoreError;
use enrolld::store::transition::{
    JobWrite, NewAppointment, NewGrant, NewJob, RegistrationWrite, Transition, TreeGuard, Verdict,
};
use futures::future::join_all;
use sea_orm::{ConnectionTrait as _, PaginatorTrait as _, Statement};
use uuid::Uuid;

use crate::support::database::{Database, DatabaseServer};

/// Connections of a store in these tests.
const CONNECTIONS: u32 = 8;

/// An empty database with its tables.
async fn open(database: Database) -> (DatabaseServer, Store) {
    let server = database.start();
    let store = open_again(&server).await;
    store.migrate().await.expect("the migrations are sound");
    (server, store)
}

/// Another store on the same database, as another daemon has it.
async fn open_again(server: &DatabaseServer) -> Store {
    Store::open(&server.url(), CONNECTIONS)
        .await
        .expect("the database takes connections")
}

/// A moment, in seconds after one that all tests share.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_795_000_000_000).expect("within range") + TimeDelta::seconds(seconds)
}

fn ms(seconds: i64) -> i64 {
    at(seconds).timestamp_millis()
}

/// An id that was not given before in this process.
fn new_id() -> Uuid {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Uuid::from_u128(u128::from(LAST.fetch_add(1, Ordering::Relaxed)) + 1)
}

/// The next version of a registration and nothing else.
fn version(id: &str, version: i64) -> Transition {
    Transition {
        registrations: vec![RegistrationWrite {
            id: id.to_owned(),
            account_id: "newbie".to_owned(),
            state: "verifying",
            version,
            step: version,
            root_id: None,
            review_reason: None,
            da_account_id: None,
            since_ms: ms(version),
            created_ms: ms(1),
            data: format!("{{\"version\":{version}}}"),
            at_ms: ms(version),
            event: "registration.submitted",
            actor: "newbie".to_owned(),
            detail: "{}".to_owned(),
            token: new_id(),
            notice: format!("{{\"id\":\"{id}:{version}\"}}"),
        }],
        ..Transition::default()
    }
}

/// A job that is due at once.
fn new_job(registration: &str, step: i64) -> NewJob {
    NewJob {
        id: new_id(),
        kind: "verification",
        registration_id: Some(registration.to_owned()),
        account_id: None,
        step,
        step_bound: true,
        state: "queued",
        run_no: 1,
        run_at_ms: ms(step),
        queued_ms: Some(ms(step)),
        created_ms: ms(step),
        trace: "trace-1".to_owned(),
    }
}

/// A timer.
fn timer(registration: &str, step: i64, due: i64) -> NewJob {
    NewJob {
        state: "scheduled",
        run_no: 0,
        run_at_ms: ms(due),
        queued_ms: None,
        ..new_job(registration, step)
    }
}

/// The end of a queued job's run.
fn ended(id: Uuid, run_no: i64, state: &'static str) -> JobWrite {
    JobWrite {
        id,
        run_no,
        from: "queued".to_owned(),
        state,
        attempts: 1,
        failures: 0,
        crashes: 0,
        run_at_ms: ms(1),
        started_ms: Some(ms(2)),
        finished_ms: Some(ms(3)),
        daemon_id: Some("daemon-1".to_owned()),
        error_class: None,
        error: None,
        note: Some("a note".to_owned()),
    }
}

/// An appointment by a registration's first version, under the guard of the tree `acme`.
fn appointment(registration: &str, epoch: i64) -> Transition {
    Transition {
        tree: Some(TreeGuard {
            root_id: "acme".to_owned(),
            epoch,
            raises: true,
        }),
        appointments: vec![NewAppointment {
            id: new_id(),
            account_id: registration.to_owned(),
            organization_id: "acme".to_owned(),
            registration_id: Some(registration.to_owned()),
            appointed_ms: ms(1),
        }],
        ..version(registration, 1)
    }
}

/// What a registration's applicant is granted at `acme`.
fn new_grant(registration: &str) -> NewGrant {
    NewGrant {
        id: new_id(),
        registration_id: Some(registration.to_owned()),
        account_id: format!("account-of-{registration}"),
        organization_id: "acme".to_owned(),
        access: "customer_user",
        granted_ms: ms(1),
    }
}

/// Commits all at once; they share batches.
async fn commit_all(store: &Store, transitions: Vec<Transition>) -> Vec<Result<Verdict, StoreError>> {
    join_all(transitions.into_iter().map(|transition| store.commit(transition))).await
}

async fn commit(store: &Store, transition: Transition) -> Verdict {
    store.commit(transition).await.expect("the database takes it")
}

async fn applied(store: &Store, transition: Transition) {
    assert_eq!(commit(store, transition).await, Verdict::Applied);
}

/// Rows of a table, or those of `WHERE …`.
async fn count(store: &Store, rows_of: &str) -> i64 {
    let connection = store.writer();
    let query = format!("SELECT COUNT(*) FROM {rows_of}");
    let statement = Statement::from_string(connection.get_database_backend(), query);
    let row = connection.query_one_raw(statement).await.expect("the query is sound");
    row.expect("one row").try_get_by_index(0).expect("a number")
}

async fn execute(store: &Store, sql: &str) {
    let done = store.writer().execute_unprepared(sql).await;
    done.expect("the statement is sound");
}

/// Makes leases and signs of life older by so much: on PostgreSQL they go by its clock, which no test turns.
async fn pass(store: &Store, seconds: i64) {
    let span = seconds * 1_000;
    execute(store, &format!("UPDATE leases SET expires_ms = expires_ms - {span}")).await;
    execute(
        store,
        &format!("UPDATE daemons SET heartbeat_ms = heartbeat_ms - {span}"),
    )
    .await;
}

async fn stored_job(store: &Store, id: Uuid) -> job::Model {
    store
        .job(id)
        .await
        .expect("the database answers")
        .expect("the job is there")
}

/// The states of these jobs.
async fn job_states(store: &Store, ids: &[Uuid]) -> Vec<String> {
    let mut states = Vec::new();
    for id in ids {
        states.push(stored_job(store, *id).await.state);
    }
    states
}

async fn rows<E>(store: &Store) -> Vec<E::Model>
where
    E: sea_orm::EntityTrait,
    E::Model: Sync,
{
    let all = E::find().paginate(store.writer(), 10_000).fetch().await;
    all.expect("the database answers")
}
