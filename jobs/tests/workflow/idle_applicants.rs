//! An applicant who does nothing: a reminder, then the end (D12).

use std::sync::Arc;

use chrono::Duration;
use enrolld_jobs::{
    decide::Decided, effect::MailKind, event::Event, job::JobKind, registration::StateName, rules::Rules,
};

use crate::road::{Road, da, good, good_but, mail, selected, start, wakes};

/// One registration in each state that waits for the applicant (D12).
fn waiting() -> [Road; 4] {
    let mut correcting = Road::submitted();
    correcting.verify(&good_but(vec![], |present| present.applicant.covered = false));
    let roads = [
        correcting,
        Road::routed(&good(vec![da("boss", "root")])),
        Road::routed(&good(vec![])),
        Road::awaiting_email(),
    ];
    let states = roads.each_ref().map(Road::state);
    assert_eq!(
        states,
        [
            StateName::NeedsCorrection,
            StateName::AwaitingConfirmation,
            StateName::AwaitingOrganization,
            StateName::AwaitingEmail
        ]
    );
    roads
}

#[test]
fn d12_a_reminder_after_seven_days_and_the_end_after_thirty() {
    let present = good(vec![]);
    for mut road in waiting() {
        let state = road.state();
        assert_eq!(road.deadline(), start() + Duration::days(7), "{state:?}");
        let reminder = road.time_is_up(&present);
        assert_eq!(mail(&reminder), (MailKind::IdleReminder, "the applicant".to_owned()));
        assert_eq!(road.state(), state);
        let end = start() + Duration::days(30);
        assert_eq!(wakes(&reminder), [(JobKind::ApplicantIdle, end)]);
        let decision = road.time_is_up(&present);
        assert_eq!((road.state(), road.now), (StateName::Expired, end));
        assert_eq!(mail(&decision), (MailKind::Expired, "the applicant".to_owned()));
        assert_eq!((road.registration.deadline, wakes(&decision)), (None, vec![]));
        assert_eq!(decision.entry.actor, "enrolld");
    }
}

#[test]
fn d12_the_reminder_does_not_void_the_link() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    road.rules = Arc::new(Rules {
        link_valid_for: std::time::Duration::from_hours(24 * 30),
        ..Rules::default()
    });
    road.after(Duration::minutes(2)).does(&Event::ResendRequested, &present);
    let link = road.link_used();
    road.time_is_up(&present);
    road.does(&link, &present);
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d12_a_reminder_that_is_not_before_the_end_does_not_fire() {
    let present = good(vec![]);
    let mut road = Road::submitted();
    let week = std::time::Duration::from_hours(24 * 7);
    road.rules = Arc::new(Rules {
        applicant_reminder: week,
        applicant_expiry: week,
        ..Rules::default()
    });
    road.verify(&present);
    road.route(&present);
    road.time_is_up(&present);
    assert_eq!(road.state(), StateName::Expired);
}

#[test]
fn d12_past_the_end_nobody_is_reminded_any_more() {
    let mut road = Road::awaiting_email();
    road.after(Duration::days(31));
    let decision = road.time_is_up(&good(vec![]));
    assert_eq!(mail(&decision), (MailKind::Expired, "the applicant".to_owned()));
}

#[test]
fn d12_a_resend_or_another_choice_does_not_start_the_clock_again() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    let deadline = road.deadline();
    road.after(Duration::days(3)).does(&Event::ResendRequested, &present);
    assert_eq!(road.deadline(), deadline, "the state is still the same wait");
    let decision = road.does(&selected("site"), &present);
    assert_eq!((road.deadline(), wakes(&decision)), (deadline, vec![]));
    // The new link's step has a timer of its own.
    road.time_is_up(&present);
    assert_eq!(road.deadline(), start() + Duration::days(30));
    road.does(&Event::ResendRequested, &present);
    assert_eq!(road.deadline(), start() + Duration::days(30));
}

#[test]
fn d12_another_wait_has_its_own_clock() {
    let present = good(vec![]);
    let mut road = Road::routed(&present);
    road.time_is_up(&present);
    let stale = road.registration.step;
    road.does(&selected("root"), &present);
    assert_eq!(road.deadline(), road.now + Duration::days(7));
    road.after(Duration::days(60));
    assert_eq!(
        road.decide(&Event::TimeIsUp { step: stale }, &present),
        Decided::Ignored
    );
}
