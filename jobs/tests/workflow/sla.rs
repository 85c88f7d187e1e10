//! How long steps took, read from timelines.

use std::time::Duration;

use chrono::TimeDelta;
use enrolld_jobs::{
    event::{Event, Present},
    registration::StateName,
    rules::Rules,
    sla::{Left, Step, steps},
    view::TimelineLine,
};
use serde_json::json;

use crate::road::{Road, answer, da, good, grant, question, reviewed, start};

/// A road whose timeline is kept. It begins where `road` has come to, at its time.
struct Kept {
    road: Road,
    lines: Vec<TimelineLine>,
}

impl Kept {
    fn begun(road: Road, detail: &serde_json::Value) -> Self {
        let mut detail = detail.as_object().cloned().expect("an object");
        detail.insert("to".to_owned(), road.state().as_str().into());
        let line = TimelineLine {
            at: road.now,
            event: "registration.begun".to_owned(),
            actor: "newbie".to_owned(),
            detail,
        };
        Self {
            road,
            lines: vec![line],
        }
    }

    fn after(&mut self, hours: i64, event: &Event, present: &Present) {
        self.road.after(TimeDelta::hours(hours));
        let decision = self.road.does(event, present);
        self.lines.push(TimelineLine::from(&decision.entry));
    }
}

fn told(left: &[Left]) -> Vec<(&str, i64, Option<&str>, bool)> {
    left.iter()
        .map(|left| {
            (
                left.step.as_str(),
                left.took.num_hours(),
                left.by.as_deref(),
                left.answered,
            )
        })
        .collect()
}

#[test]
fn d1_each_da_who_is_asked_has_time_of_their_own() {
    let present = good(vec![da("boss", "root"), da("second", "root")]);
    let mut kept = Kept::begun(Road::awaiting_da(&present), &json!({"da_account_id": "boss"}));
    // Reminders leave everything as it is.
    while kept.road.asked().len() == 1 {
        let decision = kept.road.time_is_up(&present);
        kept.lines.push(TimelineLine::from(&decision.entry));
    }
    kept.after(5, &grant("second"), &present);
    assert_eq!(
        told(&steps(&kept.lines)),
        [
            ("awaiting_da", 72, Some("boss"), false),
            ("awaiting_da", 5, Some("second"), true),
            ("whole", 77, None, false),
        ]
    );
}

#[test]
fn d1_the_da_who_was_asked_before_may_be_faster() {
    let present = good(vec![da("boss", "root"), da("second", "root")]);
    let mut kept = Kept::begun(Road::awaiting_da(&present), &json!({"da_account_id": "boss"}));
    kept.after(1, &grant("second"), &present);
    assert_eq!(
        told(&steps(&kept.lines)),
        [("awaiting_da", 1, Some("boss"), false), ("whole", 1, None, false)]
    );
}

#[test]
fn d10_a_case_is_one_step_and_the_applicants_time_is_not_the_agents() {
    let present = good(vec![]);
    let mut kept = Kept::begun(Road::in_review(), &json!({}));
    kept.after(2, &question(), &present);
    kept.after(48, &answer(), &present);
    kept.after(3, &question(), &present);
    // Another question before there is an answer.
    kept.after(10, &question(), &present);
    kept.after(
        20,
        &reviewed(enrolld_jobs::cloud_event::ReviewDecision::Reject),
        &present,
    );
    let agent = kept.lines.last().expect("a line").actor.clone();
    assert_eq!(
        told(&steps(&kept.lines)),
        [
            ("awaiting_information", 48, None, false),
            ("awaiting_information", 10, None, false),
            ("awaiting_information", 20, None, false),
            ("in_review", 5, Some(agent.as_str()), true),
            ("whole", 83, None, false),
        ]
    );
}

#[test]
fn r19_a_withdrawal_ends_the_step_and_answers_nothing() {
    let present = good(vec![da("boss", "root")]);
    let mut kept = Kept::begun(Road::awaiting_da(&present), &json!({"da_account_id": "boss"}));
    kept.after(4, &Event::GIVEN_UP, &present);
    let left = steps(&kept.lines);
    assert_eq!(
        told(&left),
        [("awaiting_da", 4, Some("boss"), false), ("whole", 4, None, false)]
    );
    assert_eq!(left[1].step, Step::Whole(StateName::Withdrawn));
}

#[test]
fn what_is_under_way_or_unknown_is_no_step() {
    assert_eq!(steps(&[]), []);
    let mut kept = Kept::begun(Road::submitted(), &json!({}));
    assert_eq!(steps(&kept.lines), []);
    // Of an erased registration, or a later release.
    kept.lines.push(TimelineLine {
        at: start() + TimeDelta::hours(1),
        event: "registration.verified".to_owned(),
        actor: "enrolld".to_owned(),
        detail: serde_json::Map::new(),
    });
    assert_eq!(steps(&kept.lines), []);
}

#[test]
fn deadlines_are_those_of_the_rules() {
    let rules = Rules::default();
    let hours = |state| {
        Step::State(state)
            .deadline(&rules)
            .map(|deadline: Duration| deadline.as_secs() / 3_600)
    };
    assert_eq!(hours(StateName::AwaitingDa), Some(72));
    assert_eq!(hours(StateName::InReview), Some(24));
    assert_eq!(hours(StateName::AwaitingInformation), Some(7 * 24));
    assert_eq!(hours(StateName::Provisioning), Some(24));
    assert_eq!(hours(StateName::AwaitingEmail), Some(30 * 24));
    assert_eq!(hours(StateName::Verifying), None);
    assert_eq!(Step::Whole(StateName::Active).deadline(&rules), None);
}
