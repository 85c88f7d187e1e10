//! Entries that nobody is working on, of a daemon that lives.

use std::sync::Arc;
use std::time::Duration;

use enrolld::directory::EmbeddedDirectory;
use enrolld::dispatcher::Dispatch;
use enrolld::executor::{Executor, Parts, PublicUrl};
use enrolld::links::LinkKeys;
use enrolld::mail::{Mailer, Portal};
use enrolld::pauses::Pauses;
use enrolld::queue::{self, JobRef, Redis, stream_name};
use enrolld::recovery::Recovery;
use enrolld::settings::Settings;
use enrolld::store::daemons::Daemon;
use enrolld_jobs::{job::JobKind, rules::Rules};
use tokio_util::sync::CancellationToken;

use super::audit::{Clock, paused, read_as, wait_length};
use super::*;
use crate::support::{no_targets, redis::RedisServer};

crate::support::for_each_database!(
    entries_of_nobody_are_taken_over_by_a_daemon_that_lives,
    entries_of_a_paused_queue_wait_whoever_had_them,
);

const ME: &str = "me";

fn executor(store: &Store) -> Executor {
    let settings = Settings::parse(None, std::iter::empty()).expect("the defaults are sound");
    let (dispatch, _) = Dispatch::channel(enrolld::dispatcher::Fullness::default());
    Executor::new(Parts {
        store: store.clone(),
        directory: EmbeddedDirectory::new(store.reader().clone()),
        mailer: Mailer::new(&settings.mail).expect("mail goes to files"),
        targets: no_targets(Arc::new(Clock)),
        provisioning_poll: settings.provisioning.poll,
        environment: Arc::new(Clock),
        rules: Rules::default(),
        link_keys: LinkKeys::new(vec!["0123456789abcdef0123456789abcdef".to_owned().into()]).expect("one key"),
        public_url: PublicUrl::new("https://portal.example"),
        portal: Portal::from(&settings.portal),
        agents: None,
        supervisor: None,
        ops: None,
        dispatch,
        committed: Arc::default(),
        spans: enrolld::spans::Spans::default(),
        services: enrolld::services::Services::default(),
        daemon_id: ME.to_owned(),
        workers: settings.workers,
    })
}

async fn entries_of_nobody_are_taken_over_by_a_daemon_that_lives(database: Database) {
    let (_server, store) = open(database).await;
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).expect("a good address");
    let stream = stream_name("t", "verification");
    let daemon = |id: &str| Daemon {
        id: id.to_owned(),
        host: "here".to_owned(),
        pid: 1,
    };
    for id in [ME, "other"] {
        store
            .heartbeat(&daemon(id), at(1_000))
            .await
            .expect("the database answers");
    }
    let job = new_job("reg-1", 1);
    let write = Transition {
        jobs: vec![job.clone()],
        ..Transition::default()
    };
    applied(&store, write).await;
    let reference = |id| JobRef { id, run_no: 1 };
    // One whose claim was not answered, one whose handler has panicked here; and one that another daemon is at work on.
    read_as(&redis, &stream, "*", reference(job.id), "me:recovery").await;
    read_as(&redis, &stream, "*", reference(new_id()), ME).await;
    read_as(&redis, &stream, "*", reference(new_id()), "other").await;
    redis.ping().await.expect("Redis answers");
    let recovery = |id: &str| {
        Arc::new(Recovery {
            store: store.clone(),
            redis: redis.clone(),
            prefix: "t".to_owned(),
            environment: Arc::new(Clock),
            pauses: Pauses::default(),
            daemon: daemon(id),
            every: Duration::from_millis(20),
            dead_after: Duration::from_secs(2),
            stuck_after: Duration::from_millis(300),
        })
    };
    // The other one gives signs of life all the time.
    let stop = CancellationToken::new();
    let beating = tokio::spawn(recovery("other").beat(stop.clone()));
    let recovering = tokio::spawn(recovery(ME).take_over(executor(&store), stop.clone()));
    wait_length(&redis, &stream, 1).await;
    stop.cancel();
    beating.await.expect("no panic");
    recovering.await.expect("no panic");
    let left = queue::pending_consumers(&redis, &stream).await.expect("Redis answers");
    assert_eq!(left, [("other".to_owned(), 1)]);
    assert_ne!(stored_job(&store, job.id).await.state, "queued");
}

async fn entries_of_a_paused_queue_wait_whoever_had_them(database: Database) {
    let (_server, store) = open(database).await;
    let server = RedisServer::start();
    let redis = Redis::open(&server.url()).expect("a good address");
    let (stream, last) = (stream_name("t", "verification"), stream_name("t", "notification"));
    let job = new_job("reg-1", 1);
    let write = Transition {
        jobs: vec![job.clone()],
        ..Transition::default()
    };
    applied(&store, write).await;
    let reference = |id| JobRef { id, run_no: 1 };
    read_as(&redis, &stream, "*", reference(job.id), "gone").await;
    // Of a queue that goes on: it is looked at after the paused one.
    read_as(&redis, &last, "*", reference(new_id()), "gone").await;
    redis.ping().await.expect("Redis answers");
    let pauses = paused(&store, JobKind::Verification).await;
    let me = Daemon {
        id: ME.to_owned(),
        host: "here".to_owned(),
        pid: 1,
    };
    let recovery = Arc::new(Recovery {
        store: store.clone(),
        redis: redis.clone(),
        prefix: "t".to_owned(),
        environment: Arc::new(Clock),
        pauses: pauses.clone(),
        daemon: me,
        every: Duration::from_millis(20),
        dead_after: Duration::from_millis(500),
        stuck_after: Duration::from_mins(1),
    });
    let stop = CancellationToken::new();
    let recovering = tokio::spawn(recovery.take_over(executor(&store), stop.clone()));
    wait_length(&redis, &last, 0).await;
    let held = queue::pending_consumers(&redis, &stream).await.expect("Redis answers");
    assert_eq!(held, [("gone".to_owned(), 1)]);
    assert_eq!(stored_job(&store, job.id).await.crashes, 0);

    store
        .resume_queue(JobKind::Verification)
        .await
        .expect("the database answers");
    pauses.look(&store).await.expect("the database answers");
    wait_length(&redis, &stream, 0).await;
    stop.cancel();
    recovering.await.expect("no panic");
    assert_eq!(
        store.attempts(job.id).await.map(|runs| runs[0].result.clone()),
        Ok("crashed".to_owned())
    );
}
