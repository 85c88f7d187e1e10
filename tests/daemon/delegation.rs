//! What DAs do with the access of others: further DAs, users, roles (R58, R59, D3, D16).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::provisioning::builder;
use crate::steps::{Applicant, JOINER, confirm, first, wait_rejected};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::mail::Mail;
use crate::support::target::Target;

crate::support::for_each_database!(
    r58_r59_a_da_adds_another_who_decides_and_d16_removes_until_one_is_left,
    r58_users_and_roles_come_and_go_each_provisioned_and_mailed,
    r58_what_a_da_may_not_do_is_refused,
);

/// `delegation.<kind>` about an account at `globex`.
pub(crate) fn delegated(kind: &str, account: &str, by: &str) -> Value {
    let data = json!({"by": by, "organization_id": "globex"});
    events::event(&format!("delegation.{kind}"), account, &data)
}

/// `delegation.role_assigned` or `role_removed`, of an API Developer at `globex`.
pub(crate) fn role_event(kind: &str, account: &str, by: &str) -> Value {
    let mut event = delegated(kind, account, by);
    event["data"]["role"] = json!("api_developer");
    event
}

/// Three more people of GLOBEX: one has its contract, and could be an applicant.
pub(crate) fn more_people() -> Value {
    let person = |id: &str, name: &str, status: &str, contracts: Value| {
        json!({"id": id, "name": name, "email": format!("{id}@globex.example"), "status": status, "locale": "en",
            "flagged": false, "contracts": contracts})
    };
    json!({"accounts": [
        person("third", "Thea Third", "active", json!([])),
        person("fourth", "Finn Fourth", "active", json!([])),
        person("leaver", "Lee Leaver", "inactive", json!([])),
        person("second-joiner", "Sid Joiner", "active", json!(["10000001"])),
    ]})
}

pub(crate) const SECOND_JOINER: Applicant = Applicant {
    account: "second-joiner",
    ..JOINER
};

