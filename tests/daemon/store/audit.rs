//! The audit: what is queued and lost is added again, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use enrolld::dispatcher::{Dispatch, Dispatcher, Fullness};
use enrolld::environment::Environment;
use enrolld::pauses::Pauses;
use enrolld::queue::{self, JobRef, Redis, stream_name};
use enrolld::store::interventions::Order;
use enrolld_jobs::job::JobKind;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::child::PATIENCE;
use crate::support::redis::RedisServer;

crate::support::for_each_database!(
    a_stuck_entry_hides_no_lost_job,
    a_stream_gets_no_more_entries_than_there_are_jobs,
    what_is_due_waits_in_the_database_while_its_stream_is_full,
    what_waits_in_a_paused_stream_is_not_lost,
);

/// Far from the clock of Redis, as no two clocks agree.
#[derive(Debug)]
pub(super) struct Clock;

impl Environment for Clock {
    fn now(&self) -> DateTime<Utc> {
        at(1_000)
    }

    fn random(&self) -> [u8; 32] {
        [7; 32]
    }
}

/// Jobs of a kind, queued long ago.
async fn queued(store: &Store, registration: &str, kind: &'static str, number: usize) -> Vec<JobRef> {
    let job = || NewJob {
        kind,
        ..new_job(registration, 1)
    };
    let jobs: Vec<_> = std::iter::repeat_with(job).take(number).collect();
    let references = jobs.iter().map(|job| JobRef { id: job.id, run_no: 1 }).collect();
    let write = Transition {
        jobs,
        ..version(registration, 1)
    };
    applied(store, write).await;
    references
}

/// Audits until the last stream has its lost job back: those of the other kinds have been looked at then.
async fn audit(store: &Store, redis: &Redis) {
    audit_again(store, redis, &Pauses::default(), 1).await;
}

/// The same, `round` after round, with paused queues.
async fn audit_again(store: &Store, redis: &Redis, pauses: &Pauses, round: u64) {
    let last = JobKind::ALL.last().expect("there are kinds").as_str();
    queued(store, &format!("reg-last-{round}"), last, 1).await;
    let stop = CancellationToken::new();
    let dispatcher = Arc::new(Dispatcher {
        store: store.clone(),
        redis: redis.clone(),
        prefix: "t".to_owned(),
        environment: Arc::new(Clock),
        pauses: pauses.clone(),
        fullness: Fullness::default(),
        poll: Duration::from_secs(1),
    });
    let auditing = tokio::spawn(dispatcher.audit(stop.clone()));
    wait_length(redis, &stream_name("t", last), round).await;
    stop.cancel();
    auditing.await.expect("the audit does not panic");
}

pub(super) async fn wait_length(redis: &Redis, stream: &str, length: u64) {
    let wait = async {
        while queue::length(redis, stream).await.expect("Redis answers") != length {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("not in time");
}

/// Adds an entry (under an id, or `*`), makes the group if need be, and reads all that nobody has read as `consumer`.
pub(super) async fn read_as(redis: &Redis, stream: &str, id: &str, job: JobRef, consumer: &str) {
    let mut multi = redis::pipe();
    let run_no = job.run_no.to_string();
    let fields = ["job", &job.id.to_string(), "run", &run_no];
    // At one moment, so that no reader comes between.
    multi.atomic();
    multi.cmd("XADD").arg(stream).arg(id).arg(&fields[..]).ignore();
    multi.cmd("XREADGROUP").arg("GROUP").arg(queue::GROUP).arg(consumer);
    multi.arg("STREAMS").arg(stream).arg(">").ignore();
    let mut create = redis::cmd("XGROUP");
    create
        .arg("CREATE")
        .arg(stream)
        .arg(queue::GROUP)
        .arg("0")
        .arg("MKSTREAM");
    let _ = redis.query::<()>(&create).await;
    redis.pipeline::<()>(&multi).await.expect("Redis answers");
}

async fn a_stuck_entry_hides_no_lost_job(database: Database) {
    let (_server, store) = open(database).await;
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).expect("a good address");
    let stream = stream_name("t", "verification");
    queued(&store, "reg-1", "verification", 3).await;
    let stuck = JobRef {
        id: new_id(),
        run_no: 1,
    };
    read_as(&redis, &stream, "1000-0", stuck, "living").await;
    audit(&store, &redis).await;
    assert_eq!(queue::length(&redis, &stream).await.expect("Redis answers"), 4);
}

async fn a_stream_gets_no_more_entries_than_there_are_jobs(database: Database) {
    let (_server, store) = open(database).await;
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).expect("a good address");
    let stream = stream_name("t", "verification");
    let jobs = queued(&store, "reg-1", "verification", 600).await;
    // Redis was away for long: the entries are much younger than their jobs.
    let entries: Vec<_> = jobs.iter().map(|job| (stream.clone(), *job)).collect();
    queue::push(&redis, &entries).await.expect("Redis answers");
    audit(&store, &redis).await;
    assert_eq!(queue::length(&redis, &stream).await.expect("Redis answers"), 600);
}

