//! Access that is not there in time, and what agents do about it (R40, D10, D11).

use chrono::Duration;
use enrolld_jobs::{
    cloud_event::ReviewDecision,
    decide::{Decided, decide},
    effect::{Effect, MailKind},
    event::{Event, Facts},
    refusal::Reason,
    registration::{ReviewReason, State, StateName},
};

use super::{all_confirmed, confirmed, facts, open_case, overdue_at, reason, refused, to};
use crate::road::{
    Road, account_id, acts, appoint, gives, mail, mails, organization_id, question, reviewed, route_to, wakes,
};

#[test]
fn r40_access_that_is_overdue_goes_to_the_agents_and_the_applicant_is_told() {
    let mut road = Road::granted(1);
    let step = road.registration.step;
    let early = road.decide(&Event::TimeIsUp { step }, &facts());
    assert_eq!(early, Decided::Ignored, "before its time");
    let decision = road.time_is_up(&facts());
    assert_eq!(road.now, overdue_at(&road));
    assert_eq!(reason(&road), Some(ReviewReason::ProvisioningOverdue));
    assert_eq!(decision.entry.detail["review_reason"], "provisioning_overdue");
    assert_eq!(
        mails(&decision),
        [
            to(MailKind::ProvisioningOverdue, "the applicant"),
            to(MailKind::ReviewCase, "the agents"),
        ]
    );
    assert_eq!(road.pending().len(), 1, "syncing goes on");
    assert_eq!(
        road.decide(&Event::TimeIsUp { step }, &facts()),
        Decided::Ignored,
        "D23"
    );
}

#[test]
fn d11_what_was_overdue_is_active_and_mailed_when_it_is_there() {
    let mut road = Road::granted(1);
    road.time_is_up(&facts());
    let decision = all_confirmed(&mut road);
    assert_eq!(road.state(), StateName::Active);
    assert_eq!(mail(&decision), to(MailKind::AccessApproved, "the applicant"));
    assert_eq!(
        (road.registration.deadline, road.registration.review_reason()),
        (None, None)
    );
    assert_eq!(wakes(&decision), []);
}