/// The mails to somebody of a kind that belongs to no registration, once there are `count`.
async fn told(daemon: &TestDaemon, kind: &str, to: &str, count: usize) -> Vec<Mail> {
    let start = Instant::now();
    loop {
        let mut mails = daemon.mails();
        mails.retain(|mail| mail.is(kind) && mail.to == [to]);
        if mails.len() >= count {
            return mails;
        }
        assert!(start.elapsed() < PATIENCE, "{} of {count} {kind} to {to}", mails.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn asked(daemon: &TestDaemon, registration: &str, da: &str) {
    let is_asked = |view: &Value| view["delegated_administrator"]["account_id"] == da;
    daemon.wait_view(registration, &format!("with {da}"), is_asked).await;
}

async fn r58_r59_a_da_adds_another_who_decides_and_d16_removes_until_one_is_left(database: Database) {
    let target = Target::start("collector");
    // Nobody looks by the clock: a removal is noticed at once, or never.
    let daemon = builder(database, &[&target])
        .setting("da_response.recheck", "24h")
        .start()
        .await;
    daemon.import(&more_people());
    daemon.send(&delegated("administrator_added", "third", "boss")).await;
    target
        .wait_roles("third", &["customer_administrator", "delegated_administrator"])
        .await;
    let mail = first(told(&daemon, "delegation_changed", "third@globex.example", 1).await);
    insta::assert_snapshot!("delegation_mail_administrator_added", mail.snapshot());
    let mail = first(told(&daemon, "da_terms", "third@globex.example", 1).await);
    insta::assert_snapshot!("delegation_mail_da_terms", mail.snapshot());

    // Two requests wait for the first DA; the new one may decide, for the whole tree.
    confirm(&daemon, "reg-1", JOINER).await;
    confirm(&daemon, "reg-2", SECOND_JOINER).await;
    asked(&daemon, "reg-1", "boss").await;
    daemon
        .send(&events::da_granted("reg-1", "third", "customer_user"))
        .await;
    daemon.wait_state("reg-1", "active").await;

    // D2, D16: whoever is removed is passed over at once, though the directory has them still.
    daemon.send(&delegated("administrator_removed", "boss", "third")).await;
    asked(&daemon, "reg-2", "deputy").await;
    let mail = first(told(&daemon, "delegation_changed", "bea@globex.example", 1).await);
    insta::assert_snapshot!("delegation_mail_administrator_removed", mail.snapshot());
    daemon.send(&events::da_granted("reg-2", "boss", "customer_user")).await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].reason, "not_entitled");
    // An import of the same does not bring them back.
    daemon.import(&json!({"administrators": [{"account_id": "boss", "organization_id": "globex"}]}));
    daemon.send(&events::da_granted("reg-2", "boss", "customer_user")).await;
    assert_eq!(wait_rejected(&daemon, 2).await[1].reason, "not_entitled");

    // Down to one.
    daemon.send(&delegated("administrator_added", "fourth", "third")).await;
    target
        .wait_roles("fourth", &["customer_administrator", "delegated_administrator"])
        .await;
    daemon
        .send(&delegated("administrator_removed", "deputy", "third"))
        .await;
    asked(&daemon, "reg-2", "third").await;
    assert!(!daemon.mails().iter().any(|mail| mail.is("second_da_advised")));
    daemon
        .send(&delegated("administrator_removed", "fourth", "fourth"))
        .await;
    target.wait_roles("fourth", &[]).await;
    target.wait_heard("DELETE", "fourth", 2).await;
    let mail = first(told(&daemon, "second_da_advised", "third@globex.example", 1).await);
    insta::assert_snapshot!("delegation_mail_second_da_advised", mail.snapshot());
    daemon.send(&delegated("administrator_removed", "third", "third")).await;
    let rejected = wait_rejected(&daemon, 3).await;
    assert_eq!(
        (rejected[2].reason.as_str(), rejected[2].code()),
        ("not_allowed", "last_administrator")
    );
    daemon
        .send(&events::da_denied("reg-2", "third", "We do not know you."))
        .await;
    daemon.wait_state("reg-2", "denied").await;

    // R58: whoever was removed can be added again, and is one who was appointed here then.
    daemon.send(&delegated("administrator_added", "boss", "third")).await;
    target
        .wait_roles("boss", &["customer_administrator", "delegated_administrator"])
        .await;
    let recorded = daemon.rows("SELECT event, account_id, actor FROM delegations").await;
    assert_eq!(recorded.len(), 6, "{recorded:#?}");
}

async fn r58_users_and_roles_come_and_go_each_provisioned_and_mailed(database: Database) {
    let (first_target, second) = (Target::start("first"), Target::start("second"));
    let daemon = builder(database, &[&first_target, &second]).start().await;
    let both = |roles: &'static [&'static str]| {
        let (first_target, second) = (&first_target, &second);
        async move {
            first_target.wait_roles("joiner", roles).await;
            second.wait_roles("joiner", roles).await;
        }
    };
    let associated = delegated("user_associated", "joiner", "deputy");
    daemon.send(&associated).await;
    both(&["customer_user"]).await;
    let assigned = role_event("role_assigned", "joiner", "boss");
    daemon.send(&assigned).await;
    both(&["api_developer", "customer_user"]).await;
    // A repeat changes nothing, whatever has become of it since.
    daemon.send_all(&[associated, assigned]).await;
    daemon.send(&role_event("role_removed", "joiner", "boss")).await;
    both(&["customer_user"]).await;
    daemon.send(&role_event("role_assigned", "joiner", "deputy")).await;
    both(&["api_developer", "customer_user"]).await;
    daemon.send(&delegated("user_disassociated", "joiner", "boss")).await;
    both(&[]).await;
    assert_eq!(
        first_target.heard_as("PUT", "joiner").len(),
        3,
        "each granting is another"
    );
    assert_eq!(first_target.heard_as("DELETE", "joiner").len(), 3);

    let mails = told(&daemon, "delegation_changed", "jo@globex.example", 5).await;
    let mut mails: Vec<_> = mails.iter().map(|mail| mail.text.as_str()).collect();
    assert_eq!(mails.len(), 5);
    // They are sent side by side.
    mails.sort_unstable();
    insta::assert_snapshot!("delegation_mails_to_a_user", mails.join("\n=== the next ===\n"));
    daemon.wait_intake_empty().await;
    assert_eq!(daemon.count("delegations").await, 5);
    assert_eq!(daemon.count("grants WHERE ended_ms IS NOT NULL").await, 3);
    assert!(daemon.rejected().await.is_empty());
    let actors = daemon
        .rows("SELECT event, actor, role FROM delegations ORDER BY at_ms LIMIT 2")
        .await;
    assert_eq!(
        actors,
        [
            json!({"event": "delegation.user_associated", "actor": "deputy", "role": null}),
            json!({"event": "delegation.role_assigned", "actor": "boss", "role": "api_developer"}),
        ]
    );
}

