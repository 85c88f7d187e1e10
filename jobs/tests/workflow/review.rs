//! An agent's case: when it comes to one, and what they decide (D9, D10).

use chrono::Duration;
use enrolld_jobs::{
    cloud_event::ReviewDecision,
    decide::{Decided, decide},
    effect::{Effect, MailKind},
    event::{Event, Facts, Present},
    job::JobKind,
    refusal::Reason,
    registration::{FieldErrorCode, ReviewReason, State, StateName},
    values::{Access, Role},
};

use crate::road::{
    Road, account_id, acts, appoint, company, da, gives, good, good_but, grant, mail, mails, organization_id, question,
    reviewed, route_to, selected, wakes,
};

fn to(kind: MailKind, whom: &str) -> (MailKind, String) {
    (kind, whom.to_owned())
}

const REJECT: ReviewDecision = ReviewDecision::Reject;

/// Facts without DA, with a signal that asks for assessment (D9).
fn flagged() -> Present {
    let mut present = good(vec![]);
    present.applicant.account.as_mut().expect("a profile").flagged = true;
    present
}

/// In review by a signal, with the address proved.
fn assessed_with_proof() -> Road {
    let flagged = flagged();
    let mut road = Road::awaiting_email();
    road.does(&road.link_used(), &flagged);
    assert_eq!(road.review_reason(), ReviewReason::AdditionalAssessment);
    road
}

#[test]
fn d9_failed_attempts_are_noted_and_too_many_go_to_an_agent() {
    let wrong = good_but(vec![], |present| present.applicant.covered = false);
    let mut road = Road::submitted();
    let failed = Effect::NoteFailedAttempt(account_id("newbie"));
    assert!(road.verify(&wrong).effects.contains(&failed));
    assert!(!Road::submitted().verify(&good(vec![])).effects.contains(&failed));

    let with = |failed_attempts| good_but(vec![], |present| present.failed_attempts = failed_attempts);
    let mut road = Road::awaiting_email();
    road.does(&road.link_used(), &with(11));
    assert_eq!(road.review_reason(), ReviewReason::AdditionalAssessment);
    let mut road = Road::awaiting_email();
    road.does(&road.link_used(), &with(10));
    assert_eq!(road.state(), StateName::Active, "more than 10, not 10");
}

#[test]
fn d10_appointing_with_a_verified_address_appoints() {
    let flagged = flagged();
    let mut road = assessed_with_proof();
    let decision = road.does(&appoint("site"), &flagged);
    assert_eq!(road.state(), StateName::Active);
    assert!(decision.rests_on_tree);
    assert_eq!(decision.entry.actor, "smith");
    let (account_id, organization_id) = (account_id("newbie"), organization_id("site"));
    let grant = |access| Effect::Grant {
        account_id: account_id.clone(),
        organization_id: organization_id.clone(),
        access,
    };
    assert_eq!(
        gives(&decision),
        [
            &Effect::Appoint {
                account_id: account_id.clone(),
                organization_id: organization_id.clone()
            },
            &grant(Access::Role(Role::CustomerAdministrator)),
            &grant(Access::DelegatedAdministrator),
        ]
    );
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
fn d10_without_a_verified_address_the_mail_goes_out_first_and_the_link_appoints() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.companies = vec![company("newco", vec![])];
    let decision = road.does(&appoint("newco"), &present);
    assert_eq!(road.state(), StateName::AwaitingEmail);
    assert_eq!(mail(&decision), to(MailKind::Verification, "the applicant"));
    assert!(gives(&decision).is_empty());
    assert_eq!(wakes(&decision)[0].0, JobKind::ApplicantIdle);
    // The agent has looked: a signal asks for nothing more (D9). The organization is not of the contract's tree.
    let flagged = flagged();
    let decision = road.does(&road.link_used(), &flagged);
    let State::Active { granted } = &road.registration.state else {
        panic!("not active: {:?}", road.state());
    };
    assert_eq!((granted.organization_id.as_str(), granted.appointed), ("newco", true));
    assert_eq!(gives(&decision).len(), 3);
}

