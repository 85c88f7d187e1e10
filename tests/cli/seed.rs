//! Rows in a database, as the daemon leaves them.

use chrono::{DateTime, TimeDelta, Utc};
use enrolld::{
    environment::{Environment as _, System},
    store::{
        Store,
        entities::{attempt, intervention, job, mail, queue, refused, registration, timeline},
    },
};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};

use super::Enrolld;

/// An id that tells its number.
pub(crate) fn id(number: u8) -> String {
    uuid::Uuid::from_u128(0x6f6e_3a1c_5d0b_5c55_9d4e_3c1f_8a2b_7e00 + u128::from(number)).to_string()
}

/// Far from the edge of a day, so that the days told do not depend on how long the test takes.
fn days_ago(days: i64) -> DateTime<Utc> {
    System.now() - TimeDelta::days(days) - TimeDelta::hours(1)
}

async fn insert<M, A>(store: &Store, row: M)
where
    M: IntoActiveModel<A>,
    A: ActiveModelTrait,
    <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
{
    A::Entity::insert(row.into_active_model())
        .exec_without_returning(store.writer())
        .await
        .expect("the row fits");
}

/// Two registrations with jobs and mails, and two refused events.
pub(crate) fn seed(enrolld: &Enrolld) {
    let url = format!("sqlite://{}", enrolld.path("enrolld-data/enrolld.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be had");
    runtime.block_on(async {
        let store = Store::open(&url, 2).await.expect("the database is there");
        registrations(&store).await;
        jobs(&store).await;
        mails(&store).await;
        refused_events(&store).await;
        let paused = queue::Model {
            kind: "notification".to_owned(),
            paused_ms: days_ago(2).timestamp_millis(),
            paused_by: "operator".to_owned(),
            reason: "the mail server moves".to_owned(),
        };
        insert::<_, queue::ActiveModel>(&store, paused).await;
    });
}

/// Beside those, two cases of agents: one of a long name, and one whose job is dead.
pub(crate) fn seed_cases(enrolld: &Enrolld) {
    let url = format!("sqlite://{}", enrolld.path("enrolld-data/enrolld.db").display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be had");
    runtime.block_on(async {
        let store = Store::open(&url, 2).await.expect("the database is there");
        let long = "registration-of-a-portal-with-long-ids-1";
        let in_review = json!({"name": "in_review", "reason": "none_of_the_above", "clock": {"notices": 0, "started": days_ago(2)}});
        registration(&store, long, 2, &in_review, Some("none_of_the_above")).await;
        let waiting = json!({"name": "awaiting_organization"});
        registration(&store, "reg-9", 1, &waiting, Some("processing_failed")).await;
    });
}

async fn registrations(store: &Store) {
    let states = [
        (
            "reg-1",
            3,
            json!({"name": "needs_correction", "errors": [{"field": "serial_number", "code": "serial_not_covered"}]}),
        ),
        ("reg-2", 2, json!({"name": "awaiting_organization"})),
    ];
    for (id, days, state) in states {
        registration(store, id, days, &state, None).await;
    }
}

async fn registration(store: &Store, id: &str, days: i64, state: &Value, review_reason: Option<&str>) {
    let created = days_ago(days);
    let data = json!({
        "id": id, "account_id": "newbie", "version": 2, "step": 1, "created_at": created, "since": created,
        "account": {"name": "SNTC Newbie", "email": "newbie@acme.example", "locale": "en"},
        "contract_number": "93988396", "serial_number": "FOC1436Y3XK",
        "site": {"organization_id": "acme", "chain": [{"id": "acme", "name": "ACME INC", "address": ["1 MAIN ST"],
            "country": "US", "email_domains": [], "flagged": false}]},
        "administrators": [], "selected": null, "dead_jobs": if review_reason == Some("processing_failed") { vec![self::id(2)] } else { Vec::new() }, "verification_mails": [], "verified_email": null, "state": state,
    });
    let row = registration::Model {
        review_reason: review_reason.map(str::to_owned),
        da_account_id: None,
        id: id.to_owned(),
        account_id: "newbie".to_owned(),
        state: state["name"].as_str().expect("a name").to_owned(),
        version: 2,
        root_id: None,
        since_ms: created.timestamp_millis(),
        created_ms: created.timestamp_millis(),
        data: data.to_string(),
    };
    insert::<_, registration::ActiveModel>(store, row).await;
    let lines = [
        ("registration.submitted", "newbie", json!({})),
        ("verified", "enrolld", json!({"codes": ["serial_not_covered"]})),
    ];
    for ((event, actor, detail), version) in lines.into_iter().zip(1..) {
        let row = timeline::Model {
            registration_id: id.to_owned(),
            version,
            at_ms: created.timestamp_millis(),
            event: event.to_owned(),
            actor: actor.to_owned(),
            detail: detail.to_string(),
            token: String::new(),
        };
        insert::<_, timeline::ActiveModel>(store, row).await;
    }
}

async fn jobs(store: &Store) {
    let rows = [
        (1, "verification", "succeeded", None),
        (2, "email_verification", "dead", Some("smtp_refused")),
    ];
    for (number, kind, state, error) in rows {
        let created_ms = days_ago(4 - i64::from(number)).timestamp_millis();
        let row = job::Model {
            account_id: None,
            id: id(number),
            kind: kind.to_owned(),
            registration_id: Some(format!("reg-{number}")),
            step: 1,
            step_bound: true,
            state: state.to_owned(),
            run_no: i64::from(number),
            attempts: 1,
            failures: error.map_or(0, |_| 1),
            crashes: 0,
            requeues: 0,
            requeue_note: None,
            run_at_ms: created_ms,
            queued_ms: Some(created_ms),
            started_ms: Some(created_ms),
            finished_ms: Some(created_ms),
            daemon_id: None,
            error_class: error.map(str::to_owned),
            error: error.map(|_| "the server said: 550 <…>: no such user".to_owned()),
            note: None,
            created_ms,
            trace: error.map(|_| "4bf92f3577b34da6a3ce929d0e0e4736-01".to_owned()),
        };
        insert::<_, job::ActiveModel>(store, row).await;
    }
    story(store).await;
}

/// What happened to the dead job.
async fn story(store: &Store) {
    let began = days_ago(2).timestamp_millis();
    for (run_no, result) in [(1, "retrying"), (2, "dead")] {
        let started_ms = began + run_no * 60_000;
        let row = attempt::Model {
            job_id: id(2),
            slot: run_no,
            run_no,
            started_ms: Some(started_ms),
            ended_ms: started_ms + 1_250,
            daemon_id: Some("3f2a9c1e-7d4b-4c1a-9a53-0f6c2b8d1e77".to_owned()),
            result: result.to_owned(),
            error_class: "smtp_refused".to_owned(),
            error: Some("the server said: 550 <…>: no such user".to_owned()),
        };
        insert::<_, attempt::ActiveModel>(store, row).await;
    }
    let row = intervention::Model {
        job_id: id(2),
        at_ms: began + 90_000,
        action: "requeue".to_owned(),
        done_by: "operator".to_owned(),
        reason: "the server was mended".to_owned(),
    };
    insert::<_, intervention::ActiveModel>(store, row).await;
}

async fn mails(store: &Store) {
    let row = mail::Model {
        id: id(2),
        kind: "verification".to_owned(),
        registration_id: Some("reg-2".to_owned()),
        step: 1,
        recipient: r#"{"kind":"verification","to":"applicant"}"#.to_owned(),
        state: "failed".to_owned(),
        address: Some("newbie@acme.example".to_owned()),
        locale: Some("en".to_owned()),
        subject: Some("Verify your e-mail address".to_owned()),
        note: None,
        created_ms: days_ago(2).timestamp_millis(),
        sent_ms: None,
    };
    insert::<_, mail::ActiveModel>(store, row).await;
}

async fn refused_events(store: &Store) {
    let rows = [
        (None, None, "malformed", "not_json", &b"\xff\x1b[2J"[..]),
        (
            Some("registration.confirmed"),
            Some("reg-1"),
            "not_allowed",
            "not_in_this_state",
            b"{}",
        ),
    ];
    for ((kind, subject, reason, code, event), number) in rows.into_iter().zip(1..) {
        let row = refused::ActiveModel {
            entry: Set(format!("170000000000{number}-0")),
            r#type: Set(kind.map(str::to_owned)),
            subject: Set(subject.map(str::to_owned)),
            event: Set(event.to_vec()),
            reason: Set(reason.to_owned()),
            detail: Set(json!({ "code": code }).to_string()),
            refused_ms: Set(days_ago(4 - number).timestamp_millis()),
            ..Default::default()
        };
        refused::Entity::insert(row)
            .exec_without_returning(store.writer())
            .await
            .expect("the row fits");
    }
}
