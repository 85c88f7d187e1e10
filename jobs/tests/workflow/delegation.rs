//! What DAs do with the access of others (R3, R58, R59, D3, D4, D15, D16).

mod administrators;

use enrolld_jobs::{
    cloud_event::parse,
    delegation::{Action, CompanyAdministrator, DelegationFacts, Held, Request, delegate},
    directory::{AccountStatus, Administrator, SiteFacts},
    effect::{Delegation, DelegationChange, Effect, Mail, MailKind, Recipient},
    refusal::Reason,
    values::{Access, Role},
};
use uuid::Uuid;

use crate::road::{account, account_id, da, organization, organization_id};

const ADDED: DelegationChange = DelegationChange::AdministratorAdded;
const REMOVED: DelegationChange = DelegationChange::AdministratorRemoved;
const ASSOCIATED: DelegationChange = DelegationChange::UserAssociated;
const DISASSOCIATED: DelegationChange = DelegationChange::UserDisassociated;
const ADMINISTRATOR: Access = Access::Role(Role::CustomerAdministrator);

/// `boss`, DA of `root`, does something with the access of `user` there.
fn request(change: DelegationChange) -> Request {
    Request {
        account_id: account_id("user"),
        organization_id: organization_id("root"),
        by: account_id("boss"),
        action: Action::Change(change),
        event: "delegation.user_associated",
    }
}

fn at_site(change: DelegationChange) -> Request {
    Request {
        organization_id: organization_id("site"),
        ..request(change)
    }
}

fn accepts(by: &str, of: &str) -> Request {
    Request {
        account_id: account_id(by),
        organization_id: organization_id(of),
        by: account_id(by),
        action: Action::AcceptTerms,
        event: "delegation.terms_accepted",
    }
}

fn appointed(id: &str, of: &str) -> CompanyAdministrator {
    CompanyAdministrator {
        account_id: account_id(id),
        organization_id: organization_id(of),
        is_active: true,
    }
}

/// The facts about `root`, whose DAs are these.
fn facts(administrators: &[(&str, &str)]) -> DelegationFacts {
    DelegationFacts {
        account: Some(account("user")),
        site: Some(SiteFacts {
            chain: vec![organization("root", None)],
            administrators: covering(administrators, &["root"]),
        }),
        company: administrators.iter().map(|(id, of)| appointed(id, of)).collect(),
        ..DelegationFacts::default()
    }
}

/// The facts about `site`, below `root`.
fn site_facts(administrators: &[(&str, &str)]) -> DelegationFacts {
    DelegationFacts {
        site: Some(SiteFacts {
            chain: vec![organization("root", None), organization("site", Some("root"))],
            administrators: covering(administrators, &["root", "site"]),
        }),
        ..facts(administrators)
    }
}

fn covering(administrators: &[(&str, &str)], chain: &[&str]) -> Vec<Administrator> {
    let covering = administrators.iter().filter(|(_, of)| chain.contains(of));
    covering.map(|(id, of)| da(id, of)).collect()
}

fn held(id: u128, of: &str, access: Access) -> Held {
    Held {
        grant_id: Uuid::from_u128(id),
        organization_id: organization_id(of),
        access,
    }
}

fn grant(of: &str, access: Access) -> Effect {
    Effect::Grant {
        account_id: account_id("user"),
        organization_id: organization_id(of),
        access,
    }
}

fn ends(id: u128) -> Effect {
    Effect::EndGrant {
        grant_id: Uuid::from_u128(id),
    }
}

/// The mail that tells the user of the change.
fn told(kind: MailKind, of: &str, change: DelegationChange) -> Effect {
    Effect::Mail(Mail {
        about: Some(account_id("boss")),
        delegation: Some(Delegation {
            organization_id: organization_id(of),
            change: Some(change),
        }),
        ..Mail::new(kind, Recipient::Account(account_id("user")))
    })
}

fn refusal(request: &Request, facts: &DelegationFacts) -> (Reason, String) {
    let refusal = delegate(request, facts).expect_err("a refusal");
    (refusal.reason, refusal.code().to_owned())
}

fn not_allowed(code: &str) -> (Reason, String) {
    (Reason::NotAllowed, code.to_owned())
}

fn not_entitled(code: &str) -> (Reason, String) {
    (Reason::NotEntitled, code.to_owned())
}

fn every_change() -> [DelegationChange; 6] {
    [
        ADDED,
        REMOVED,
        ASSOCIATED,
        DISASSOCIATED,
        DelegationChange::RoleAssigned(Role::ApiDeveloper),
        DelegationChange::RoleRemoved(Role::ApiDeveloper),
    ]
}

