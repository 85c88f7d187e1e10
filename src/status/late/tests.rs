use chrono::{DateTime, TimeDelta};
use enrolld_jobs::{job::JobKind, values::RegistrationId};

use super::*;
use crate::{
    status::{Cases, Held, SeenDaemon},
    store::{entities::queue, standing::Bounced},
};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a moment")
}

fn waiting(number: u64, seconds: i64) -> Waiting {
    Waiting {
        number,
        oldest: (number > 0).then(|| now() - TimeDelta::seconds(seconds)),
    }
}

fn daemon(is_alive: bool) -> SeenDaemon {
    SeenDaemon {
        id: "d".to_owned(),
        host: "one".to_owned(),
        pid: 7,
        version: "0.1.0".to_owned(),
        is_alive,
        seen: now(),
    }
}

/// Busy, and well.
fn well() -> Status {
    let held = |id: &str| Held {
        id: RegistrationId::new(id).expect("an id"),
        since: now() - TimeDelta::hours(2),
        reason: None,
        da: None,
    };
    Status {
        at: now(),
        daemons: vec![daemon(true)],
        stream: Ok(waiting(500, 59)),
        inbox: waiting(20, 59),
        notices: 3,
        queues: vec![
            (JobKind::Verification, waiting(900, 60)),
            (JobKind::Notification, waiting(0, 0)),
        ],
        paused: Vec::new(),
        timers: Waiting::default(),
        dead: Vec::new(),
        retrying: Vec::new(),
        cases: Cases {
            number: 1,
            longest: vec![held("reg-1")],
            ..Cases::default()
        },
        das: waiting(8, 200_000),
        longest_das: vec![held("reg-2")],
        provisioning: waiting(4, 80_000),
        provisioning_overdue: Waiting::default(),
        longest_provisioning: vec![held("reg-3")],
        bounces: Bounced::default(),
    }
}

fn what(status: &Status) -> Vec<&'static str> {
    late(status).iter().map(|late| late.what).collect()
}

#[test]
fn what_is_only_busy_is_not_late() {
    assert_eq!(late(&well()), []);
}

#[test]
fn the_worst_stands_first() {
    let failed = |kind: &str, class: Option<&str>, number: u64| FailedAlike {
        kind: kind.to_owned(),
        class: class.map(str::to_owned),
        number,
        since: Some(now() - TimeDelta::hours(3)),
        failures: number,
    };
    let status = Status {
        daemons: vec![daemon(false)],
        stream: Ok(waiting(10_000, 61)),
        inbox: waiting(1, 61),
        queues: vec![
            (JobKind::Verification, waiting(1, 61)),
            (JobKind::Notification, waiting(2, 90)),
        ],
        paused: vec![queue::Model {
            kind: "notification".to_owned(),
            paused_ms: now().timestamp_millis() - 5_000,
            paused_by: "ann".to_owned(),
            reason: "the server moves".to_owned(),
        }],
        timers: waiting(3, 100),
        dead: vec![
            failed("notification", Some("smtp_refused"), 2),
            failed("terms", None, 1),
        ],
        retrying: vec![
            failed("notification", Some("smtp"), 5),
            failed("terms", Some("database"), 1),
        ],
        cases: Cases {
            overdue: 1,
            ..well().cases
        },
        provisioning_overdue: waiting(1, 90_000),
        ..well()
    };
    assert_eq!(
        what(&status),
        [
            "no_daemon",
            "intake_waits",
            "events_wait",
            "jobs_dead",
            "deadlines_overdue",
            "queue_paused",
            "queue_waits",
            "agents_overdue",
            "provisioning_overdue",
            "jobs_retried",
        ]
    );
    let late = late(&status);
    assert_eq!((late[1].number, late[1].at_least), (10_000, true));
    assert_eq!(late[3].number, 3);
    assert_eq!(
        late[3].why,
        "by kind and error: notification smtp_refused 2, terms unknown 1"
    );
    assert_eq!(late[3].since, Some(now() - TimeDelta::hours(3)));
    assert_eq!(
        (late[5].number, late[5].why.as_str()),
        (2, "notification is paused by ann: the server moves")
    );
    assert_eq!(late[9].why, "by kind and error: notification smtp 5");
    assert!(late[7].why.ends_with("reg-1 waits for longest"), "{}", late[7].why);
}

#[test]
fn redis_may_be_away_and_one_of_two_daemons() {
    let status = Status {
        daemons: vec![daemon(true), daemon(false)],
        stream: Err("Redis at 127.0.0.1:1 is away".to_owned()),
        ..well()
    };
    assert_eq!(what(&status), ["daemons_silent", "redis_away"]);
    let nobody = Status {
        daemons: Vec::new(),
        ..well()
    };
    assert_eq!(late(&nobody)[0].why, "no daemon runs");
}
