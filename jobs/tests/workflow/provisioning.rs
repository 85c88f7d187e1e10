//! Access that is brought to targets: being set up, overdue, refused, and taken back (R37–R40, D11).

mod overdue;

use chrono::{DateTime, Duration, Utc};
use enrolld_jobs::{
    decide::{Decided, Decision},
    effect::{Effect, MailKind, effect_id, sync_id},
    event::{Aside, Event, Present, Synced},
    job::JobKind,
    registration::{PendingSync, ProvisioningCase, ReviewReason, State, StateName},
    view::RegistrationSummary,
};
use uuid::Uuid;

use crate::road::{Road, account_id, da, good, grant, mail, mails, organization_id, rules_with, wakes};

fn to(kind: MailKind, whom: &str) -> (MailKind, String) {
    (kind, whom.to_owned())
}

/// With provisioning, decisions need no facts but the agent's.
fn facts() -> Present {
    good(vec![])
}

fn confirmed(sync: &PendingSync) -> Event {
    synced(sync, Synced::Confirmed)
}

fn refused(sync: &PendingSync) -> Event {
    synced(sync, Synced::Refused { status: 422 })
}

fn synced(sync: &PendingSync, outcome: Synced) -> Event {
    Event::Synced {
        grant_id: sync.grant_id,
        target: sync.target.clone(),
        outcome,
    }
}

fn open_case(road: &Road) -> Option<ProvisioningCase> {
    let State::Provisioning { case, .. } = &road.registration.state else {
        panic!("nothing is set up in {:?}", road.state());
    };
    *case
}

fn reason(road: &Road) -> Option<ReviewReason> {
    open_case(road).map(|case| case.reason)
}

/// Everything that is pending is confirmed; the last decision.
fn all_confirmed(road: &mut Road) -> Decision {
    let mut last = None;
    for sync in road.pending() {
        last = Some(road.does(&confirmed(&sync), &facts()));
    }
    last.expect("something was pending")
}

/// The grants of a decision, by id.
fn grants(decision: &Decision) -> Vec<Uuid> {
    let registration = &decision.registration;
    let effects = decision.effects.iter().enumerate();
    let grants = effects.filter(|(_, effect)| matches!(effect, Effect::Grant { .. }));
    grants
        .map(|(index, _)| effect_id(&registration.id, registration.version, index))
        .collect()
}

fn overdue_at(road: &Road) -> DateTime<Utc> {
    road.registration.since + Duration::hours(24)
}

#[test]
fn d11_without_targets_access_is_there_as_soon_as_it_is_granted() {
    assert_eq!(Road::granted(0).state(), StateName::Active);
    assert_eq!(Road::appointed(0).state(), StateName::Active);
}

#[test]
fn r38_a_grant_is_set_up_at_every_target_before_it_is_active() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    road.rules = rules_with(2);
    let decision = road.does(&grant("boss"), &present);
    assert_eq!(road.state(), StateName::Provisioning);
    let granted = grants(&decision);
    assert_eq!(granted.len(), 1);
    let expected: Vec<_> = ["portal", "reports"]
        .map(|target| PendingSync {
            grant_id: granted[0],
            target: target.to_owned(),
            refused: false,
        })
        .to_vec();
    assert_eq!(road.pending(), expected);
    assert_eq!(reason(&road), None);
    assert_eq!(mails(&decision), [], "mails about access go out when it is active");
    assert_eq!(
        wakes(&decision),
        [(JobKind::ManualReview, road.now + Duration::hours(24))]
    );
}

#[test]
fn d11_an_appointment_makes_two_grants_for_each_target() {
    let road = Road::appointed(2);
    assert_eq!(road.state(), StateName::Provisioning);
    let pending = road.pending();
    assert_eq!(pending.len(), 4);
    let State::Provisioning {
        grants, by, granted, ..
    } = &road.registration.state
    else {
        panic!("not provisioning");
    };
    assert_eq!(grants.len(), 2);
    assert_eq!((by.as_ref(), granted.appointed), (None, true));
    for grant in grants {
        assert_eq!(pending.iter().filter(|sync| sync.grant_id == *grant).count(), 2);
    }
}

