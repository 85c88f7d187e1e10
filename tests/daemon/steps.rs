//! Steps that several journeys take.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::events;
use crate::support::mail::Mail;

/// A person of `directory.json`, with numbers that are right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant {
    pub(crate) account: &'static str,
    pub(crate) contract: &'static str,
    pub(crate) serial: &'static str,
}

/// Of ACME UTRECHT, below ACME INC; nobody is DA there.
pub(crate) const NEWBIE: Applicant = Applicant {
    account: "newbie",
    contract: "93988396",
    serial: "FOC1436Y3XK",
};

/// Of the same site, reading Dutch.
pub(crate) const NOOR: Applicant = Applicant {
    account: "nieuweling",
    ..NEWBIE
};

/// Of GLOBEX WEST, below GLOBEX CORPORATION, whose DAs are `boss` and then `deputy`.
pub(crate) const JOINER: Applicant = Applicant {
    account: "joiner",
    contract: "10000001",
    serial: "GLX0000001",
};

impl Applicant {
    pub(crate) fn submitted(self, registration: &str) -> Value {
        events::submitted(registration, self.account, self.contract, self.serial)
    }
}

/// Goes as far as `awaiting_email`, with `organization` selected. Returns the mail with the link.
pub(crate) async fn select(daemon: &TestDaemon, registration: &str, applicant: Applicant, organization: &str) -> Mail {
    daemon.send(&applicant.submitted(registration)).await;
    daemon.wait_state(registration, "awaiting_organization").await;
    daemon
        .send(&events::organization_selected(registration, Some(organization)))
        .await;
    daemon.wait_state(registration, "awaiting_email").await;
    first(daemon.wait_kind("verification", registration, 1).await)
}

/// Goes as far as `awaiting_da`.
pub(crate) async fn confirm(daemon: &TestDaemon, registration: &str, applicant: Applicant) -> Value {
    daemon.send(&applicant.submitted(registration)).await;
    daemon.wait_state(registration, "awaiting_confirmation").await;
    daemon.send(&events::confirmed(registration)).await;
    daemon.wait_state(registration, "awaiting_da").await
}

pub(crate) fn first(mails: Vec<Mail>) -> Mail {
    mails.into_iter().next().expect("one was waited for")
}

/// Presses the button behind the link of `mail`; a page must come.
pub(crate) async fn press(daemon: &TestDaemon, mail: &Mail) {
    let (status, page) = daemon.press(mail.link_path().expect("the mail has a link")).await;
    assert!(status < 400, "{status}: {page}");
}

/// The `registration.changed` of a registration so far, in the order in which they came, repeats left out.
pub(crate) async fn changes(daemon: &TestDaemon, registration: &str) -> Vec<Value> {
    let mut changes: Vec<Value> = Vec::new();
    for event in daemon.events().await {
        let ours = event["subject"] == registration && event["type"] == "registration.changed";
        if ours && !changes.contains(&event) {
            changes.push(event);
        }
    }
    changes
}

/// The same, once there are `count` or more.
pub(crate) async fn wait_changes(daemon: &TestDaemon, registration: &str, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let changes = changes(daemon, registration).await;
        if changes.len() >= count {
            return changes;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{} of {count} changes of {registration} came out: {changes:#?}",
            changes.len()
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The timers that are set for a registration: the job that each wakes, and when, in milliseconds since 1970.
pub(crate) async fn timers(daemon: &TestDaemon, registration: &str) -> Vec<(String, i64)> {
    let timers = format!(
        "SELECT kind, run_at_ms FROM jobs WHERE registration_id = '{registration}' AND step_bound \
         AND state = 'scheduled' ORDER BY run_at_ms"
    );
    let timer = |row: &Value| Some((row["kind"].as_str()?.to_owned(), row["run_at_ms"].as_i64()?));
    daemon.rows(&timers).await.iter().filter_map(timer).collect()
}

/// The events on the timeline of a view.
pub(crate) fn timeline(view: &Value) -> Vec<&str> {
    let lines = view["timeline"].as_array().expect("a view has a timeline");
    lines.iter().filter_map(|line| line["event"].as_str()).collect()
}

/// The codes of a view's field errors.
pub(crate) fn codes(view: &Value) -> Vec<(&str, &str)> {
    let errors = view["field_errors"].as_array().expect("a view has a list of errors");
    errors
        .iter()
        .filter_map(|error| Some((error["field"].as_str()?, error["code"].as_str()?)))
        .collect()
}

/// A view for a snapshot: moments are replaced.
pub(crate) fn stable(view: &Value) -> Value {
    match view {
        Value::Object(fields) => {
            let moments = ["since", "at", "deadline", "link_valid_until"];
            let field = |(name, value): (&String, &Value)| {
                let value = if moments.contains(&name.as_str()) && value.is_string() {
                    json!("[moment]")
                } else {
                    stable(value)
                };
                (name.clone(), value)
            };
            fields.iter().map(field).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(stable).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

/// A refusal as it stands in `rejected`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rejected {
    pub(crate) event: Vec<u8>,
    pub(crate) entry: String,
    pub(crate) reason: String,
    pub(crate) detail: Value,
}

impl Rejected {
    pub(crate) fn code(&self) -> &str {
        self.detail["code"].as_str().expect("a detail has a code")
    }
}

/// The refusals, once there are `count`; more must not be there.
pub(crate) async fn wait_rejected(daemon: &TestDaemon, count: usize) -> Vec<Rejected> {
    let entries = daemon.wait_rejected(count).await;
    let rejected: Vec<_> = entries.iter().map(rejected).collect();
    assert_eq!(rejected.len(), count, "{rejected:#?}");
    rejected
}

pub(crate) fn rejected(fields: &BTreeMap<String, Vec<u8>>) -> Rejected {
    assert_eq!(
        fields.keys().collect::<Vec<_>>(),
        ["detail", "entry", "event", "reason"],
        "the contract's fields"
    );
    let text = |name: &str| String::from_utf8(fields[name].clone()).expect("text");
    Rejected {
        event: fields["event"].clone(),
        entry: text("entry"),
        reason: text("reason"),
        detail: serde_json::from_str(&text("detail")).expect("the detail is JSON"),
    }
}
