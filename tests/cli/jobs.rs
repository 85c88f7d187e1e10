//! Many jobs at once: counted, grouped, and queued again by a filter.

use std::process::Stdio;
use std::time::{Duration, Instant};

use enrolld::environment::{Environment as _, System};
use enrolld::store::{Store, entities::job};
use sea_orm::{EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Ended, Enrolld, child::PATIENCE, seed::seed};

/// A second in milliseconds, and an hour.
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// Jobs of a kind and state that have ended at those moments, in milliseconds before now.
fn jobs(enrolld: &Enrolld, kind: &str, state: &str, class: &str, ended_ago: impl IntoIterator<Item = i64>) {
    let url = format!("sqlite://{}", enrolld.path("enrolld-data/enrolld.db").display());
    let now = System.now().timestamp_millis();
    let rows: Vec<_> = ended_ago
        .into_iter()
        .map(|ago| {
            let is_over = matches!(state, "dead" | "succeeded");
            let row = job::Model {
                id: Uuid::from_bytes(System.random()[..16].try_into().expect("16 bytes")).to_string(),
                kind: kind.to_owned(),
                registration_id: Some(format!("reg-{ago}")),
                account_id: None,
                step: 1,
                step_bound: false,
                state: state.to_owned(),
                run_no: 3,
                attempts: 2,
                failures: 2,
                crashes: 0,
                requeues: 0,
                requeue_note: None,
                run_at_ms: now + HOUR,
                queued_ms: None,
                started_ms: None,
                finished_ms: is_over.then_some(now - ago),
                daemon_id: None,
                error_class: Some(class.to_owned()),
                error: Some("it did not work".to_owned()),
                note: None,
                created_ms: now - ago - HOUR,
                trace: None,
            };
            row.into_active_model()
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be had");
    runtime.block_on(async {
        let store = Store::open(&url, 2).await.expect("the database is there");
        for chunk in rows.chunks(500) {
            job::Entity::insert_many(chunk.to_vec())
                .exec_without_returning(store.writer())
                .await
                .expect("the rows fit");
        }
        store.close().await;
    });
}

/// How many jobs of the kind are in the state.
fn number(enrolld: &Enrolld, kind: &str, state: &str) -> u64 {
    let counted = enrolld.run(&["jobs", "stats", "--output", "json"]).json();
    let groups = counted["jobs"].as_array().cloned().unwrap_or_default();
    let found = groups
        .iter()
        .find(|group| group["kind"] == kind && group["state"] == state);
    found.and_then(|group| group["number"].as_u64()).unwrap_or_default()
}

#[test]
fn dead_jobs_are_grouped_by_what_they_died_of() {
    let enrolld = Enrolld::migrated("");
    let days = |number: i64| number * 24 * HOUR + HOUR;
    jobs(
        &enrolld,
        "provisioning_sync",
        "dead",
        "target_refused",
        std::iter::repeat_n(days(3), 60),
    );
    jobs(&enrolld, "notification", "dead", "smtp_refused", [days(4), days(2)]);
    jobs(&enrolld, "notification", "retrying", "smtp", [days(2)]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"[0-9a-f]{8}-[0-9a-f-]{27}", "[id.................................]");
    settings.bind(|| {
        let dead = ["jobs", "list", "--state", "dead", "--limit", "3"];
        let ended = enrolld.run(&dead);
        assert!(ended.stderr.contains("there are more jobs than these 3"), "{ended:?}");
        insta::assert_snapshot!("jobs_dead", ended.succeeds());
        insta::assert_snapshot!("jobs_stats", enrolld.run(&["jobs", "stats"]).succeeds());
    });
    // For scripts the list stays a list.
    let listed = enrolld
        .run(&["jobs", "list", "--state", "dead", "--output", "json"])
        .json();
    assert_eq!(listed.as_array().map(Vec::len), Some(50));
    let stats = enrolld.run(&["jobs", "stats", "--output", "json"]).json();
    let first = &stats["dead"][0];
    assert_eq!(
        (&first["kind"], &first["error_class"], &first["number"]),
        (&json!("provisioning_sync"), &json!("target_refused"), &json!(60))
    );
    let of = |arguments: &[&str]| {
        let found = enrolld
            .run(&[&["jobs", "list", "--output", "json"], arguments].concat())
            .json();
        found.as_array().map(Vec::len).expect("a list")
    };
    assert_eq!(of(&["--error", "smtp_refused"]), 2);
    assert_eq!(of(&["--error", "smtp_refused", "--since", "3d ago"]), 1);
    assert_eq!(
        of(&["--state", "dead", "--kind", "notification", "--until", "73h ago"]),
        1
    );
    assert_eq!(
        of(&["--kind", "notification", "--state", "retrying", "--error", "smtp"]),
        1
    );
}

#[test]
fn what_is_done_with_jobs_is_told_to_programs_as_json() {
    let enrolld = Enrolld::migrated("");
    jobs(
        &enrolld,
        "notification",
        "dead",
        "smtp_refused",
        [HOUR, 2 * HOUR, 3 * HOUR],
    );
    jobs(&enrolld, "verification", "succeeded", "", [HOUR]);
    let run = |arguments: &[&str]| enrolld.run(&[&["jobs"], arguments, &["--output", "json"]].concat());
    let ids = |told: &Value| told["jobs"].as_array().map(Vec::len);

    let dry = run(&["requeue", "--error", "smtp_refused", "--dry-run"]).json();
    assert_eq!(
        (&dry["number"], &dry["by_class"][0]["error_class"]),
        (&json!(3), &json!("smtp_refused"))
    );
    let none = run(&["requeue", "--error", "smtp_refusd", "--dry-run"]);
    assert!(none.stderr.contains("there are: smtp_refused"), "{none:?}");
    assert_eq!(none.json(), json!({"number": 0, "by_class": []}));
    assert_eq!(run(&["discard", "--all", "--dry-run"]).json(), json!({"number": 3}));

    let listed = run(&["list", "--state", "dead"]).json();
    let named = listed[0]["id"].as_str().expect("an id").to_owned();
    let requeued = run(&["requeue", &named]).json();
    assert_eq!(
        requeued,
        json!({"jobs": [named], "left_alone": [], "left_alone_number": 0, "stopped": false})
    );
    // What was named and cannot be is told on standard output as well, and the exit status is 1.
    let over = run(&["list", "--state", "succeeded"]).json()[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let ended = run(&["requeue", &over]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((ids(&told), &told["left_alone"][0]["id"]), (Some(0), &json!(over)));
    assert_eq!(ids(&run(&["discard", "--kind", "notification"]).json()), Some(2));
    assert_eq!(ids(&run(&["cancel", "--kind", "notification"]).json()), Some(1));
    assert_eq!(ids(&run(&["cancel", "--kind", "notification"]).json()), Some(0));
}

#[test]
fn an_empty_database_has_stats() {
    let enrolld = Enrolld::migrated("");
    let stats = enrolld.run(&["jobs", "stats", "--output", "json"]).json();
    assert_eq!(stats, json!({"jobs": [], "dead": []}));
    let table = enrolld.run(&["jobs", "stats"]).succeeds();
    assert!(
        table.contains("da_response_timeout") && !table.contains("Dead"),
        "{table}"
    );
}

#[test]
fn many_are_queued_again_by_a_filter() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    jobs(
        &enrolld,
        "provisioning_sync",
        "dead",
        "target_refused",
        (0..1_203).map(|n| HOUR + n),
    );
    jobs(&enrolld, "provisioning_sync", "dead", "target_unknown", [HOUR]);
    jobs(&enrolld, "provisioning_sync", "succeeded", "target_refused", [HOUR]);
    jobs(
        &enrolld,
        "provisioning_sync",
        "retrying",
        "target_unavailable",
        [HOUR, HOUR],
    );
    let filter = [
        "jobs",
        "requeue",
        "--kind",
        "provisioning_sync",
        "--error",
        "target_refused",
    ];
    let run = |more: &[&str]| enrolld.run_as("operator", &[&filter, more].concat());

    let dry = run(&["--dry-run"]).succeeds();
    assert!(dry.starts_with("1203 jobs are to be queued again\n"), "{dry}");
    assert_eq!(number(&enrolld, "provisioning_sync", "dead"), 1_204, "nothing is done");
    let none = run(&["--since", "10m ago"]).succeeds();
    assert_eq!(none, "0 jobs are queued again\n");

    let done = run(&["--since", "2h ago", "--reason", "the CRM was mended"]).succeeds();
    assert_eq!(done, "1203 jobs are queued again\n");
    assert_eq!(number(&enrolld, "provisioning_sync", "scheduled"), 1_203);
    assert_eq!(number(&enrolld, "provisioning_sync", "dead"), 1);
    assert_eq!(number(&enrolld, "provisioning_sync", "succeeded"), 1);
    let one = enrolld
        .run(&[
            "jobs",
            "list",
            "--state",
            "scheduled",
            "--limit",
            "1",
            "--output",
            "json",
        ])
        .json();
    let id = one[0]["id"].as_str().expect("an id").to_owned();
    let job = enrolld.run(&["jobs", "show", &id, "--output", "json"]).json();
    let done = &job["interventions"][0];
    assert_eq!(
        (&done["action"], &done["by"], &done["reason"]),
        (&json!("requeue"), &json!("operator"), &json!("the CRM was mended"))
    );
    assert_eq!((&job["attempts"], &job["requeues"]), (&json!(0), &json!(1)));
    assert_eq!(
        run(&[]).succeeds(),
        "0 jobs are queued again\n",
        "none is started twice"
    );

    // What would be tried again later is tried now, and has what attempts it has.
    let hurried = enrolld.run(&["jobs", "requeue", "--state", "retrying"]).succeeds();
    assert_eq!(hurried, "2 jobs are queued again\n");
    let retrying = enrolld
        .run(&["jobs", "list", "--state", "retrying", "--output", "json"])
        .json();
    for job in retrying.as_array().into_iter().flatten() {
        assert_eq!((&job["attempts"], &job["failures"]), (&json!(2), &json!(0)));
        let due: chrono::DateTime<chrono::Utc> =
            job["run_at"].as_str().and_then(|at| at.parse().ok()).expect("a moment");
        assert!(due <= System.now(), "{job}");
    }

    let misspelt = enrolld.run(&["jobs", "requeue", "--error", "target_refuse"]);
    assert!(
        misspelt.stderr.contains("there are: smtp_refused, target_unknown"),
        "{misspelt:?}"
    );
    assert_eq!(misspelt.succeeds(), "0 jobs are queued again\n");
    // The mail's queue is paused by the seed.
    let paused = enrolld.run(&["jobs", "requeue", "--all"]);
    assert!(
        paused.stderr.contains("enrolld queues resume notification"),
        "{paused:?}"
    );
    assert_eq!(paused.succeeds(), "2 jobs are queued again\n");
}

#[test]
fn ids_are_queued_again_one_by_one() {
    let enrolld = Enrolld::migrated("");
    jobs(&enrolld, "terms", "dead", "panic", [HOUR, HOUR]);
    jobs(&enrolld, "terms", "succeeded", "panic", [HOUR]);
    let listed = enrolld.run(&["jobs", "list", "--output", "json"]).json();
    let id = |state: &str| -> Vec<String> {
        let of_state = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter(|job| job["state"] == state);
        of_state
            .filter_map(|job| job["id"].as_str().map(str::to_owned))
            .collect()
    };
    let (dead, over) = (id("dead"), id("succeeded"));
    let unknown = "6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90";
    let dry = enrolld
        .run(&["jobs", "requeue", &dead[0], &over[0], unknown, "--dry-run"])
        .succeeds();
    assert_eq!(dry, "1 job is to be queued again\n");
    let ended = enrolld.run(&["jobs", "requeue", &dead[0], &over[0], unknown, "--reason", "mended"]);
    assert_eq!((ended.status, ended.stdout.trim()), (Some(1), dead[0].as_str()));
    assert!(
        ended.stderr.contains(&format!("{}: it is succeeded", over[0])),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains(&format!("{unknown}: there is no such job")),
        "{}",
        ended.stderr
    );
    let more = enrolld.run(&["jobs", "requeue", &dead[0], &dead[1]]);
    assert_eq!((more.status, more.stdout.trim()), (Some(1), dead[1].as_str()));
    assert!(more.stderr.contains("it is scheduled"), "{}", more.stderr);
}

#[test]
fn what_was_queued_again_before_it_was_stopped_stays_so() {
    let enrolld = Enrolld::migrated("");
    jobs(&enrolld, "terms", "dead", "panic", (0..600).map(|n| HOUR + n));
    let mut command = enrolld.command(&["jobs", "requeue", "--all", "--rate", "20", "--reason", "mended"]);
    let child = command.stdout(Stdio::piped()).spawn().expect("the program can be run");
    let start = Instant::now();
    while number(&enrolld, "terms", "scheduled") < 3 {
        assert!(start.elapsed() < PATIENCE, "nothing is queued again");
        std::thread::sleep(Duration::from_millis(20));
    }
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it runs");
    let ended = Ended::of(child.wait_with_output().expect("the program can be waited for"));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let done = number(&enrolld, "terms", "scheduled");
    assert!((3..600).contains(&done), "{done}: one after the other");
    assert!(
        ended.stderr.contains(&format!(
            "stopped: {done} jobs are queued again; the same command goes on"
        )),
        "{done}: {ended:?}"
    );
    let rest = enrolld.run(&["jobs", "requeue", "--all"]).succeeds();
    assert_eq!(rest, format!("{} jobs are queued again\n", 600 - done));
}

#[test]
fn what_belongs_together_is_told_by_its_usage() {
    let enrolld = Enrolld::migrated("");
    let id = "6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90";
    for arguments in [
        &["requeue"][..],
        &["requeue", "--rate", "10", "--reason", "no filter at all"],
        &["requeue", id, "--kind", "terms"],
        &["requeue", id, "--all"],
        &["requeue", "--all", "--rate", "0"],
        &["requeue", "--state", "running"],
        &["requeue", "--state", "succeeded"],
        &["requeue", "--since", "yesterday"],
        &["list", "--until", "soon"],
    ] {
        let ended = enrolld.run(&[&["jobs"], arguments].concat());
        assert_eq!(
            (ended.status, ended.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}: {ended:?}"
        );
    }
    let moment = enrolld.run(&["jobs", "list", "--since", "yesterday"]).stderr;
    assert!(moment.contains("2h ago"), "{moment}");
    let long = "x".repeat(501);
    let said: Value = json!(enrolld.run(&["jobs", "requeue", "--all", "--reason", &long]).stderr);
    assert!(
        said.as_str()
            .is_some_and(|said| said.contains("longer than 500 characters")),
        "{said}"
    );
}
