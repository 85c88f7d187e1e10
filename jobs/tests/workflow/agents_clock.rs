//! The agent's time, and the applicant's while an agent waits for their answer (R45, R64, R65, D10).

use chrono::Duration;
use enrolld_jobs::{
    effect::MailKind,
    registration::{ReviewReason, StateName},
    view::RegistrationSummary,
};

use crate::road::{Road, answer, appoint, good, mail, mails, question, start};

fn to(kind: MailKind, whom: &str) -> (MailKind, String) {
    (kind, whom.to_owned())
}

#[test]
fn r45_a_question_goes_to_the_applicant_and_stops_the_agents_clock() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.after(Duration::hours(10));
    let decision = road.does(&question(), &present);
    assert_eq!(road.state(), StateName::AwaitingInformation);
    assert_eq!(mail(&decision), to(MailKind::Question, "the applicant"));
    assert_eq!(road.deadline(), road.now + Duration::days(7));
    let view = RegistrationSummary::new(&road.registration);
    assert_eq!(view.question.as_deref(), Some("Which site?"));
    assert_eq!(view.review_reason, Some(ReviewReason::NoneOfTheAbove));

    road.after(Duration::days(5));
    let decision = road.does(&answer(), &present);
    assert_eq!(road.review_reason(), ReviewReason::NoneOfTheAbove);
    assert_eq!(mail(&decision), to(MailKind::ReviewCase, "the agents"));
    assert_eq!(decision.entry.actor, "newbie");
    assert_eq!(decision.entry.detail["answer"], "San Jose");
    // 10 of the 21.6 hours had passed when the agent asked.
    assert_eq!(road.deadline(), road.now + Duration::minutes(11 * 60 + 36));
    assert_eq!(mail(&road.time_is_up(&present)).0, MailKind::ReviewUpdate);
}

#[test]
fn d10_a_question_that_is_not_answered_in_seven_days_ends_it() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.does(&question(), &present);
    let decision = road.time_is_up(&present);
    assert_eq!(
        (road.state(), road.now),
        (StateName::Expired, start() + Duration::days(7))
    );
    assert_eq!(mail(&decision), to(MailKind::Expired, "the applicant"));
    assert_eq!(road.registration.deadline, None);
}

#[test]
fn d10_another_question_gives_the_applicant_another_seven_days() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.after(Duration::hours(10)).does(&question(), &present);
    road.after(Duration::days(6)).does(&question(), &present);
    assert_eq!(road.deadline(), road.now + Duration::days(7));
    road.after(Duration::days(6)).does(&answer(), &present);
    assert_eq!(
        road.deadline(),
        road.now + Duration::minutes(11 * 60 + 36),
        "the agent's clock stood all the while"
    );
}

#[test]
fn d10_an_agent_may_decide_without_waiting_for_the_answer() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.does(&question(), &present);
    road.does(&appoint("root"), &present);
    assert_eq!(road.state(), StateName::AwaitingEmail);
    assert_eq!(road.refused(&answer(), &present).code(), "wrong_state");
}

#[test]
fn r64_the_applicant_gets_a_status_mail_before_the_agents_time_is_over() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    assert_eq!(
        road.deadline(),
        start() + Duration::minutes(21 * 60 + 36),
        "90 % of 24 hours"
    );
    let decision = road.time_is_up(&present);
    assert_eq!(mail(&decision), to(MailKind::ReviewUpdate, "the applicant"));
    assert_eq!(road.state(), StateName::InReview);
}

#[test]
fn r65_an_overdue_case_is_escalated_and_again_each_day() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.time_is_up(&present);
    for days in 1..5 {
        let decision = road.time_is_up(&present);
        assert_eq!(road.now, start() + Duration::days(days));
        assert_eq!(mail(&decision), to(MailKind::ReviewOverdue, "the supervisor"));
    }
    road.does(&appoint("root"), &present);
    assert_eq!(road.state(), StateName::AwaitingEmail, "late, and still decided");
}

#[test]
fn d10_missed_escalations_are_not_made_up_for() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.after(Duration::hours(5 * 24 + 1));
    let decision = road.time_is_up(&present);
    assert_eq!(
        mails(&decision),
        [
            to(MailKind::ReviewUpdate, "the applicant"),
            to(MailKind::ReviewOverdue, "the supervisor"),
        ]
    );
    assert_eq!(road.deadline(), start() + Duration::days(6));
    assert_eq!(
        mail(&road.time_is_up(&present)),
        to(MailKind::ReviewOverdue, "the supervisor")
    );
}