#[test]
fn d11_overdue_then_refused_then_there_is_overdue_again_and_told_once() {
    let mut road = Road::granted(2);
    road.time_is_up(&facts());
    let first = open_case(&road).expect("a case");
    let pending = road.pending();
    let decision = road.after(Duration::hours(1)).does(&refused(&pending[0]), &facts());
    assert_eq!(reason(&road), Some(ReviewReason::ProvisioningFailed));
    assert_eq!(mail(&decision), to(MailKind::ReviewCase, "the agents"));
    let decision = road.after(Duration::hours(1)).does(&confirmed(&pending[0]), &facts());
    let again = open_case(&road).expect("a case");
    assert_eq!(again.reason, ReviewReason::ProvisioningOverdue);
    assert!(again.clock.started > first.clock.started);
    assert_eq!(mail(&decision), to(MailKind::ReviewCase, "the agents"));
    // What is next is the agents' clock: the applicant has been told.
    assert_eq!(
        mails(&road.time_is_up(&facts())),
        [to(MailKind::ReviewUpdate, "the applicant")]
    );
    all_confirmed(&mut road);
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn r40_who_waits_for_refused_access_is_told_as_well_when_it_is_overdue() {
    let mut road = Road::granted(2);
    let pending = road.pending();
    road.after(Duration::hours(3)).does(&refused(&pending[0]), &facts());
    let case = open_case(&road);
    // The agents' clock comes first: 90 % of 24 hours from the refusal on is after the 24 hours of the access.
    assert_eq!(road.deadline(), overdue_at(&road));
    let decision = road.time_is_up(&facts());
    assert_eq!(mail(&decision), to(MailKind::ProvisioningOverdue, "the applicant"));
    assert_eq!(open_case(&road), case, "the agents have the case already");
    let decision = road.time_is_up(&facts());
    assert_eq!(mail(&decision), to(MailKind::ReviewUpdate, "the applicant"));
    let decision = road.time_is_up(&facts());
    assert_eq!(mail(&decision), to(MailKind::ReviewOverdue, "the supervisor"));
    // There after all, and the rest is overdue.
    road.does(&confirmed(&pending[0]), &facts());
    assert_eq!(reason(&road), Some(ReviewReason::ProvisioningOverdue));
}

#[test]
fn r40_after_an_outage_what_is_due_at_once_comes_at_once() {
    let mut road = Road::granted(1);
    let sync = road.pending().remove(0);
    road.does(&refused(&sync), &facts());
    road.after(Duration::hours(60));
    let decision = road.time_is_up(&facts());
    assert_eq!(
        mails(&decision),
        [
            to(MailKind::ProvisioningOverdue, "the applicant"),
            to(MailKind::ReviewUpdate, "the applicant"),
            to(MailKind::ReviewOverdue, "the supervisor"),
        ]
    );
    assert!(road.deadline() > road.now);
}

#[test]
fn d10_the_clock_of_the_case_runs_as_any_agents() {
    let mut road = Road::granted(1);
    road.time_is_up(&facts());
    let begun = road.now;
    let step = road.registration.step;
    assert_eq!(
        mail(&road.time_is_up(&facts())),
        to(MailKind::ReviewUpdate, "the applicant")
    );
    assert_eq!(
        mail(&road.time_is_up(&facts())),
        to(MailKind::ReviewOverdue, "the supervisor")
    );
    assert_eq!(road.now, begun + Duration::hours(24));
    assert_eq!(
        mail(&road.time_is_up(&facts())),
        to(MailKind::ReviewOverdue, "the supervisor")
    );
    assert_eq!(road.now, begun + Duration::hours(48));
    assert_eq!(road.registration.step, step, "reminders begin no wait");
}

#[test]
fn d11_an_agent_may_reject_which_takes_back_what_a_da_granted() {
    let mut road = Road::granted(2);
    road.time_is_up(&facts());
    let State::Provisioning { grants, .. } = road.registration.state.clone() else {
        panic!("provisioning");
    };
    let decision = road.does(
        &Event::ReviewDecided {
            agent: "smith".to_owned(),
            decision: ReviewDecision::Reject,
            reason: Some("the tool is closed".to_owned()),
        },
        &facts(),
    );
    assert_eq!(
        road.registration.state,
        State::Rejected {
            reason: Some("the tool is closed".to_owned())
        }
    );
    assert_eq!(acts(&decision), [&Effect::EndGrant { grant_id: grants[0] }]);
    assert_eq!(mail(&decision), to(MailKind::Rejected, "the applicant"));
    assert_eq!((decision.entry.actor.as_str(), decision.rests_on_tree), ("smith", true));
    assert_eq!(road.registration.deadline, None);
}

#[test]
fn d11_rejecting_an_appointment_ends_it_and_looks_again_at_who_waits_for_that_da() {
    let mut road = Road::appointed(1);
    let sync = road.pending().remove(0);
    road.does(&refused(&sync), &facts());
    let State::Provisioning { grants, .. } = road.registration.state.clone() else {
        panic!("provisioning");
    };
    let decision = road.does(&reviewed(ReviewDecision::Reject), &facts());
    let newbie = account_id("newbie");
    assert_eq!(
        acts(&decision),
        [
            &Effect::EndAppointment {
                account_id: newbie.clone(),
                organization_id: organization_id("root"),
            },
            &Effect::RecheckDa(newbie),
            &Effect::EndGrant { grant_id: grants[0] },
            &Effect::EndGrant { grant_id: grants[1] },
        ]
    );
    assert!(gives(&decision).is_empty());
    // What targets answer afterwards is about nothing.
    assert_eq!(road.decide(&confirmed(&sync), &facts()), Decided::Ignored);
    assert_eq!(road.decide(&refused(&sync), &facts()), Decided::Ignored);
}

#[test]
fn d11_an_agent_may_do_nothing_else_and_only_once_there_is_a_case() {
    let mut road = Road::granted(1);
    road.companies = vec![];
    let reject = reviewed(ReviewDecision::Reject);
    let refusal = road.refused(&reject, &facts());
    assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "wrong_state"));
    road.time_is_up(&facts());
    for event in [appoint("root"), route_to("root"), question()] {
        let refusal = road.refused(&event, &facts());
        assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "only_reject"));
        assert_eq!(refusal.detail["state"], "provisioning");
    }
    // What is taken back rests on what is there now.
    let decided = decide(&road.registration, &reject, &Facts::default(), road.now, &road.rules);
    assert_eq!(decided, Decided::NeedsPresentFacts);
}