#[test]
fn r39_the_applicant_sees_that_the_account_is_being_set_up() {
    let road = Road::granted(1);
    let view = RegistrationSummary::new(&road.registration);
    assert_eq!(view.title, "Your account is being set up");
    assert_eq!(view.organization_id, Some(organization_id("site")));
    assert!(view.role.is_some() && view.allowed.is_empty());
    assert_eq!(view.deadline, Some(overdue_at(&road)));
    assert_eq!(view.review_reason, None);
}

#[test]
fn d11_what_is_confirmed_in_part_is_progress_and_no_new_wait() {
    let mut road = Road::granted(2);
    let step = road.registration.step;
    let deadline = road.deadline();
    let [first, second] = &road.pending()[..] else {
        panic!("two targets");
    };
    let decision = road.after(Duration::minutes(1)).does(&confirmed(first), &facts());
    assert_eq!(decision.entry.event, "registration.provisioned");
    assert_eq!(decision.entry.actor, "enrolld");
    assert_eq!(decision.entry.detail["target"], "portal");
    assert_eq!(road.pending(), std::slice::from_ref(second));
    assert_eq!((road.registration.step, road.deadline()), (step, deadline));
    assert_eq!(decision.effects, []);
    // A second time it is old news.
    assert_eq!(road.decide(&confirmed(first), &facts()), Decided::Ignored);
}

#[test]
fn r37_a_grant_is_mailed_to_the_applicant_when_it_is_active() {
    let mut road = Road::granted(2);
    let decision = all_confirmed(&mut road);
    assert_eq!(road.state(), StateName::Active);
    assert_eq!(mail(&decision), to(MailKind::AccessApproved, "the applicant"));
    let Some(Effect::Mail(mail)) = decision.effects.first() else {
        panic!("a mail");
    };
    assert_eq!(mail.about, Some(account_id("boss")));
    assert_eq!(road.registration.deadline, None);
}

#[test]
fn r66_the_three_mails_go_out_when_an_appointment_is_active() {
    let mut road = Road::appointed(1);
    let decision = all_confirmed(&mut road);
    assert_eq!(
        mails(&decision),
        [
            to(MailKind::Welcome, "the applicant"),
            to(MailKind::CustomerAdministrator, "the applicant"),
            to(MailKind::DaTerms, "the applicant"),
        ]
    );
}

#[test]
fn a_decision_by_link_is_receipted_at_once_though_access_is_not_there() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    road.rules = rules_with(1);
    let Event::DaDecided { by, decision, .. } = grant("boss") else {
        panic!("a decision");
    };
    let by_link = Event::DaDecided {
        by,
        decision,
        reason: None,
        via_link: true,
    };
    let decision = road.does(&by_link, &present);
    assert_eq!(mail(&decision), to(MailKind::DecisionReceipt, "boss"));
    assert_eq!(decision.entry.detail["via"], "link");
    assert_eq!(road.pending().len(), 1);
}

#[test]
fn d11_an_answer_about_another_grant_or_target_changes_nothing() {
    let road = Road::granted(1);
    let sync = road.pending().remove(0);
    let other_target = PendingSync {
        target: "reports".to_owned(),
        ..sync.clone()
    };
    let other_grant = PendingSync {
        grant_id: Uuid::from_u128(1),
        ..sync
    };
    for sync in [other_target, other_grant] {
        for event in [confirmed(&sync), refused(&sync)] {
            assert_eq!(road.decide(&event, &facts()), Decided::Ignored);
        }
    }
}

#[test]
fn d11_a_final_refusal_goes_to_the_agents_at_once() {
    let mut road = Road::granted(2);
    road.after(Duration::hours(1));
    let sync = road.pending().remove(0);
    let decision = road.does(&refused(&sync), &facts());
    assert_eq!(reason(&road), Some(ReviewReason::ProvisioningFailed));
    assert_eq!(decision.entry.event, "registration.provisioning_refused");
    assert_eq!(decision.entry.detail["status"], 422);
    assert_eq!(decision.entry.detail["review_reason"], "provisioning_failed");
    assert_eq!(mail(&decision), to(MailKind::ReviewCase, "the agents"));
    assert_eq!(
        wakes(&decision),
        [(JobKind::ManualReview, road.now + Duration::minutes(24 * 54))],
        "90 % of the agents' time"
    );
    let view = RegistrationSummary::new(&road.registration);
    assert_eq!(view.review_reason, Some(ReviewReason::ProvisioningFailed));
    assert_eq!(view.allowed, ["registration.review_decided"]);
    // The other target goes on; the case stays as it is.
    let case = open_case(&road);
    let pending = road.pending();
    assert_eq!((pending[0].refused, pending[1].refused), (true, false));
    let decision = road.does(&confirmed(&pending[1]), &facts());
    assert_eq!((open_case(&road), decision.effects.len()), (case, 0));
    // Refused again after it was queued again: no other case.
    let decision = road.does(&refused(&pending[0]), &facts());
    assert_eq!((open_case(&road), decision.effects.len()), (case, 0));
}

