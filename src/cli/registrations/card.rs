//! A registration as people read it.

use std::iter;

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    registration::Registration,
    view::{AdministratorView, FieldErrorView, OrganizationChoice, RegistrationView, TimelineLine},
};
use serde_json::{Value, json};

use crate::cli::{
    moments::exact,
    output::Screen,
    table::{self, Column},
};

pub(super) fn card(screen: Screen, now: DateTime<Utc>, registration: &Registration, view: &RegistrationView) -> String {
    let summary = &view.summary;
    let mut lines = vec![
        ("Registration", summary.id.to_string()),
        (
            "State",
            format!("{} since {}", summary.state.as_str(), exact(now, summary.since)),
        ),
        ("", summary.title.clone()),
        ("", summary.message.clone()),
    ];
    let mut line = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    for error in &summary.field_errors {
        line("Wrong", Some(wrong(error)));
    }
    line("Deadline", summary.deadline.map(|at| exact(now, at)));
    line("Link valid until", summary.link_valid_until.map(|at| exact(now, at)));
    line(
        "Review reason",
        summary.review_reason.map(|reason| reason.as_str().to_owned()),
    );
    line("Question", summary.question.clone());
    line("Account", Some(account(view)));
    line("Contract", Some(summary.contract_number.clone()));
    line("Serial number", Some(summary.serial_number.clone()));
    line(
        "Organization",
        summary.organization_id.as_ref().map(ToString::to_string),
    );
    line("Role", summary.role.map(|role| role.as_str().to_owned()));
    line("Asked", summary.delegated_administrator.as_ref().map(administrator));
    for choice in &view.organizations {
        line("To select from", Some(organization(choice)));
    }
    line(
        "Allowed now",
        (!summary.allowed.is_empty()).then(|| summary.allowed.join(", ")),
    );
    line("Created", Some(exact(now, registration.created_at)));
    line("Version", Some(registration.version.to_string()));
    format!("{}\n\n{}", table::card(screen, lines), timeline(screen, &view.timeline))
}

/// Field and code are for whoever compares with the contract, the message is what the applicant sees.
fn wrong(error: &FieldErrorView) -> String {
    let name = |value: Value| plain(&value);
    let (field, code) = (json!(error.field), json!(error.code));
    format!("{} ({}): {}", name(field), name(code), error.message)
}

/// With its address, which tells apart what has the same name (R50).
fn organization(choice: &OrganizationChoice) -> String {
    let lines = choice.address.iter().chain([&choice.country]);
    let place: Vec<_> = lines.map(String::as_str).filter(|line| !line.is_empty()).collect();
    format!("{}: {}, {}", choice.id, choice.name, place.join(", "))
}

fn account(view: &RegistrationView) -> String {
    let id = &view.summary.account_id;
    match &view.summary.account {
        Some(account) => person(id.as_str(), &account.name, account.email.as_deref()),
        None => id.to_string(),
    }
}

fn administrator(da: &AdministratorView) -> String {
    person(da.account_id.as_str(), &da.name, da.email.as_deref())
}

fn person(id: &str, name: &str, email: Option<&str>) -> String {
    let email = email.map(|email| format!(" <{email}>")).unwrap_or_default();
    format!("{id}: {name}{email}")
}

/// The detail stands below its event: there it has room on narrow terminals, too.
fn timeline(screen: Screen, lines: &[TimelineLine]) -> String {
    let columns = [
        Column::new("WHEN (UTC)", 0),
        Column::new("ACTOR", 0),
        Column::new("EVENT", 0).wrapped(),
    ];
    let rows = lines.iter().flat_map(|line| {
        let at = line.at.format("%Y-%m-%d %H:%M:%S").to_string();
        let detail = line
            .detail
            .iter()
            .map(|(key, value)| format!("{key}: {}", plain(value)));
        let detail = detail.collect::<Vec<_>>().join("; ");
        let below = (!detail.is_empty()).then(|| [String::new(), String::new(), detail]);
        iter::once([at, line.actor.clone(), line.event.clone()]).chain(below)
    });
    table::table(screen, columns, rows)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}
