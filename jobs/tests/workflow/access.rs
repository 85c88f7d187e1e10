//! What access is given, where it holds, and who is told.

use std::sync::Arc;

use enrolld_jobs::{
    cloud_event::parse,
    decide::Decision,
    delegation::{Action, DelegationFacts, Request, delegate},
    directory::SiteFacts,
    effect::{AlertCode, DelegationChange, Effect, MailKind, sync_id},
    event::{Event, Synced},
    registration::{State, StateName},
    rules::Rules,
    values::{Access, Role},
};

use crate::road::{
    Road, account, account_id, appoint, da, good, grant, mails, organization, organization_id, selected,
};

/// What a decision grants, and where.
fn granted(decision: &Decision) -> Vec<(Access, &str)> {
    let grants = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Grant {
            access,
            organization_id,
            ..
        } => Some((*access, organization_id.as_str())),
        _ => None,
    });
    grants.collect()
}

/// Appointed for the organization that they selected.
fn appointed_for(organization: &str) -> Decision {
    let present = good(vec![]);
    let mut road = Road::routed(&present);
    road.does(&selected(organization), &present);
    let decision = road.does(&road.link_used(), &present);
    assert_eq!(road.state(), StateName::Active);
    decision
}

#[test]
fn r3_every_access_has_a_role() {
    // A DA cannot grant without one.
    let decided = |role: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"e-1","source":"/portal","type":"registration.da_decided","subject":"reg-1",
            "data":{{"da_account_id":"boss","decision":"grant"{role}}}}}"#
        )
    };
    let refusal = parse(decided("").as_bytes()).expect_err("a grant without role");
    assert_eq!(refusal.code(), "invalid_data");
    parse(decided(r#","role":"customer_user""#).as_bytes()).expect("a grant with its role");
    // Whoever becomes DA has one besides.
    let role = |access: &Access| matches!(access, Access::Role(_));
    assert!(granted(&appointed_for("root")).iter().any(|(access, _)| role(access)));
    // And so has whoever a DA associates with the company, without saying which.
    let request = Request {
        account_id: account_id("newbie"),
        organization_id: organization_id("root"),
        by: account_id("boss"),
        action: Action::Change(DelegationChange::UserAssociated),
        event: "delegation.user_associated",
    };
    let facts = DelegationFacts {
        account: Some(account("newbie")),
        site: Some(SiteFacts {
            chain: vec![organization("root", None)],
            administrators: vec![da("boss", "root")],
        }),
        ..DelegationFacts::default()
    };
    let effects = delegate(&request, &facts).expect("the DA may");
    let given = Effect::Grant {
        account_id: account_id("newbie"),
        organization_id: organization_id("root"),
        access: Access::Role(Role::CustomerUser),
    };
    assert_eq!(effects.first(), Some(&given));
}

#[test]
fn r42_the_first_entry_is_the_whole_organization_and_a_site_is_its_own() {
    for selected in ["root", "site"] {
        let decision = appointed_for(selected);
        let places: Vec<_> = granted(&decision).into_iter().map(|(_, place)| place).collect();
        assert_eq!(places, [selected, selected]);
    }
    // Who took the first decides at the site; who took the site does not at the first.
    let of_site = good(vec![da("first", "root"), da("local", "site")])
        .site
        .expect("a site");
    let covers = |of: &str| -> Vec<String> {
        let das = of_site.administrators_of(&organization_id(of));
        das.iter().map(|da| da.account_id.to_string()).collect()
    };
    assert_eq!(
        (covers("site"), covers("root")),
        (vec!["first".to_owned(), "local".to_owned()], vec!["first".to_owned()])
    );
}

#[test]
fn d20_a_grant_holds_for_the_site_and_an_appointment_for_what_was_chosen() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    let decision = road.does(&grant("boss"), &present);
    // Not where the DA was appointed.
    assert_eq!(granted(&decision), [(Access::Role(Role::CustomerUser), "site")]);

    let both = |of| {
        [
            (Access::Role(Role::CustomerAdministrator), of),
            (Access::DelegatedAdministrator, of),
        ]
    };
    assert_eq!(granted(&appointed_for("root")), both("root"));
    assert_eq!(granted(&appointed_for("site")), both("site"));

    // What the agent chose counts, whatever the applicant had selected.
    let mut road = Road::in_review();
    road.does(&appoint("site"), &good(vec![]));
    let decision = road.does(&road.link_used(), &good(vec![]));
    assert_eq!(granted(&decision), both("site"));
}

#[test]
fn d22_what_a_target_refuses_is_told_to_ops_besides_the_agents() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    road.rules = Arc::new(Rules {
        targets: vec!["tool".to_owned()],
        ..Rules::default()
    });
    road.does(&grant("boss"), &present);
    let State::Provisioning { grants, .. } = &road.registration.state else {
        panic!("{:?}", road.state());
    };
    let grant_id = grants[0];
    let refused = Event::Synced {
        grant_id,
        target: "tool".to_owned(),
        outcome: Synced::Refused { status: 422 },
    };
    let decision = road.does(&refused, &present);
    assert_eq!(mails(&decision), [(MailKind::ReviewCase, "the agents".to_owned())]);
    let alerts: Vec<_> = decision
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Alert(alert) => Some((alert.code, alert.job)),
            _ => None,
        })
        .collect();
    assert_eq!(alerts, [(AlertCode::JobDead, Some(sync_id(grant_id, "tool")))]);
    // Whoever queues it again looks at it.
    assert_eq!(road.does(&refused, &present).effects, []);
}

#[test]
fn r66_a_new_da_gets_three_mails_automated_or_assisted() {
    let automated = appointed_for("root");
    let mut road = Road::in_review();
    road.does(&appoint("root"), &good(vec![]));
    let assisted = road.does(&road.link_used(), &good(vec![]));
    for decision in [automated, assisted] {
        let applicant = || "the applicant".to_owned();
        assert_eq!(
            mails(&decision),
            [
                (MailKind::Welcome, applicant()),
                (MailKind::CustomerAdministrator, applicant()),
                (MailKind::DaTerms, applicant()),
            ]
        );
    }
}
