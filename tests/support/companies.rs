//! A directory with as many companies as a test wants.
//!
//! Company `n` is the tree `c<n>` with the site `c<n>-site`; its contract is `5<n>`, with the device `DEV<n>`. Its applicants are
//! `c<n>-a`, `c<n>-b`, … (after `z`: `c<n>-a26`, …), with addresses at `c<n>.example`.

use serde_json::{Value, json};

/// `count` companies of `applicants` applicants each; with `administrator`, `c<n>-da` is the DA of each.
pub(crate) fn companies(count: usize, applicants: usize, administrator: bool) -> Value {
    let (mut organizations, mut accounts, mut contracts, mut devices, mut administrators) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..count {
        let company = format!("c{n}");
        let organization = |id: &str, parent: Option<&str>| {
            json!({"id": id, "name": format!("COMPANY {n}"), "address": ["1 MAIN ST"], "country": "US",
                "parent_id": parent, "email_domains": [], "flagged": false})
        };
        organizations.push(organization(&company, None));
        organizations.push(organization(&format!("{company}-site"), Some(&company)));
        let account = |name: &str, contracts: Value| {
            json!({"id": format!("{company}-{name}"), "name": format!("{name} of {company}"),
                "email": format!("{name}@{company}.example"), "status": "active", "locale": "en", "flagged": false,
                "contracts": contracts})
        };
        for name in (0..applicants).map(applicant) {
            accounts.push(account(&name, json!([format!("5{n}")])));
        }
        if administrator {
            accounts.push(account("da", json!([])));
            administrators.push(json!({"account_id": format!("{company}-da"), "organization_id": company}));
        }
        contracts.push(json!({"number": format!("5{n}"), "type": "sp_base", "status": "active",
            "ends_on": "2099-12-31", "organization_id": format!("{company}-site"), "flagged": false}));
        devices.push(json!({"serial_number": format!("DEV{n}"), "contract_number": format!("5{n}")}));
    }
    json!({"organizations": organizations, "accounts": accounts, "contracts": contracts, "devices": devices,
        "administrators": administrators})
}

/// The name of a company's applicant, counted from 0.
pub(crate) fn applicant(number: usize) -> String {
    match u8::try_from(number) {
        Ok(number @ 0..26) => char::from(b'a' + number).to_string(),
        _ => format!("a{number}"),
    }
}

/// `registration.submitted` by an applicant (`a`) of company `n`.
pub(crate) fn submitted_at(registration: &str, n: usize, applicant: &str) -> Value {
    super::events::submitted(
        registration,
        &format!("c{n}-{applicant}"),
        &format!("5{n}"),
        &format!("DEV{n}"),
    )
}
