//! `docs/contract.md` is written by hand; what of it code can check is checked here.

use std::fs;

use enrolld_jobs::{
    cloud_event::{UpstreamEvent, parse},
    decide::allowed,
    directory::{Account, Contract, Organization},
    effect::{AlertCode, MailKind},
    job::JobKind,
    refusal::Reason,
    registration::{FieldErrorCode, StateName},
    values::Role,
    view::RegistrationView,
};
use serde_json::Value;

use super::docs;

fn contract() -> String {
    fs::read_to_string(docs().join("contract.md")).expect("docs/contract.md")
}

/// The JSON examples, in order.
fn examples() -> Vec<String> {
    let text = contract();
    let blocks = text.split("```json\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn its_events_are_read() {
    let lines: Vec<_> = examples().concat().lines().map(str::to_owned).collect();
    let mut events: Vec<_> = lines
        .into_iter()
        .filter(|line| line.starts_with("{\"specversion"))
        .collect();
    assert_eq!(events.len(), 5);
    let text = contract();
    let command = text
        .split("'*' event '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    events.push(command.expect("the redis-cli example").to_owned());
    for event in events {
        parse(event.as_bytes()).unwrap_or_else(|refusal| panic!("{event}: {refusal:?}"));
    }
}

#[test]
fn its_view_is_one() {
    let example = examples()
        .into_iter()
        .find(|json| json.contains("\"timeline\""))
        .expect("a view");
    let given: Value = serde_json::from_str(&example).expect("JSON");
    let view: RegistrationView = serde_json::from_str(&example).expect("a view");
    assert_eq!(
        serde_json::to_value(&view).expect("JSON"),
        given,
        "no field is missing or left over"
    );
    assert_eq!(view.summary.allowed, allowed(view.summary.state));
}

#[test]
fn its_directory_is_one() {
    let example = examples()
        .into_iter()
        .find(|json| json.contains("\"devices\""))
        .expect("a directory");
    let mut given: Value = serde_json::from_str(&example).expect("JSON");
    serde_json::from_value::<Vec<Organization>>(given["organizations"].take()).expect("organizations");
    serde_json::from_value::<Vec<Account>>(given["accounts"].take()).expect("accounts");
    serde_json::from_value::<Vec<Contract>>(given["contracts"].take()).expect("contracts");
}

#[test]
fn it_names_all_that_the_code_knows() {
    fn names(schema: &schemars::Schema) -> Vec<String> {
        let schema = schema.as_value();
        let consts = schema["oneOf"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| &one["const"]);
        let values = consts.chain(schema["enum"].as_array().into_iter().flatten());
        values.map(|name| name.as_str().expect("a name").to_owned()).collect()
    }
    let reasons = names(&schemars::schema_for!(Reason));
    let codes = names(&schemars::schema_for!(FieldErrorCode));
    assert!(reasons.len() == 8 && codes.len() == 17);
    let all = reasons
        .into_iter()
        .chain(codes)
        .chain(UpstreamEvent::TYPES.iter().map(|&name| name.to_owned()))
        .chain(StateName::ALL.iter().map(|state| state.as_str().to_owned()))
        .chain(MailKind::ALL.iter().map(|kind| kind.as_str().to_owned()))
        .chain(JobKind::ALL.iter().map(|kind| kind.as_str().to_owned()))
        .chain(Role::ALL.iter().map(|role| role.as_str().to_owned()));
    let text = contract();
    for name in all {
        assert!(
            text.contains(&format!("`{name}`")),
            "docs/contract.md does not name {name}"
        );
    }
}

/// The codes with which delegation, and what came with provisioning and bounces, is refused; and those of alerts.
#[test]
fn it_names_the_codes_of_refusals_and_alerts() {
    let refusals = [
        "organization_unknown",
        "account_unknown",
        "account_inactive",
        "not_a_delegated_administrator",
        "own_access",
        "already_associated",
        "already_assigned",
        "already_administrator",
        "not_administrator",
        "last_administrator",
        "is_administrator",
        "not_associated",
        "not_assigned",
        "already_accepted",
        "only_reject",
        "mail_unknown",
    ];
    let alerts = AlertCode::ALL.map(AlertCode::as_str);
    let text = contract();
    for code in refusals.into_iter().chain(alerts) {
        assert!(
            text.contains(&format!("`{code}`")),
            "docs/contract.md does not name {code}"
        );
    }
}

/// The table of states.
#[test]
fn its_table_of_states_is_what_is_allowed() {
    let text = contract();
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| state | what is awaited |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut seen = 0;
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        // What follows a semicolon depends on more than the state.
        let events = cells[3].split(';').next().unwrap_or_default();
        let mut listed: Vec<_> = events.split(", ").filter(|event| *event != "none").collect();
        listed.sort_unstable();
        for state in StateName::ALL
            .iter()
            .filter(|state| cells[1].contains(&format!("`{}`", state.as_str())))
        {
            let allowed = allowed(*state).iter().filter_map(|e| e.strip_prefix("registration."));
            let mut allowed: Vec<_> = allowed.collect();
            allowed.sort_unstable();
            assert_eq!(listed, allowed, "{row}");
            seen += 1;
        }
    }
    assert_eq!(seen, StateName::ALL.len());
}
