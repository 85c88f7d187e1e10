//! Waiting for a DA: reminders, the time-out, the next DA, an agent; and a DA who cannot be reached any more.

use std::sync::Arc;

use chrono::Duration;
use enrolld_jobs::{
    decide::Decided,
    effect::MailKind,
    event::{Event, Present},
    job::JobKind,
    refusal::Reason,
    registration::{ReviewReason, StateName},
    rules::Rules,
    view::RegistrationSummary,
};

use crate::road::{Road, da, deny, good, grant, mail, mails, start, wakes};

fn das(ids: &[&str]) -> Present {
    good(ids.iter().map(|id| da(id, "root")).collect())
}

fn unreachable(mut present: Present, id: &str) -> Present {
    for da in &mut present.site.as_mut().expect("a site").administrators {
        da.reachable &= da.account_id.as_str() != id;
    }
    present
}

fn to(kind: MailKind, whom: &str) -> (MailKind, String) {
    (kind, whom.to_owned())
}

/// In review, since nobody of `boss` and `second` answered.
fn unanswered() -> (Road, Present) {
    let present = das(&["boss", "second"]);
    let mut road = Road::awaiting_da(&present);
    while road.state() == StateName::AwaitingDa {
        road.time_is_up(&present);
    }
    assert_eq!(road.review_reason(), ReviewReason::DaUnresponsive);
    (road, present)
}

#[test]
fn d1_asking_sets_the_timer_of_the_first_reminder() {
    let present = das(&["boss", "second"]);
    let mut road = Road::routed(&present);
    let decision = road.does(&Event::Confirmed, &present);
    let first = start() + Duration::hours(24);
    assert_eq!(wakes(&decision), [(JobKind::DaResponseTimeout, first)]);
    assert_eq!(RegistrationSummary::new(&road.registration).deadline, Some(first));
}

#[test]
fn d1_the_da_is_reminded_twice_and_then_the_next_is_asked() {
    let present = das(&["boss", "second"]);
    let mut road = Road::awaiting_da(&present);
    for hours in [24, 48] {
        assert_eq!(road.deadline(), start() + Duration::hours(hours));
        let decision = road.time_is_up(&present);
        assert_eq!(mail(&decision), to(MailKind::AccessRequestReminder, "boss"));
        assert_eq!(wakes(&decision).len(), 1);
        assert_eq!(road.asked(), ["boss"]);
    }
    assert_eq!(road.deadline(), start() + Duration::hours(72));
    let decision = road.time_is_up(&present);
    assert_eq!(road.asked(), ["boss", "second"]);
    assert_eq!(
        road.deadline(),
        start() + Duration::hours(72 + 24),
        "a time of their own"
    );
    assert_eq!(
        mail(&decision),
        to(MailKind::AccessRequest, "second"),
        "notices are sent the first time only"
    );
}

#[test]
fn d1_a_timer_does_nothing_before_its_time_or_for_another_wait() {
    let present = das(&["boss", "second"]);
    let mut road = Road::awaiting_da(&present);
    let step = road.registration.step;
    road.after(Duration::hours(24) - Duration::seconds(1));
    assert_eq!(road.decide(&Event::TimeIsUp { step }, &present), Decided::Ignored);
    road.after(Duration::seconds(1));
    for other in [step - 1, step + 1] {
        assert_eq!(
            road.decide(&Event::TimeIsUp { step: other }, &present),
            Decided::Ignored
        );
    }
    road.does(&Event::TimeIsUp { step }, &present);
    // The same timer again, as after a crash: its time has not come.
    assert_eq!(road.decide(&Event::TimeIsUp { step }, &present), Decided::Ignored);
}

#[test]
fn d1_a_reminder_that_is_not_before_its_timeout_does_not_fire() {
    let present = das(&["boss", "second"]);
    let mut road = Road::routed(&present);
    let hours = std::time::Duration::from_hours;
    road.rules = Arc::new(Rules {
        da_reminders: vec![hours(24), hours(48)],
        da_timeout: hours(48),
        ..Rules::default()
    });
    road.does(&Event::Confirmed, &present);
    let reminder = road.time_is_up(&present);
    assert_eq!(mail(&reminder), to(MailKind::AccessRequestReminder, "boss"));
    road.time_is_up(&present);
    assert_eq!(road.asked(), ["boss", "second"]);
}

#[test]
fn d1_missed_reminders_are_not_made_up_for() {
    let present = das(&["boss", "second"]);
    let mut road = Road::awaiting_da(&present);
    road.after(Duration::hours(50));
    let decision = road.time_is_up(&present);
    assert_eq!(mail(&decision), to(MailKind::AccessRequestReminder, "boss"));
    assert_eq!(road.deadline(), start() + Duration::hours(72));
}

#[test]
fn d1_past_the_timeout_nobody_is_reminded_any_more() {
    let present = das(&["boss", "second"]);
    let mut road = Road::awaiting_da(&present);
    road.after(Duration::hours(80));
    let decision = road.time_is_up(&present);
    assert_eq!(mail(&decision), to(MailKind::AccessRequest, "second"));
}

