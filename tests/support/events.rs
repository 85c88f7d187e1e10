//! CloudEvents as the portal sends them (contract, section 1).

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// A CloudEvent with an id of its own.
pub(crate) fn event(kind: &str, subject: &str, data: &Value) -> Value {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    json!({
        "specversion": "1.0",
        "id": format!("test-{}-{number}", std::process::id()),
        "source": "/portal",
        "type": kind,
        "subject": subject,
        "data": data,
    })
}

pub(crate) fn submitted(registration: &str, account: &str, contract: &str, serial: &str) -> Value {
    let data = json!({"account_id": account, "contract_number": contract, "serial_number": serial});
    event("registration.submitted", registration, &data)
}

pub(crate) fn resubmitted(registration: &str, contract: &str, serial: &str) -> Value {
    let data = json!({"contract_number": contract, "serial_number": serial});
    event("registration.resubmitted", registration, &data)
}

pub(crate) fn confirmed(registration: &str) -> Value {
    event("registration.confirmed", registration, &json!({}))
}

/// `None` is *None of the above*.
pub(crate) fn organization_selected(registration: &str, organization: Option<&str>) -> Value {
    let data = json!({"organization_id": organization});
    event("registration.organization_selected", registration, &data)
}

pub(crate) fn verification_resend_requested(registration: &str) -> Value {
    event("registration.verification_resend_requested", registration, &json!({}))
}

pub(crate) fn email_verified(registration: &str, token: &str) -> Value {
    event("registration.email_verified", registration, &json!({"token": token}))
}

pub(crate) fn da_granted(registration: &str, da_account: &str, role: &str) -> Value {
    let data = json!({"da_account_id": da_account, "decision": "grant", "role": role});
    event("registration.da_decided", registration, &data)
}

pub(crate) fn da_denied(registration: &str, da_account: &str, reason: &str) -> Value {
    let data = json!({"da_account_id": da_account, "decision": "deny", "reason": reason});
    event("registration.da_decided", registration, &data)
}

/// An agent makes the applicant DA of an organization.
pub(crate) fn appointed(registration: &str, organization: &str) -> Value {
    reviewed(
        registration,
        &json!({"decision": "appoint", "organization_id": organization}),
    )
}

/// An agent sends the request to the DAs of an organization.
pub(crate) fn routed(registration: &str, organization: &str) -> Value {
    reviewed(
        registration,
        &json!({"decision": "route", "organization_id": organization}),
    )
}

pub(crate) fn rejected(registration: &str, reason: &str) -> Value {
    reviewed(registration, &json!({"decision": "reject", "reason": reason}))
}

/// An agent asks the applicant something.
pub(crate) fn asked(registration: &str, question: &str) -> Value {
    reviewed(registration, &json!({"decision": "ask", "question": question}))
}

fn reviewed(registration: &str, decision: &Value) -> Value {
    let mut data = decision.clone();
    data["agent"] = json!("agent-7");
    event("registration.review_decided", registration, &data)
}

pub(crate) fn information_provided(registration: &str, answer: &str) -> Value {
    event(
        "registration.information_provided",
        registration,
        &json!({"answer": answer}),
    )
}

pub(crate) fn withdrawn(registration: &str) -> Value {
    event("registration.withdrawn", registration, &json!({}))
}