/// More than the entries that make a stream full.
const FULL: usize = 10_001;

async fn what_is_due_waits_in_the_database_while_its_stream_is_full(database: Database) {
    let (_server, store) = open(database).await;
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).expect("a good address");
    let (full, other) = (stream_name("t", "verification"), stream_name("t", "da_routing"));
    let entry = || {
        let (id, run_no) = (new_id(), 1);
        (full.clone(), JobRef { id, run_no })
    };
    let entries: Vec<_> = std::iter::repeat_with(entry).take(FULL).collect();
    queue::push(&redis, &entries).await.expect("Redis answers");
    let timers = ["verification", "da_routing"].map(|kind| NewJob {
        kind,
        ..timer("reg-1", 1, 60)
    });
    let [waits, goes] = [timers[0].id, timers[1].id];
    let write = Transition {
        jobs: timers.to_vec(),
        ..version("reg-1", 1)
    };
    applied(&store, write).await;

    let fullness = Fullness::default();
    let (dispatch, _committed) = Dispatch::channel(fullness.clone());
    let dispatcher = Arc::new(Dispatcher {
        store: store.clone(),
        redis: redis.clone(),
        prefix: "t".to_owned(),
        environment: Arc::new(Clock),
        pauses: Pauses::default(),
        fullness,
        // Too long to be waited for: what a full stream has no room for is looked after more often.
        poll: Duration::from_mins(10),
    });
    let stop = CancellationToken::new();
    let adding = tokio::spawn(dispatcher.add_due(stop.clone()));
    wait_length(&redis, &other, 1).await;
    assert_eq!(job_states(&store, &[waits, goes]).await, ["scheduled", "queued"]);
    // What is committed now is due as well, and waits there as well.
    let mut new = Transition {
        jobs: vec![new_job("reg-2", 1)],
        ..version("reg-2", 1)
    };
    assert_eq!(dispatch.admit(&mut new), []);
    let late = new.jobs[0].id;
    applied(&store, new).await;
    assert_eq!(job_states(&store, &[late]).await, ["scheduled"]);

    // Once there is room both are added, and what comes then is queued at once.
    let emptied = redis
        .query::<u64>(redis::cmd("XTRIM").arg(&full).arg(&["MAXLEN", "0"]))
        .await;
    emptied.expect("Redis answers");
    wait_length(&redis, &full, 2).await;
    assert_eq!(job_states(&store, &[waits, late]).await, ["queued", "queued"]);
    let mut new = Transition {
        jobs: vec![new_job("reg-3", 1)],
        ..version("reg-3", 1)
    };
    assert_eq!(dispatch.admit(&mut new).len(), 1);
    stop.cancel();
    adding.await.expect("adding does not panic");
}

async fn what_waits_in_a_paused_stream_is_not_lost(database: Database) {
    let (_server, store) = open(database).await;
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).expect("a good address");
    let stream = stream_name("t", "verification");
    queued(&store, "reg-1", "verification", 3).await;
    let pauses = paused(&store, JobKind::Verification).await;
    audit_again(&store, &redis, &pauses, 1).await;
    assert_eq!(queue::length(&redis, &stream).await.expect("Redis answers"), 0);
    // Once it goes on, what Redis has lost meanwhile is found.
    store
        .resume_queue(JobKind::Verification)
        .await
        .expect("the database answers");
    pauses.look(&store).await.expect("the database answers");
    audit_again(&store, &redis, &pauses, 2).await;
    assert_eq!(queue::length(&redis, &stream).await.expect("Redis answers"), 3);
}

/// A queue that is paused, as a daemon knows it.
pub(super) async fn paused(store: &Store, kind: JobKind) -> Pauses {
    let order = Order {
        by: "operator".to_owned(),
        reason: String::new(),
        at: at(1),
    };
    assert_eq!(store.pause_queue(kind, &order).await, Ok(true));
    let pauses = Pauses::default();
    pauses.look(store).await.expect("the database answers");
    assert_eq!(pauses.kinds(), [kind]);
    pauses
}
