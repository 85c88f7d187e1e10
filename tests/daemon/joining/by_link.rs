//! A DA decides by the link of their mail (R31, R37; contract, section 6).

use serde_json::json;

use crate::steps::{JOINER, confirm, first};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r31_a_da_decides_by_link_gets_a_receipt_and_the_token_is_kept_nowhere,
    without_decisions_by_link_the_mail_leads_to_the_portal,
);

async fn r31_a_da_decides_by_link_gets_a_receipt_and_the_token_is_kept_nowhere(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    let asked = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    let link = asked.link_path().expect("the mail has a link");
    let token = asked.token().expect("with a token");
    assert!(link.starts_with("/decide/"), "{link}");
    let alone = format!("https://portal.example{link}");
    assert!(asked.text.lines().any(|line| line == alone), "{}", asked.text);
    let noticed = first(daemon.wait_kind("access_request_notice", "reg-1", 1).await);
    assert!(noticed.link_path().is_none(), "only who is asked has a link");

    let before = daemon.view("reg-1").await;
    let shown = daemon
        .http()
        .get(daemon.at(link))
        .send()
        .await
        .expect("the daemon answers");
    assert_eq!(shown.status(), 200);
    assert!(shown.text().await.expect("a page").contains("Jo Joiner"));
    assert_eq!(
        daemon.view("reg-1").await,
        before,
        "a scanner that opens links decides nothing"
    );

    let decide = |form: &'static [(&str, &str)]| daemon.http().post(daemon.at(link)).form(form).send();
    let granted = decide(&[("decision", "grant"), ("role", "partner_user")])
        .await
        .expect("the daemon answers");
    assert_eq!(granted.status(), 200);
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(
        (&view["role"], &view["organization_id"]),
        (&json!("partner_user"), &json!("globex-west"))
    );
    let last = view["timeline"]
        .as_array()
        .and_then(|lines| lines.last())
        .expect("a line");
    assert_eq!(
        (&last["actor"], &last["detail"]["via"]),
        (&json!("boss"), &json!("link"))
    );
    let receipt = first(daemon.wait_kind("decision_receipt", "reg-1", 1).await);
    assert_eq!(receipt.to, ["bea@globex.example"]);
    insta::assert_snapshot!("joining_mail_decision_receipt", receipt.snapshot());
    let approved = first(daemon.wait_kind("access_approved", "reg-1", 1).await);
    assert_eq!(approved.to, ["jo@globex.example"]);

    let second = decide(&[("decision", "deny")]).await.expect("the daemon answers");
    assert_eq!(second.status(), 200);
    assert!(second.text().await.expect("a page").contains("already been decided"));
    assert_eq!(daemon.view("reg-1").await, view, "a decision is final");
    assert_eq!(
        daemon.kinds_about("reg-1"),
        [
            "access_approved",
            "access_request",
            "access_request_notice",
            "decision_receipt"
        ]
    );

    // A decision in the portal is not receipted.
    daemon.import(
        &json!({"accounts": [{"id": "other", "name": "Otto Other", "email": "otto@globex.example",
        "status": "active", "locale": "en", "flagged": false, "contracts": ["10000001"]}]}),
    );
    daemon
        .send(&events::submitted("reg-2", "other", "10000001", "GLX0000001"))
        .await;
    daemon.wait_state("reg-2", "awaiting_confirmation").await;
    daemon.send(&events::confirmed("reg-2")).await;
    daemon.wait_state("reg-2", "awaiting_da").await;
    daemon.send(&events::da_denied("reg-2", "boss", "No.")).await;
    daemon.wait_kind("access_denied", "reg-2", 1).await;
    assert_eq!(daemon.count("mails WHERE kind = 'decision_receipt'").await, 1);

    let kept = [
        (
            "database",
            String::from_utf8_lossy(&daemon.database_dump().await).into_owned(),
        ),
        ("Redis", daemon.redis_dump().await),
        ("log", daemon.log()),
    ];
    let hex = enrolld::links::hex(token.as_bytes());
    for (place, kept) in kept {
        assert!(kept.contains("reg-1"), "{place}: shows what is there");
        assert!(
            !kept.contains(token) && !kept.contains(&hex),
            "the token is in the {place}"
        );
    }
}

async fn without_decisions_by_link_the_mail_leads_to_the_portal(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("decisions.by_link", false)
        .start()
        .await;
    confirm(&daemon, "reg-1", JOINER).await;
    let asked = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    assert!(!asked.text.contains("/decide/"), "{}", asked.text);
    assert_eq!(daemon.count("links").await, 0);
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_state("reg-1", "active").await;
}