#[test]
fn d10_an_address_that_changed_since_is_verified_anew() {
    let changed = good_but(vec![], |present| {
        present.applicant.account.as_mut().unwrap().email = Some("other@acme.example".to_owned());
    });
    let mut road = assessed_with_proof();
    let decision = road.does(&appoint("root"), &changed);
    assert_eq!(road.state(), StateName::AwaitingEmail);
    assert!(gives(&decision).is_empty());
    road.does(&road.link_used(), &changed);
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d9_another_choice_than_the_agents_is_assessed_again() {
    let flagged = flagged();
    let mut road = Road::in_review();
    road.does(&appoint("site"), &flagged);
    let mut same = road.clone();
    same.does(&selected("site"), &flagged);
    same.does(&same.link_used(), &flagged);
    assert_eq!(same.state(), StateName::Active);
    road.does(&selected("root"), &flagged);
    let decision = road.does(&road.link_used(), &flagged);
    assert_eq!(road.review_reason(), ReviewReason::AdditionalAssessment);
    assert!(
        gives(&decision).is_empty(),
        "the agent did not choose the whole company"
    );
}

#[test]
fn d5_an_agents_appointment_is_rerouted_to_a_da_who_was_first() {
    let present = good(vec![da("faster", "root")]);
    let mut road = assessed_with_proof();
    let decision = road.does(&appoint("root"), &present);
    assert_eq!(road.asked(), ["faster"]);
    assert!(gives(&decision).is_empty() && decision.rests_on_tree);
    assert_eq!(mails(&decision)[0], to(MailKind::Rerouted, "the applicant"));
    road.does(&grant("faster"), &present);
    let State::Active { granted } = &road.registration.state else {
        panic!("not active");
    };
    assert_eq!(
        granted.organization_id,
        organization_id("site"),
        "D20: the contract's site"
    );
}

#[test]
fn d5_rerouted_within_another_company_its_das_are_those_who_decide() {
    let own = good(vec![]);
    let newco = company("newco", vec![da("faster", "newco"), da("other", "newco")]);
    let mut proved = assessed_with_proof();
    proved.companies = vec![newco.clone()];
    let mut to_prove = Road::in_review();
    to_prove.companies = vec![company("newco", vec![])];
    to_prove.does(&appoint("newco"), &own);
    to_prove.companies = vec![newco.clone()];
    let used = to_prove.link_used();
    for (mut road, event) in [(proved, appoint("newco")), (to_prove, used)] {
        let decision = road.does(&event, &own);
        assert_eq!(road.asked(), ["faster"]);
        assert_eq!(
            mails(&decision),
            [
                to(MailKind::Rerouted, "the applicant"),
                to(MailKind::AccessRequest, "faster"),
                to(MailKind::AccessRequestNotice, "other"),
            ]
        );
        // The facts are those of the organization that counts as the site (D3, D20).
        assert_eq!(road.registration.routed_to, Some(organization_id("newco")));
        let present = Present {
            site: Some(newco.clone()),
            ..own.clone()
        };
        assert_eq!(road.decide(&Event::Recheck, &present), Decided::Ignored);
        road.does(&grant("faster"), &present);
        assert_eq!(road.state(), StateName::Active);
    }
}

#[test]
fn d21_an_agents_appointment_is_verified_once_more() {
    let uncovered = good_but(vec![], |present| present.applicant.covered = false);
    let mut road = assessed_with_proof();
    let decision = road.does(&appoint("root"), &uncovered);
    assert_eq!(road.field_errors(), [FieldErrorCode::SerialNotCovered]);
    assert_eq!(mail(&decision), to(MailKind::CorrectionNeeded, "the applicant"));
    assert!(acts(&decision).is_empty(), "nobody is appointed");
}

#[test]
fn d10_an_organization_that_is_unknown_is_refused() {
    let present = good(vec![]);
    let road = Road::in_review();
    for event in [appoint("nowhere"), route_to("nowhere")] {
        let refusal = road.refused(&event, &present);
        assert_eq!(
            (refusal.reason, refusal.code()),
            (Reason::InvalidData, "organization_unknown")
        );
        assert_eq!(refusal.detail["organization_id"], "nowhere");
    }
}

#[test]
fn d10_an_organization_that_is_gone_when_the_link_is_used_goes_back_to_the_agent() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    road.companies = vec![company("newco", vec![])];
    road.does(&appoint("newco"), &present);
    road.companies.clear();
    let decision = road.does(&road.link_used(), &present);
    assert_eq!(road.review_reason(), ReviewReason::AdditionalAssessment);
    assert!(gives(&decision).is_empty());
}