/// Events with the reason and code that they are refused with; `joiner` is a user of `globex`, and API Developer.
#[expect(clippy::too_many_lines, reason = "one refusal after the other")]
fn what_a_da_may_not_do() -> Vec<(Value, &'static str, &'static str)> {
    let at = |organization: &str, mut event: Value| {
        event["data"]["organization_id"] = json!(organization);
        event
    };
    let refusals = [
        // D3: only for the scope of a DA, and nobody for themselves.
        (
            delegated("user_associated", "third", "joiner"),
            "not_entitled",
            "not_a_delegated_administrator",
        ),
        (
            at("acme", delegated("user_associated", "third", "boss")),
            "not_entitled",
            "not_a_delegated_administrator",
        ),
        (
            role_event("role_assigned", "boss", "boss"),
            "not_entitled",
            "own_access",
        ),
        (
            at("nowhere", delegated("user_associated", "third", "boss")),
            "invalid_data",
            "organization_unknown",
        ),
        (
            delegated("user_associated", "nobody", "boss"),
            "invalid_data",
            "account_unknown",
        ),
        (
            delegated("user_associated", "leaver", "boss"),
            "not_allowed",
            "account_inactive",
        ),
        (
            delegated("administrator_added", "leaver", "boss"),
            "not_allowed",
            "account_inactive",
        ),
        (
            delegated("user_associated", "joiner", "boss"),
            "not_allowed",
            "already_associated",
        ),
        // What is held above holds below.
        (
            at("globex-west", role_event("role_assigned", "joiner", "boss")),
            "not_allowed",
            "already_assigned",
        ),
        (
            at("globex-west", role_event("role_removed", "joiner", "boss")),
            "not_allowed",
            "not_assigned",
        ),
        (
            role_event("role_removed", "third", "boss"),
            "not_allowed",
            "not_assigned",
        ),
        (
            delegated("user_disassociated", "third", "boss"),
            "not_allowed",
            "not_associated",
        ),
        (
            delegated("user_disassociated", "deputy", "boss"),
            "not_allowed",
            "is_administrator",
        ),
        (
            delegated("administrator_added", "deputy", "boss"),
            "not_allowed",
            "already_administrator",
        ),
        (
            at("globex-west", delegated("administrator_added", "deputy", "boss")),
            "not_allowed",
            "already_administrator",
        ),
        (
            delegated("administrator_removed", "joiner", "boss"),
            "not_allowed",
            "not_administrator",
        ),
        (
            at("globex-west", delegated("administrator_removed", "deputy", "boss")),
            "not_allowed",
            "not_administrator",
        ),
    ];
    let mut customer_administrator = role_event("role_removed", "deputy", "boss");
    customer_administrator["data"]["role"] = json!("customer_administrator");
    let accepted = events::event(
        "delegation.terms_accepted",
        "joiner",
        &json!({"organization_id": "globex"}),
    );
    let more = [
        (customer_administrator, "not_allowed", "is_administrator"),
        (accepted, "not_entitled", "not_a_delegated_administrator"),
    ];
    refusals.into_iter().chain(more).collect()
}

async fn r58_what_a_da_may_not_do_is_refused(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.import(&more_people());
    daemon.send(&delegated("user_associated", "joiner", "boss")).await;
    daemon.send(&role_event("role_assigned", "joiner", "boss")).await;
    let start = Instant::now();
    while daemon.count("grants").await < 2 {
        assert!(start.elapsed() < PATIENCE, "nothing is granted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = what_a_da_may_not_do();
    let sent: Vec<_> = all.iter().map(|(event, _, _)| event.clone()).collect();
    daemon.send_all(&sent).await;
    // Those of different subjects come in any order.
    let rejected = wait_rejected(&daemon, all.len()).await;
    for (event, reason, code) in &all {
        let found = rejected
            .iter()
            .find(|refused| serde_json::from_slice::<Value>(&refused.event).is_ok_and(|refused| refused == *event));
        let refused = found.unwrap_or_else(|| panic!("{event} is not refused"));
        assert_eq!((refused.reason.as_str(), refused.code()), (*reason, *code), "{event}");
    }
    assert_eq!(daemon.count("grants").await, 2);
    assert_eq!(daemon.count("delegations").await, 2);
    assert_eq!(daemon.count("appointments").await, 0);
}
