//! Becoming the DA: the choice of an organization, and what follows the verified address.

use enrolld_jobs::{
    effect::{Effect, MailKind},
    event::Event,
    job::JobKind,
    refusal::Reason,
    registration::{FieldErrorCode, ReviewReason, State, StateName},
    values::{Access, Role},
    view::RegistrationView,
};

use crate::road::{
    Road, account_id, acts, da, good, good_but, mails, organization, organization_id, selected, with_email,
};

#[test]
fn r41_without_da_the_applicant_selects_root_first() {
    let road = Road::routed(&good(vec![]));
    assert_eq!(road.state(), StateName::AwaitingOrganization);
    let view = RegistrationView::new(&road.registration, vec![]);
    let offered: Vec<_> = view.organizations.iter().map(|o| o.id.as_str()).collect();
    assert_eq!(offered, ["root", "site"]);
}

#[test]
fn r51_a_choice_sends_the_verification_mail() {
    let present = good(vec![]);
    let mut road = Road::routed(&present);
    let decision = road.does(&selected("site"), &present);
    assert_eq!(road.state(), StateName::AwaitingEmail);
    assert!(matches!(decision.effects[0], Effect::IssueLink { .. }));
    assert_eq!(mails(&decision), [(MailKind::Verification, "the applicant".to_owned())]);
    assert_eq!(road.registration.selected, Some(organization_id("site")));
}

#[test]
fn r41_what_is_not_offered_cannot_be_selected() {
    let present = good(vec![]);
    let road = Road::routed(&present);
    let refusal = road.refused(&selected("elsewhere"), &present);
    assert_eq!(
        (refusal.reason, refusal.code()),
        (Reason::InvalidData, "organization_not_offered")
    );
    assert_eq!(refusal.detail["offered"], serde_json::json!(["root", "site"]));
}

#[test]
fn r44_none_of_the_above_goes_to_an_agent() {
    let present = good(vec![]);
    let from_choice = Road::routed(&present);
    for mut road in [from_choice, Road::awaiting_email()] {
        let decision = road.does(&Event::OrganizationSelected(None), &present);
        assert_eq!(road.review_reason(), ReviewReason::NoneOfTheAbove);
        assert_eq!(mails(&decision), [(MailKind::ReviewCase, "the agents".to_owned())]);
        assert_eq!(road.registration.selected, None);
    }
}

#[test]
fn r41_another_choice_while_the_mail_is_out_keeps_the_link() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    let (link, step) = (road.link(), road.registration.step);
    let decision = road.does(&selected("site"), &present);
    assert_eq!(decision.effects, []);
    assert_eq!((road.link(), road.registration.step), (link, step));
    road.does(&road.link_used(), &present);
    let State::Active { granted } = &road.registration.state else {
        panic!("not active");
    };
    assert_eq!(granted.organization_id, organization_id("site"));
}

#[test]
fn r56_the_used_link_appoints_with_customer_administrator_and_three_mails() {
    let mut road = Road::awaiting_email();
    let decision = road.does(&road.link_used(), &good(vec![]));
    assert!(
        decision.rests_on_tree,
        "D5: who is first is decided for the whole company"
    );
    let (account_id, organization_id) = (account_id("newbie"), organization_id("root"));
    let grant = |access| Effect::Grant {
        account_id: account_id.clone(),
        organization_id: organization_id.clone(),
        access,
    };
    assert_eq!(
        decision.effects[..3],
        [
            Effect::Appoint {
                account_id: account_id.clone(),
                organization_id: organization_id.clone()
            },
            grant(Access::Role(Role::CustomerAdministrator)),
            grant(Access::DelegatedAdministrator),
        ]
    );
    let kinds: Vec<_> = mails(&decision).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [MailKind::Welcome, MailKind::CustomerAdministrator, MailKind::DaTerms]
    );
    let view = RegistrationView::new(&road.registration, vec![]);
    assert_eq!(view.summary.title, "You are now a Delegated Administrator");
    assert_eq!(view.summary.role, Some(Role::CustomerAdministrator));
}

