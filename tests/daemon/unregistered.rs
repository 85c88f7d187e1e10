//! Mails that belong to no registration: they are about an account's delegation, or for ops.

use std::time::Instant;

use enrolld::environment::{Environment as _, System};
use enrolld::store::Store;
use enrolld::store::transition::{NewJob, NewMail, Transition, Verdict};
use enrolld_jobs::effect::{Alert, AlertCode, Delegation, DelegationChange, Mail, MailKind, Recipient};
use enrolld_jobs::values::{AccountId, OrganizationId, Role};
use uuid::Uuid;

use crate::steps::first;
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;

crate::support::for_each_database!(mails_go_out_without_a_registration);

async fn mails_go_out_without_a_registration(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("ops.mailbox", "ops@vendor.example")
        .start()
        .await;
    let delegation = |organization: &str, change| Delegation {
        organization_id: OrganizationId::new(organization).expect("a valid id"),
        change,
    };
    let given = Mail {
        about: Some(account("deputy")),
        delegation: Some(delegation(
            "globex-west",
            Some(DelegationChange::RoleAssigned(Role::ApiDeveloper)),
        )),
        ..Mail::new(MailKind::DelegationChanged, Recipient::Account(account("joiner")))
    };
    let terms = Mail {
        delegation: Some(delegation("globex", None)),
        ..Mail::new(MailKind::TermsReminder, Recipient::Account(account("boss")))
    };
    let da_terms = Mail {
        delegation: Some(delegation("no-such-organization", None)),
        ..Mail::new(MailKind::DaTerms, Recipient::Account(account("deputy")))
    };
    let alert = Mail {
        alert: Some(Alert {
            code: AlertCode::TermsNotAccepted,
            group: String::new(),
            message: "A Delegated Administrator has not accepted the terms.".to_owned(),
            job: None,
            account_id: Some(account("boss")),
            organization_id: None,
        }),
        ..Mail::new(MailKind::OpsAlert, Recipient::Ops)
    };
    let nobody = Mail::new(MailKind::Rejected, Recipient::Applicant);
    let store = Store::open(&daemon.database.url(), 2)
        .await
        .expect("the database is there");
    let kept = [&given, &terms, &da_terms, &alert, &nobody];
    for (number, mail) in (1..).zip(kept) {
        keep(&store, Uuid::from_u128(number), mail).await;
    }

    let told = first(daemon.wait_kind("delegation_changed", "", 1).await);
    assert_eq!(told.header("X-Enrolld-Registration"), None);
    assert_eq!(told.to, ["jo@globex.example"]);
    for line in [
        "  Role:             API Developer",
        "  Organization:     GLOBEX WEST",
        "  Company:          GLOBEX CORPORATION",
        "  Name:             Dirk Deputy",
    ] {
        assert!(told.text.lines().any(|told| told == line), "{}", told.text);
    }
    let reminded = first(daemon.wait_kind("terms_reminder", "", 1).await);
    assert!(reminded.text.contains("  Since:  "), "{}", reminded.text);
    assert!(!reminded.text.contains("  Company:  "), "{}", reminded.text);
    // The directory knows nothing of the organization any more: its id has to do.
    let terms = first(daemon.wait_kind("da_terms", "", 1).await);
    assert!(
        terms.text.contains("  Organisatie:      no-such-organization\n\n"),
        "{}",
        terms.text
    );
    let alerted = first(daemon.wait_kind("ops_alert", "", 1).await);
    assert_eq!(alerted.to, ["ops@vendor.example"]);
    assert_eq!(alerted.subject, "enrolld: terms and conditions not accepted");

    let id = Uuid::from_u128(5).to_string();
    let start = Instant::now();
    let shown = loop {
        assert!(start.elapsed() < PATIENCE, "the mail to nobody still waits");
        let shown = daemon.cli_json(&["mails", "show", &id]);
        if shown["state"] != "waiting" {
            break shown;
        }
    };
    assert_eq!(shown["state"], "skipped");
    assert_eq!(shown["note"], "it belongs to no registration");
    assert!(shown["registration_id"].is_null(), "{shown}");
    let card = daemon.cli(&["mails", "show", &id]).stdout;
    let card = String::from_utf8_lossy(&card);
    assert!(
        card.lines()
            .any(|line| line.starts_with("Registration") && line.ends_with(" -")),
        "{card}"
    );
}

fn account(id: &str) -> AccountId {
    AccountId::new(id).expect("a valid id")
}

/// Keeps the mail with the job that sends it, due now.
async fn keep(store: &Store, id: Uuid, mail: &Mail) {
    let now = System.now().timestamp_millis();
    let transition = Transition {
        jobs: vec![NewJob {
            id,
            kind: "notification",
            registration_id: None,
            account_id: None,
            step: 0,
            step_bound: false,
            state: "scheduled",
            run_no: 0,
            run_at_ms: now,
            queued_ms: None,
            created_ms: now,
            trace: String::new(),
        }],
        mails: vec![NewMail {
            id,
            kind: mail.kind.as_str(),
            registration_id: None,
            step: 0,
            recipient: serde_json::to_string(mail).expect("a mail has string keys only"),
            created_ms: now,
        }],
        ..Transition::default()
    };
    let verdict = store.commit(transition).await.expect("the database answers");
    assert_eq!(verdict, Verdict::Applied);
}
