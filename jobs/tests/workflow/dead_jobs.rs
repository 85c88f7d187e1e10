//! Failures of our own never strand anybody (D22).

use enrolld_jobs::{
    decide::Decided,
    effect::{AlertCode, Effect},
    event::{Aside, Event},
    giving_up::{awaited, not_cancelled},
    job::JobKind,
    registration::{ReviewReason, StateName},
    view::{OpsAlert, RegistrationSummary},
};
use uuid::Uuid;

use crate::road::{Road, da, good, grant};

const JOB: Uuid = Uuid::from_u128(11);

fn died(job: Uuid) -> Event {
    Event::Aside(Aside::JobDied {
        job,
        kind: JobKind::Verification,
        class: "directory_refused".to_owned(),
    })
}

fn revived(job: Uuid) -> Event {
    Event::Aside(Aside::JobRevived { job })
}

#[test]
fn d22_a_dead_job_shows_as_processing_failed_with_an_alert() {
    let mut road = Road::submitted();
    let before = road.registration.clone();
    let decision = road.does(&died(JOB), &good(vec![]));
    let [Effect::Alert(alert)] = &decision.effects[..] else {
        panic!("an alert and nothing else: {:?}", decision.effects);
    };
    assert_eq!((alert.code, alert.job), (AlertCode::JobDead, Some(JOB)));
    assert_eq!(alert.group, "verification/directory_refused");
    assert!(alert.message.contains("reg-1") && alert.message.contains("directory_refused"));
    assert_eq!(decision.entry.event, "registration.job_died");
    assert_eq!(decision.entry.detail["kind"], "verification");
    assert_eq!(decision.entry.detail["error"], "directory_refused");
    assert_eq!(decision.entry.detail["job"], JOB.to_string());
    let view = RegistrationSummary::new(&road.registration);
    assert_eq!(view.review_reason, Some(ReviewReason::ProcessingFailed));
    assert_eq!(
        (view.state, road.registration.step),
        (StateName::Verifying, before.step)
    );
    assert_eq!(road.decide(&died(JOB), &good(vec![])), Decided::Ignored, "told once");
}

#[test]
fn d22_the_alert_tells_of_registration_and_job() {
    let decision = Road::submitted().does(&died(JOB), &good(vec![]));
    let [Effect::Alert(alert)] = &decision.effects[..] else {
        panic!("an alert");
    };
    let told = OpsAlert::new(alert, Some(decision.registration.id.clone()));
    assert_eq!(
        serde_json::to_value(told).expect("JSON"),
        serde_json::json!({
            "code": "job_dead",
            "message": "job verification of registration reg-1 is dead: directory_refused",
            "registration_id": "reg-1",
            "job_id": JOB,
            "account_id": null,
            "organization_id": null,
        })
    );
}

#[test]
fn d22_requeueing_takes_it_out_and_the_road_goes_on() {
    let mut road = Road::submitted();
    assert_eq!(
        road.decide(&revived(JOB), &good(vec![])),
        Decided::Ignored,
        "it was not dead"
    );
    let other = Uuid::from_u128(12);
    road.does(&died(JOB), &good(vec![]));
    road.does(&died(other), &good(vec![]));
    let decision = road.does(&revived(JOB), &good(vec![]));
    assert_eq!(decision.entry.event, "registration.job_revived");
    assert_eq!(decision.effects, []);
    assert_eq!(road.registration.dead_jobs, [other]);
    assert_eq!(road.registration.review_reason(), Some(ReviewReason::ProcessingFailed));
    road.does(&revived(other), &good(vec![]));
    assert_eq!(road.registration.review_reason(), None);
    // The job was made for the step that the registration is still at.
    road.verify(&good(vec![]));
    assert_eq!(road.state(), StateName::Routing);
}

#[test]
fn d22_a_case_that_asks_for_a_decision_is_not_hidden_by_a_dead_job() {
    let mut road = Road::in_review();
    road.does(&died(JOB), &good(vec![]));
    assert_eq!(road.registration.review_reason(), Some(ReviewReason::NoneOfTheAbove));
}

#[test]
fn d22_a_dead_job_leaves_the_timer_and_what_is_allowed_as_they_are() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    let before = RegistrationSummary::new(&road.registration);
    road.does(&died(JOB), &present);
    let after = RegistrationSummary::new(&road.registration);
    assert_eq!(
        (after.since, after.deadline, &after.allowed),
        (before.since, before.deadline, &before.allowed)
    );
    road.does(&grant("boss"), &present);
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d22_a_dead_job_after_the_end_keeps_the_state() {
    let present = good(vec![da("boss", "root")]);
    for mut road in [Road::granted(0), Road::routed(&present)] {
        if !road.state().is_final() {
            road.does(&Event::GIVEN_UP, &present);
        }
        let before = road.registration.clone();
        road.does(&died(JOB), &present);
        assert_eq!(road.registration.dead_jobs, [JOB]);
        assert_eq!(
            (&road.registration.state, road.registration.step),
            (&before.state, before.step)
        );
        assert_eq!(
            (road.registration.since, road.registration.deadline),
            (before.since, None)
        );
        road.does(&revived(JOB), &present);
        assert_eq!(road.registration.version, before.version + 2);
        assert_eq!(road.registration.review_reason(), None);
    }
}

#[test]
fn d22_what_somebody_waits_for_is_not_given_up() {
    let road = Road::awaiting_da(&good(vec![da("boss", "acme")]));
    let (open, step) = (Some(&road.registration), road.registration.step);
    assert!(
        awaited(JobKind::DaResponseTimeout, Some(step), open).is_some(),
        "its timer"
    );
    assert_eq!(
        awaited(JobKind::DaResponseTimeout, Some(step - 1), open),
        None,
        "of an earlier wait"
    );
    for kind in [JobKind::Notification, JobKind::Terms, JobKind::ProvisioningSync] {
        assert_eq!(awaited(kind, None, open), None, "{kind:?}");
        assert_eq!(awaited(kind, None, None), None, "{kind:?}");
    }
    // What a target has refused is waited for until somebody rejects it.
    let road = Road::granted(1);
    assert!(awaited(JobKind::ProvisioningSync, None, Some(&road.registration)).is_some());
    assert_eq!(awaited(JobKind::Notification, None, Some(&road.registration)), None);

    // What is wanted at a target is wanted whoever waits for it.
    for registration in [None, Some(&road.registration)] {
        assert!(not_cancelled(JobKind::ProvisioningSync, None, registration).is_some());
        assert_eq!(not_cancelled(JobKind::Notification, None, registration), None);
    }
}