#[test]
fn d1_the_next_is_the_first_reachable_of_the_current_list_not_yet_asked() {
    let mut road = Road::awaiting_da(&das(&["boss", "second"]));
    let current = unreachable(das(&["gone", "newbie", "boss", "third"]), "gone");
    for _ in 0..3 {
        road.time_is_up(&current);
    }
    assert_eq!(road.asked(), ["boss", "third"], "nor is the applicant asked");
    assert_eq!(
        road.registration.administrators.len(),
        4,
        "the view has the current list"
    );
}

#[test]
fn d1_after_max_das_it_goes_to_an_agent_and_never_to_the_applicant() {
    let present = das(&["boss", "second", "third", "fourth"]);
    let mut road = Road::awaiting_da(&present);
    for _ in 0..8 {
        road.time_is_up(&present);
        assert_eq!(road.state(), StateName::AwaitingDa);
    }
    assert_eq!(road.asked(), ["boss", "second", "third"]);
    let decision = road.time_is_up(&present);
    assert_eq!(road.review_reason(), ReviewReason::DaUnresponsive);
    assert_eq!(
        mails(&decision),
        [
            to(MailKind::ReviewCase, "the agents"),
            to(MailKind::WithAgent, "the applicant"),
        ]
    );
}

#[test]
fn d1_whoever_was_asked_may_still_decide() {
    let present = das(&["boss", "second"]);
    let mut road = Road::awaiting_da(&present);
    for _ in 0..3 {
        road.time_is_up(&present);
    }
    assert_eq!(road.asked(), ["boss", "second"]);
    road.does(&grant("boss"), &present);
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d1_a_da_may_still_decide_while_an_agent_looks_since_nobody_answered() {
    let (mut road, present) = unanswered();
    let allowed = RegistrationSummary::new(&road.registration).allowed;
    assert!(allowed.contains(&"registration.da_decided".to_owned()), "{allowed:?}");
    assert_eq!(road.refused(&grant("stranger"), &present).reason, Reason::NotEntitled);
    let denied = road.clone().does(&deny("second"), &present);
    assert_eq!(mail(&denied), to(MailKind::AccessDenied, "the applicant"));
    let granted = road.does(&grant("boss"), &present);
    assert_eq!(mail(&granted), to(MailKind::AccessApproved, "the applicant"));
}

#[test]
fn d1_in_any_other_review_das_do_not_decide() {
    let mut road = Road::in_review();
    let refusal = road.refused(&grant("boss"), &das(&["boss"]));
    assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "wrong_state"));
    let allowed = RegistrationSummary::new(&road.registration).allowed;
    assert!(!allowed.contains(&"registration.da_decided".to_owned()), "{allowed:?}");
    road.does(&Event::GIVEN_UP, &das(&["boss"]));
}

#[test]
fn d1_deciding_leaves_no_timer() {
    let present = das(&["boss", "second"]);
    for event in [grant("boss"), deny("boss"), Event::GIVEN_UP] {
        let mut road = Road::awaiting_da(&present);
        let step = road.registration.step;
        let decision = road.does(&event, &present);
        assert_eq!(road.registration.deadline, None, "{event:?}");
        assert_eq!(wakes(&decision), []);
        road.after(Duration::days(90));
        for step in [step, road.registration.step] {
            assert_eq!(road.decide(&Event::TimeIsUp { step }, &present), Decided::Ignored);
        }
    }
}

#[test]
fn d2_recheck_of_one_who_can_be_reached_changes_nothing() {
    let present = das(&["boss", "second"]);
    let road = Road::awaiting_da(&present);
    assert_eq!(road.decide(&Event::Recheck, &present), Decided::Ignored);
}

#[test]
fn d2_recheck_moves_on_at_once_from_one_who_cannot_be_reached_or_is_no_da_any_more() {
    let before = das(&["boss", "second"]);
    for present in [unreachable(before.clone(), "boss"), das(&["second"])] {
        let mut road = Road::awaiting_da(&before);
        road.after(Duration::hours(1));
        let decision = road.does(&Event::Recheck, &present);
        assert_eq!(road.asked(), ["boss", "second"]);
        assert_eq!(mail(&decision), to(MailKind::AccessRequest, "second"));
        assert_eq!(decision.entry.detail["code"], "da_unreachable");
        assert_eq!(road.deadline(), road.now + Duration::hours(24));
    }
}

#[test]
fn d2_recheck_without_anybody_left_goes_to_an_agent() {
    let mut road = Road::awaiting_da(&das(&["boss"]));
    let decision = road.does(&Event::Recheck, &das(&[]));
    assert_eq!(road.state(), StateName::InReview);
    assert_eq!(
        mails(&decision),
        [
            to(MailKind::ReviewCase, "the agents"),
            to(MailKind::WithAgent, "the applicant"),
        ]
    );
    assert_eq!(road.decide(&Event::Recheck, &das(&[])), Decided::Ignored);
}