#[test]
fn d11_what_was_refused_and_is_there_after_all_closes_the_case() {
    let mut road = Road::granted(2);
    let begun = road.deadline();
    let sync = road.pending().remove(0);
    road.after(Duration::hours(1)).does(&refused(&sync), &facts());
    let step = road.registration.step;
    let decision = road.after(Duration::hours(1)).does(&confirmed(&sync), &facts());
    assert_eq!(reason(&road), None);
    assert_eq!(road.registration.review_reason(), None);
    assert_eq!(mails(&decision), []);
    // The clock of the case belongs to another wait (D23), and access is overdue when it ever was.
    assert!(road.registration.step > step);
    assert_eq!(wakes(&decision), [(JobKind::ManualReview, begun)]);
    assert_eq!(all_confirmed(&mut road).registration.state.name(), StateName::Active);
}

#[test]
fn d11_two_refusals_are_one_case_until_both_are_there() {
    let mut road = Road::granted(2);
    let pending = road.pending();
    road.does(&refused(&pending[0]), &facts());
    let case = open_case(&road);
    assert_eq!(mails(&road.does(&refused(&pending[1]), &facts())), []);
    road.does(&confirmed(&pending[0]), &facts());
    assert_eq!(open_case(&road), case);
    road.does(&confirmed(&pending[1]), &facts());
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn r38_nothing_else_is_allowed_while_access_is_being_set_up() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::granted(1);
    road.time_is_up(&present);
    for event in [Event::GIVEN_UP, Event::Confirmed, grant("boss"), Event::ResendRequested] {
        let refusal = road.refused(&event, &present);
        assert_eq!(refusal.code(), "wrong_state", "{event:?}");
        assert_eq!(
            refusal.detail["allowed"],
            serde_json::json!(["registration.review_decided"])
        );
    }
    let step = road.registration.step;
    for event in [
        Event::Verify { step },
        Event::Route { step },
        Event::Recheck,
        Event::Undeliverable { step },
    ] {
        assert_eq!(road.decide(&event, &present), Decided::Ignored, "{event:?}");
    }
}

#[test]
fn d22_a_dead_sync_that_succeeds_after_all_is_dead_no_more() {
    let mut road = Road::granted(1);
    let sync = road.pending().remove(0);
    let job = sync_id(sync.grant_id, &sync.target);
    let died = Aside::JobDied {
        job,
        kind: JobKind::ProvisioningSync,
        class: "target_unknown".to_owned(),
    };
    road.does(&Event::Aside(died), &facts());
    assert_eq!(road.registration.review_reason(), Some(ReviewReason::ProcessingFailed));
    road.does(&confirmed(&sync), &facts());
    assert_eq!(
        (road.state(), road.registration.review_reason()),
        (StateName::Active, None)
    );
}

#[test]
fn r58_what_a_da_takes_back_while_it_is_set_up_ends_the_request() {
    let taken_back = |sync: &PendingSync| {
        let by = account_id("boss");
        synced(sync, Synced::TakenBack { by })
    };
    // One grant at two targets: as soon as one has it no more, nobody waits for the other.
    let mut road = Road::granted(2);
    let pending = road.pending();
    let decision = road.does(&taken_back(&pending[0]), &facts());
    assert_eq!(road.state(), StateName::Denied);
    assert_eq!(mail(&decision), to(MailKind::AccessDenied, "the applicant"));
    assert_eq!(wakes(&decision), []);
    let answer = road.decide(&taken_back(&pending[1]), &facts());
    assert_eq!(answer, Decided::Ignored);

    // Two grants of an appointment: it ends with the last.
    let mut road = Road::appointed(1);
    let pending = road.pending();
    road.does(&taken_back(&pending[0]), &facts());
    assert_eq!(road.state(), StateName::Provisioning);
    assert_eq!(road.pending().len(), 1);
    road.does(&taken_back(&pending[1]), &facts());
    assert_eq!(road.state(), StateName::Denied);
}
