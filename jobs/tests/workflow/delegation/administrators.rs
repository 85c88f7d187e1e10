//! DAs who are added and removed, and the terms that they accept (R58, R59, D15, D16).

use enrolld_jobs::{
    delegation::CompanyAdministrator,
    delegation::delegate,
    effect::{Delegation, Effect, Mail, MailKind, Recipient},
    values::{Access, Role},
};

use super::{
    ADDED, ADMINISTRATOR, DISASSOCIATED, REMOVED, accepts, appointed, at_site, ends, facts, grant, held, not_allowed,
    not_entitled, refusal, request, site_facts, told,
};
use crate::road::{account_id, organization_id};

#[test]
fn d16_a_da_may_leave_by_themselves() {
    let mut leaves = request(REMOVED);
    leaves.account_id = account_id("boss");
    assert!(delegate(&leaves, &facts(&[("boss", "root"), ("second", "root")])).is_ok());
}

#[test]
fn d16_a_da_is_removed_as_such_before_being_disassociated() {
    let mut facts = facts(&[("boss", "root"), ("user", "site")]);
    facts.is_administrator_below = true;
    facts.held = vec![held(1, "site", ADMINISTRATOR)];
    assert_eq!(
        refusal(&request(DISASSOCIATED), &facts),
        not_allowed("is_administrator")
    );
}

#[test]
fn r58_another_da_is_appointed_with_what_comes_with_it() {
    let effects = delegate(&request(ADDED), &facts(&[("boss", "root")])).expect("effects");
    let appoint = Effect::Appoint {
        account_id: account_id("user"),
        organization_id: organization_id("root"),
    };
    assert_eq!(
        effects,
        [
            appoint.clone(),
            grant("root", ADMINISTRATOR),
            grant("root", Access::DelegatedAdministrator),
            told(MailKind::DelegationChanged, "root", ADDED),
            told(MailKind::DaTerms, "root", ADDED),
        ]
    );
    // R59: who is Customer Administrator there already is not made it again.
    let mut holds = facts(&[("boss", "root")]);
    holds.held = vec![held(1, "root", ADMINISTRATOR)];
    let effects = delegate(&request(ADDED), &holds).expect("effects");
    assert_eq!(effects[..2], [appoint, grant("root", Access::DelegatedAdministrator)]);
}

#[test]
fn r58_who_covers_the_organization_is_its_da_already() {
    for facts in [
        site_facts(&[("boss", "root"), ("user", "site")]),
        site_facts(&[("boss", "root"), ("user", "root")]),
    ] {
        assert_eq!(refusal(&at_site(ADDED), &facts), not_allowed("already_administrator"));
    }
    // A DA of a site may become one of the whole.
    let above = facts(&[("boss", "root"), ("user", "site")]);
    assert!(delegate(&request(ADDED), &above).is_ok());
}

#[test]
fn d16_removing_a_da_takes_what_came_with_it_and_looks_at_who_waits() {
    let mut facts = facts(&[("boss", "root"), ("user", "root"), ("third", "root")]);
    facts.held = vec![
        held(1, "root", ADMINISTRATOR),
        held(2, "root", Access::DelegatedAdministrator),
        held(3, "root", Access::Role(Role::ApiDeveloper)),
        held(4, "site", ADMINISTRATOR),
    ];
    let effects = delegate(&request(REMOVED), &facts).expect("effects");
    assert_eq!(
        effects,
        [
            Effect::EndAppointment {
                account_id: account_id("user"),
                organization_id: organization_id("root"),
            },
            Effect::RecheckDa(account_id("user")),
            ends(1),
            ends(2),
            told(MailKind::DelegationChanged, "root", REMOVED),
        ],
        "with two left nobody is advised"
    );
}

#[test]
fn d16_only_who_was_appointed_there_can_be_removed() {
    let facts = facts(&[("boss", "root"), ("user", "site")]);
    assert_eq!(refusal(&request(REMOVED), &facts), not_allowed("not_administrator"));
}

#[test]
fn d16_the_last_da_of_a_company_stays() {
    let mut last = request(REMOVED);
    last.account_id = account_id("boss");
    assert_eq!(
        refusal(&last, &facts(&[("boss", "root")])),
        not_allowed("last_administrator")
    );
    // Whose account is not in use is no successor.
    let mut idle = facts(&[("boss", "root"), ("idle", "root")]);
    idle.company[1].is_active = false;
    assert_eq!(refusal(&last, &idle), not_allowed("last_administrator"));
    // A DA of a site is one: the company is the whole tree (D4).
    assert!(delegate(&last, &facts(&[("boss", "root"), ("local", "site")])).is_ok());
    // So is the same person, as long as one duty of theirs is left.
    assert!(delegate(&last, &facts(&[("boss", "root"), ("boss", "site")])).is_ok());
}

#[test]
fn d16_the_one_who_is_left_is_advised_to_have_a_second() {
    let mut tree = site_facts(&[("boss", "root"), ("user", "site")]);
    tree.company.push(CompanyAdministrator {
        is_active: false,
        ..appointed("idle", "root")
    });
    let effects = delegate(&at_site(REMOVED), &tree).expect("effects");
    let advice = Effect::Mail(Mail {
        about: Some(account_id("boss")),
        delegation: Some(Delegation {
            organization_id: organization_id("root"),
            change: None,
        }),
        ..Mail::new(MailKind::SecondDaAdvised, Recipient::Account(account_id("boss")))
    });
    assert!(effects.contains(&advice), "{effects:?}");
    assert!(effects.contains(&told(MailKind::DelegationChanged, "site", REMOVED)));
}

#[test]
fn d15_terms_are_accepted_once_and_by_the_da_of_that_organization() {
    let mut facts = facts(&[("boss", "root"), ("local", "site")]);
    let expected = Effect::AcceptTerms {
        account_id: account_id("boss"),
        organization_id: organization_id("root"),
    };
    assert_eq!(delegate(&accepts("boss", "root"), &facts), Ok(vec![expected]));
    for other in ["user", "local"] {
        let refused = refusal(&accepts(other, "root"), &facts);
        assert_eq!(refused, not_entitled("not_a_delegated_administrator"), "{other}");
    }
    facts.has_accepted = true;
    assert_eq!(
        refusal(&accepts("boss", "root"), &facts),
        not_allowed("already_accepted")
    );
}