#[test]
fn d10_routing_asks_the_das_of_another_organization_which_counts_as_the_site() {
    let own = good(vec![]);
    let newco = company("newco", vec![da("chief", "newco"), da("deputy", "newco")]);
    let mut road = Road::in_review();
    road.companies = vec![newco.clone()];
    let decision = road.does(&route_to("newco"), &own);
    assert_eq!(road.asked(), ["chief"]);
    assert_eq!(
        mails(&decision),
        [
            to(MailKind::AccessRequest, "chief"),
            to(MailKind::AccessRequestNotice, "deputy"),
        ]
    );
    assert_eq!(road.registration.routed_to, Some(organization_id("newco")));
    assert_eq!(road.deadline(), road.now + Duration::hours(24));
    // D3: who may decide follows from the facts of that organization; D20: so does where the grant holds.
    let present = Present {
        site: Some(newco),
        ..own
    };
    assert_eq!(road.refused(&grant("boss"), &present).reason, Reason::NotEntitled);
    let decision = road.does(&grant("deputy"), &present);
    let expected = Effect::Grant {
        account_id: account_id("newbie"),
        organization_id: organization_id("newco"),
        access: Access::Role(Role::CustomerUser),
    };
    assert_eq!(gives(&decision), [&expected]);
}

#[test]
fn d10_routing_to_nobody_who_can_be_reached_is_refused() {
    let present = good(vec![]);
    let mut road = Road::in_review();
    let mut mute = da("mute", "mute");
    mute.reachable = false;
    road.companies = vec![
        company("empty", vec![]),
        company("mute", vec![mute]),
        company("own", vec![da("newbie", "own")]),
    ];
    for organization in ["empty", "mute", "own"] {
        let refusal = road.refused(&route_to(organization), &present);
        assert_eq!(
            (refusal.reason, refusal.code()),
            (Reason::NotAllowed, "no_reachable_da"),
            "{organization}"
        );
    }
}

#[test]
fn d10_rejecting_ends_it_with_a_mail() {
    let present = good(vec![]);
    let mut asked = Road::in_review();
    asked.does(&question(), &present);
    for mut road in [Road::in_review(), asked] {
        let decision = road.does(
            &Event::ReviewDecided {
                agent: "smith".to_owned(),
                decision: REJECT,
                reason: Some("no such company".to_owned()),
            },
            &present,
        );
        assert_eq!(
            road.registration.state,
            State::Rejected {
                reason: Some("no such company".to_owned())
            }
        );
        assert_eq!(decision.entry.detail["reason"], "no such company");
        assert_eq!(mail(&decision), to(MailKind::Rejected, "the applicant"));
        assert_eq!(road.registration.deadline, None);
        assert!(acts(&decision).is_empty() && wakes(&decision).is_empty());
        let again = road.refused(&reviewed(REJECT), &present);
        assert_eq!((again.reason, again.code()), (Reason::NotAllowed, "wrong_state"));
    }
}

#[test]
fn d10_decisions_ask_for_the_organization_that_they_name() {
    let present = good(vec![]);
    let road = Road::in_review();
    let facts = Facts {
        present: Some(present),
        chosen: None,
    };
    for event in [appoint("root"), route_to("root")] {
        let decided = decide(&road.registration, &event, &facts, road.now, &road.rules);
        assert_eq!(decided, Decided::NeedsOrganization(organization_id("root")));
    }
    let nothing = Facts::default();
    let decided = decide(&road.registration, &appoint("root"), &nothing, road.now, &road.rules);
    assert_eq!(decided, Decided::NeedsPresentFacts);
}