#[test]
fn r58_every_event_is_a_request_of_its_da_and_terms_are_of_the_account_itself() {
    let data = r#"{"by":"boss","organization_id":"root","role":"api_developer"}"#;
    let read = |kind: &str| {
        let event = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/portal","type":"{kind}","subject":"user","data":{data}}}"#
        );
        let event = parse(event.as_bytes()).expect("an event");
        Request::from_upstream(&account_id("user"), &event.data)
    };
    let kinds = [
        "delegation.administrator_added",
        "delegation.administrator_removed",
        "delegation.user_associated",
        "delegation.user_disassociated",
        "delegation.role_assigned",
        "delegation.role_removed",
    ];
    for (kind, change) in kinds.into_iter().zip(every_change()) {
        let expected = Request {
            event: kind,
            ..request(change)
        };
        assert_eq!(read(kind), Some(expected));
    }
    assert_eq!(read("delegation.terms_accepted"), Some(accepts("user", "root")));
    assert_eq!(read("registration.withdrawn"), None);
}

#[test]
fn d4_a_da_acts_on_their_organization_and_below_and_on_nothing_above() {
    for change in every_change() {
        let mut by_site = request(change);
        by_site.by = account_id("local");
        let tree = [("boss", "root"), ("local", "site")];
        let code = refusal(&by_site, &facts(&tree));
        assert_eq!(code, not_entitled("not_a_delegated_administrator"), "{change:?}");
    }
    assert!(delegate(&at_site(ASSOCIATED), &site_facts(&[("boss", "root")])).is_ok());
    let mut local = at_site(ASSOCIATED);
    local.by = account_id("local");
    assert!(delegate(&local, &site_facts(&[("local", "site")])).is_ok());
}

#[test]
fn r58_only_a_da_acts_and_who_is_none_learns_nothing() {
    for change in every_change() {
        let mut nobody = facts(&[("second", "root")]);
        nobody.account = None;
        let refused = refusal(&request(change), &nobody);
        assert_eq!(refused, not_entitled("not_a_delegated_administrator"), "{change:?}");
        // Nor does the user themselves.
        let mut own = request(change);
        own.by = account_id("user");
        let refused = refusal(&own, &facts(&[("boss", "root")]));
        assert_eq!(refused, not_entitled("not_a_delegated_administrator"), "{change:?}");
    }
}

#[test]
fn d3_nobody_gives_access_to_themselves() {
    for change in every_change() {
        let mut own = at_site(change);
        own.account_id = account_id("boss");
        let gives = !matches!(change, REMOVED | DISASSOCIATED | DelegationChange::RoleRemoved(_));
        let refused = refusal(&own, &site_facts(&[("boss", "root")]));
        assert_eq!(refused == not_entitled("own_access"), gives, "{change:?}: {refused:?}");
    }
}

#[test]
fn r58_an_organization_that_is_unknown_comes_first() {
    let requests = every_change().map(request);
    for request in requests.iter().chain([&accepts("boss", "root")]) {
        let refusal = delegate(request, &DelegationFacts::default()).expect_err("a refusal");
        assert_eq!(
            (refusal.reason, refusal.code()),
            (Reason::InvalidData, "organization_unknown")
        );
        assert_eq!(refusal.detail["organization_id"], "root");
    }
}

#[test]
fn r7_access_is_given_only_to_an_account_that_is_there_and_in_use() {
    for change in every_change() {
        let gives = !matches!(change, REMOVED | DISASSOCIATED | DelegationChange::RoleRemoved(_));
        let mut unknown = facts(&[("boss", "root")]);
        unknown.account = None;
        let (reason, code) = refusal_or_none(&request(change), &unknown);
        assert_eq!(code == "account_unknown", gives, "{change:?}: {code}");
        assert!(!gives || reason == Some(Reason::InvalidData));
        for status in [AccountStatus::Inactive, AccountStatus::Incomplete] {
            let mut idle = facts(&[("boss", "root")]);
            idle.account.as_mut().expect("a profile").status = status;
            let (reason, code) = refusal_or_none(&request(change), &idle);
            assert_eq!(code == "account_inactive", gives, "{change:?}: {code}");
            assert!(!gives || reason == Some(Reason::NotAllowed));
        }
    }
}

fn refusal_or_none(request: &Request, facts: &DelegationFacts) -> (Option<Reason>, String) {
    match delegate(request, facts) {
        Ok(_) => (None, String::new()),
        Err(refusal) => (Some(refusal.reason), refusal.code().to_owned()),
    }
}

#[test]
fn r3_who_is_associated_gets_the_plainest_role() {
    let effects = delegate(&request(ASSOCIATED), &facts(&[("boss", "root")])).expect("effects");
    assert_eq!(
        effects,
        [
            grant("root", Access::Role(Role::CustomerUser)),
            told(MailKind::DelegationChanged, "root", ASSOCIATED),
        ]
    );
}

