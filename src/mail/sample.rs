//! Sample data: what `enrolld mails preview` shows, and the tests render.

use chrono::{DateTime, TimeDelta};
use enrolld_jobs::{
    effect::{AlertCode, DelegationChange, MailKind},
    registration::ReviewReason,
    values::{Locale, Role},
};

use super::context::{Alarm, DecideLink, Delegated, Link, MailContext, Person, Place, Portal};

/// The base of sample links: a domain that nobody can register.
const LINKS: &str = "https://portal.example";
/// As long as a token, and evidently none.
const TOKEN: &str = "this-is-a-sample-and-opens-nothing-whatever";

/// 22 November 2026, in days since 1970: no clock is asked, so that a sample is always the same.
const SAMPLE_DAY: i64 = 20_779;

/// The guide's own example, as the mail `kind` sees it: everything that the kind may tell is there, and all of it is
/// made up but the `portal`.
pub fn sample(kind: MailKind, locale: Locale, portal: Portal) -> MailContext {
    let begun = DateTime::UNIX_EPOCH + TimeDelta::days(SAMPLE_DAY) + TimeDelta::hours(9);
    let problem = match locale {
        Locale::En => "The contract is not active.",
        Locale::Nl => "Het contract is niet actief.",
    };
    let address = || vec!["1 MAIN ST".to_owned(), "SAN JOSE CA".to_owned()];
    MailContext {
        registration_id: (!is_about_delegation(kind)).then(|| "reg-1".to_owned()),
        recipient_name: reader(kind).map(str::to_owned),
        applicant: Some(person("SNTC Newbie", "newbie@acme.example")),
        contract_number: "93988396".to_owned(),
        serial_number: "FOC1436Y3XK".to_owned(),
        organization: Some(Place {
            name: "ACME INC".to_owned(),
            address: address(),
            country: "US".to_owned(),
        }),
        administrator: Some(person("Bea Boss", "boss@acme.example")),
        administrator_address: if is_about_delegation(kind) {
            Vec::new()
        } else {
            address()
        },
        role: Some(match kind {
            MailKind::ProvisioningOverdue => Role::CustomerAdministrator,
            _ => Role::CustomerUser,
        }),
        decided_at: Some(begun + TimeDelta::hours(1)),
        reason: Some("Not with our company any more".to_owned()),
        review_reason: Some(ReviewReason::NoReachableDa),
        question: Some("Which of the two sites do you look after?".to_owned()),
        problems: vec![problem.to_owned()],
        link: Some(Link {
            url: format!("{LINKS}/verify/{TOKEN}"),
            valid_until: begun + TimeDelta::days(1),
        }),
        decide_link: Some(DecideLink {
            url: format!("{LINKS}/decide/{TOKEN}"),
        }),
        waiting_since: Some(begun),
        decide_by: Some(begun + TimeDelta::days(3)),
        answer_by: Some(begun + TimeDelta::days(7)),
        expires_on: Some(begun + TimeDelta::days(30)),
        delegation: is_about_delegation(kind).then(|| Delegated {
            change: match kind {
                MailKind::DelegationChanged => Some(DelegationChange::RoleAssigned(Role::CustomerUser)),
                _ => None,
            },
            company: Some("ACME GROUP".to_owned()),
        }),
        alert: (kind == MailKind::OpsAlert).then(|| Alarm {
            code: AlertCode::JobDead,
            message: "The job notification has failed for good (smtp_refused).".to_owned(),
            job_id: Some("6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90".to_owned()),
            account_id: Some("newbie".to_owned()),
            organization_id: Some("acme".to_owned()),
        }),
        portal,
    }
}

fn person(name: &str, email: &str) -> Person {
    Person {
        name: name.to_owned(),
        email: Some(email.to_owned()),
    }
}

/// Mails that come of a delegation, and so belong to no registration.
const fn is_about_delegation(kind: MailKind) -> bool {
    matches!(
        kind,
        MailKind::TermsReminder | MailKind::SecondDaAdvised | MailKind::DelegationChanged
    )
}

/// Whom the mail greets; nobody by name in a mailbox that several people read.
const fn reader(kind: MailKind) -> Option<&'static str> {
    match kind {
        MailKind::ReviewCase | MailKind::ReviewOverdue | MailKind::OpsAlert => None,
        MailKind::AccessRequest
        | MailKind::AccessRequestReminder
        | MailKind::DecisionReceipt
        | MailKind::TermsReminder
        | MailKind::SecondDaAdvised => Some("Bea Boss"),
        MailKind::AccessRequestNotice => Some("Otto Other"),
        _ => Some("SNTC Newbie"),
    }
}