#[test]
fn d5_who_completes_second_is_rerouted_to_the_first() {
    let mut road = Road::awaiting_email();
    let decision = road.does(
        &road.link_used(),
        &good(vec![da("faster", "root"), da("second", "site")]),
    );
    assert_eq!(road.state(), StateName::AwaitingDa);
    assert!(decision.rests_on_tree);
    assert_eq!(
        mails(&decision),
        [
            (MailKind::Rerouted, "the applicant".to_owned()),
            (MailKind::AccessRequest, "faster".to_owned()),
            (MailKind::AccessRequestNotice, "second".to_owned()),
        ]
    );
}

#[test]
fn d5_a_da_below_the_selected_organization_does_not_cover_it() {
    let mut road = Road::awaiting_email();
    road.does(&road.link_used(), &good(vec![da("local", "site")]));
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d5_rerouting_to_nobody_who_can_be_reached_goes_to_an_agent() {
    let mut road = Road::awaiting_email();
    let mut faster = da("faster", "root");
    faster.reachable = false;
    road.does(&road.link_used(), &good(vec![faster]));
    assert_eq!(road.review_reason(), ReviewReason::NoReachableDa);
}

#[test]
fn d9_a_signal_sends_it_to_an_agent_after_the_address_is_verified() {
    let flagged_account = good_but(vec![], |p| p.applicant.account.as_mut().unwrap().flagged = true);
    let flagged_contract = good_but(vec![], |p| p.applicant.contract.as_mut().unwrap().flagged = true);
    let other_domain = good_but(vec![], |p| {
        p.site.as_mut().unwrap().chain[0].email_domains = vec!["acme.com".to_owned()];
    });
    for present in [flagged_account, flagged_contract, other_domain] {
        let mut road = Road::awaiting_email();
        let decision = road.does(&road.link_used(), &present);
        assert_eq!(road.review_reason(), ReviewReason::AdditionalAssessment);
        assert!(road.registration.verified_email.is_some());
        assert_eq!(mails(&decision), [(MailKind::ReviewCase, "the agents".to_owned())]);
    }
}

#[test]
fn d9_a_known_domain_of_the_selected_organization_is_no_signal() {
    let present = good_but(vec![], |p| {
        let chain = &mut p.site.as_mut().unwrap().chain;
        chain[0].email_domains = vec!["acme.com".to_owned(), "ACME.example".to_owned()];
        chain[1].email_domains = vec!["site.example".to_owned()];
    });
    let mut road = Road::awaiting_email();
    road.does(&road.link_used(), &present);
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d21_an_appointment_is_verified_once_more() {
    let mut road = Road::awaiting_email();
    let uncovered = good_but(vec![], |present| present.applicant.covered = false);
    let decision = road.does(&road.link_used(), &uncovered);
    assert_eq!(road.field_errors(), [FieldErrorCode::SerialNotCovered]);
    assert_eq!(
        mails(&decision),
        [(MailKind::CorrectionNeeded, "the applicant".to_owned())]
    );
    assert!(acts(&decision).is_empty(), "nobody is appointed");
}

#[test]
fn d21_a_changed_address_voids_the_link_and_asks_for_a_new_one() {
    let mut road = Road::awaiting_email();
    let old = road.link_used();
    let changed = with_email(Some("other@acme.example"));
    let decision = road.does(&old, &changed);
    assert_eq!(road.state(), StateName::AwaitingEmail);
    assert_eq!(mails(&decision), [(MailKind::Verification, "the applicant".to_owned())]);
    assert_eq!(road.registration.verified_email, None);
    assert_eq!(road.refused(&old, &changed).code(), "replaced_token");
    road.does(&road.link_used(), &changed);
    let verified = road.registration.verified_email.expect("an address");
    assert_eq!(verified.address.expose(), "other@acme.example");
}

#[test]
fn d21_a_contract_that_moved_offers_the_organizations_of_where_it_is_now() {
    let mut road = Road::awaiting_email();
    let moved = good_but(vec![], |present| {
        present.site.as_mut().unwrap().chain = vec![organization("other-root", None)];
    });
    let decision = road.does(&road.link_used(), &moved);
    assert_eq!(road.state(), StateName::Routing);
    assert_eq!(decision.effects, [Effect::Run(JobKind::DaRouting)]);
    assert_eq!(road.registration.selected, None);
}