#[test]
fn r58_who_holds_something_here_above_or_below_is_associated_already() {
    let user = Access::Role(Role::CustomerUser);
    let mut here = site_facts(&[("boss", "root")]);
    here.held = vec![held(1, "site", user)];
    let mut below = site_facts(&[("boss", "root")]);
    below.held = vec![held(1, "lab", user)];
    let mut above = site_facts(&[("boss", "root")]);
    above.held_above = vec![held(1, "root", user)];
    for facts in [here, below, above] {
        assert_eq!(refusal(&at_site(ASSOCIATED), &facts), not_allowed("already_associated"));
    }
    // A DA who came with the directory holds access without a grant (D20).
    let above = site_facts(&[("boss", "root"), ("user", "root")]);
    let mut below = facts(&[("boss", "root"), ("user", "site")]);
    below.is_administrator_below = true;
    assert_eq!(refusal(&at_site(ASSOCIATED), &above), not_allowed("already_associated"));
    assert_eq!(refusal(&request(ASSOCIATED), &below), not_allowed("already_associated"));
}

#[test]
fn r58_a_role_more_is_granted_once() {
    let change = DelegationChange::RoleAssigned(Role::ApiDeveloper);
    let mut facts = site_facts(&[("boss", "root")]);
    facts.held = vec![
        held(1, "site", Access::Role(Role::CustomerUser)),
        held(2, "lab", Access::Role(Role::ApiDeveloper)),
    ];
    let effects = delegate(&at_site(change), &facts).expect("effects");
    assert_eq!(
        effects,
        [
            grant("site", Access::Role(Role::ApiDeveloper)),
            told(MailKind::DelegationChanged, "site", change),
        ],
        "what is held below does not reach up here"
    );
    let mut here = facts.clone();
    here.held.push(held(3, "site", Access::Role(Role::ApiDeveloper)));
    facts.held_above = vec![held(4, "root", Access::Role(Role::ApiDeveloper))];
    for facts in [here, facts] {
        assert_eq!(refusal(&at_site(change), &facts), not_allowed("already_assigned"));
    }
}

#[test]
fn r59_a_da_is_customer_administrator_already() {
    let change = DelegationChange::RoleAssigned(Role::CustomerAdministrator);
    let facts = site_facts(&[("boss", "root"), ("user", "root")]);
    assert_eq!(refusal(&at_site(change), &facts), not_allowed("already_assigned"));
    let other = DelegationChange::RoleAssigned(Role::ApiDeveloper);
    assert!(delegate(&at_site(other), &facts).is_ok());
    // R59: a DA may make others Customer Administrator.
    assert!(delegate(&at_site(change), &site_facts(&[("boss", "root")])).is_ok());
}

#[test]
fn r58_a_role_less_ends_its_grants_there_and_no_others() {
    let change = DelegationChange::RoleRemoved(Role::ApiDeveloper);
    let developer = Access::Role(Role::ApiDeveloper);
    let mut facts = site_facts(&[("boss", "root")]);
    facts.held = vec![
        held(1, "site", developer),
        held(2, "lab", developer),
        held(3, "site", Access::Role(Role::CustomerUser)),
        held(4, "site", developer),
    ];
    let effects = delegate(&at_site(change), &facts).expect("effects");
    assert_eq!(
        effects,
        [ends(1), ends(4), told(MailKind::DelegationChanged, "site", change)]
    );
    facts.held = vec![held(2, "lab", developer)];
    facts.held_above = vec![held(5, "root", developer)];
    assert_eq!(refusal(&at_site(change), &facts), not_allowed("not_assigned"));
}

#[test]
fn r59_a_da_stays_customer_administrator() {
    let change = DelegationChange::RoleRemoved(Role::CustomerAdministrator);
    let mut facts = facts(&[("boss", "root"), ("user", "root")]);
    facts.held = vec![held(1, "root", ADMINISTRATOR)];
    assert_eq!(refusal(&request(change), &facts), not_allowed("is_administrator"));
    // Of another organization they may lose it.
    facts.company = vec![appointed("boss", "root"), appointed("user", "site")];
    assert!(delegate(&request(change), &facts).is_ok());
}

#[test]
fn r58_disassociating_takes_all_that_is_held_there_and_below() {
    let mut facts = facts(&[("boss", "root")]);
    facts.held = vec![
        held(1, "root", Access::Role(Role::CustomerUser)),
        held(2, "site", ADMINISTRATOR),
    ];
    let effects = delegate(&request(DISASSOCIATED), &facts).expect("effects");
    assert_eq!(
        effects,
        [
            ends(1),
            ends(2),
            told(MailKind::DelegationChanged, "root", DISASSOCIATED)
        ]
    );
    facts.held.clear();
    assert_eq!(refusal(&request(DISASSOCIATED), &facts), not_allowed("not_associated"));
    facts.held_above = vec![held(3, "above", ADMINISTRATOR)];
    assert_eq!(refusal(&request(DISASSOCIATED), &facts), not_allowed("not_associated"));
}
