//! What templates are given.

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    effect::{AlertCode, DelegationChange},
    registration::ReviewReason,
    values::Role,
};
use serde::Serialize;

use crate::settings::PortalSettings;

/// Everything that a mail may tell. A kind that needs a field which is `None` fails to render, rather than going out
/// with a hole.
///
/// It holds personal data and links that are credentials (D7): it is made when a mail is rendered, and neither stored
/// nor logged; hence no `Debug`.
#[derive(Clone, Serialize)]
pub struct MailContext {
    /// The registration that the mail is about, if it belongs to one. Needed by `review_case` and `review_overdue`.
    pub registration_id: Option<String>,
    /// Whom the mail greets; `None` for a mailbox that several people read.
    pub recipient_name: Option<String>,
    /// Who asks for access. Needed by all mails about a registration.
    pub applicant: Option<Person>,
    /// The contract number entered; empty when there is none.
    pub contract_number: String,
    /// The serial number entered; empty when there is none.
    pub serial_number: String,
    /// The organization concerned: that of a delegation, else the one granted or selected, else the contract's site. Needed
    /// by the mails to DAs about themselves, and by `delegation_changed`.
    pub organization: Option<Place>,
    /// The DA who is asked, has decided, is to be asked, or has changed a delegation. Needed by `access_request_notice`, `access_denied` and
    /// `rerouted`.
    pub administrator: Option<Person>,
    /// Lines of that DA's postal address (R33).
    pub administrator_address: Vec<String>,
    /// The role granted. Needed by `access_approved`.
    pub role: Option<Role>,
    /// When the DA decided. Needed by `decision_receipt`, which says of a decision without `role` that it was a denial.
    pub decided_at: Option<DateTime<Utc>>,
    /// What the DA or the agent gave as the reason, if anything.
    pub reason: Option<String>,
    /// Why the registration is with an agent. Needed by `review_case` and `review_overdue`; `with_agent` words it when it
    /// is there.
    pub review_reason: Option<ReviewReason>,
    /// What the agent asks of the applicant (R45). Needed by `question`.
    pub question: Option<String>,
    /// What is wrong, one sentence each, in the language of the mail. Worded by `correction_needed`, and by
    /// `idle_reminder` where it is what the registration waits for.
    pub problems: Vec<String>,
    /// The verification link (D7). Needed by `verification`.
    pub link: Option<Link>,
    /// The link with which the DA decides without signing in; without it `access_request` and its reminder lead to the
    /// portal.
    pub decide_link: Option<DecideLink>,
    /// When the request began to wait: for the DA who is asked (`access_request`; needed by `access_request_reminder`),
    /// for an agent (`review_case`, `review_overdue`, `review_update`), or for access to be set up (`provisioning_overdue`).
    /// In `terms_reminder`, since when its reader has been DA.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Until when the DA (`access_request`; needed by `access_request_reminder`) or the agent (`review_case`; needed by
    /// `review_overdue`, as that since when the case is overdue) is asked to decide (D1, D10).
    pub decide_by: Option<DateTime<Utc>>,
    /// Until when the applicant may answer the agent's question (D10). Needed by `question`.
    pub answer_by: Option<DateTime<Utc>>,
    /// When the registration expires if its applicant does nothing (D12). Needed by `idle_reminder`.
    pub expires_on: Option<DateTime<Utc>>,
    /// What a DA has changed (R58). Needed by `delegation_changed`; in other mails about delegation it has no `change`.
    pub delegation: Option<Delegated>,
    /// What ops should know of. Needed by `ops_alert`.
    pub alert: Option<Alarm>,
    /// The portal's name and pages.
    pub portal: Portal,
}

impl MailContext {
    /// That of a mail which has nothing to tell but the portal.
    pub const fn new(portal: Portal) -> Self {
        Self {
            registration_id: None,
            recipient_name: None,
            applicant: None,
            contract_number: String::new(),
            serial_number: String::new(),
            organization: None,
            administrator: None,
            administrator_address: Vec::new(),
            role: None,
            decided_at: None,
            reason: None,
            review_reason: None,
            question: None,
            problems: Vec::new(),
            link: None,
            decide_link: None,
            waiting_since: None,
            decide_by: None,
            answer_by: None,
            expires_on: None,
            delegation: None,
            alert: None,
            portal,
        }
    }
}

/// Somebody named in a mail.
#[derive(Clone, Serialize)]
pub struct Person {
    /// Name, as in the profile.
    pub name: String,
    /// E-mail address, if they have one that mail can be sent to.
    pub email: Option<String>,
}

/// An organization as a mail shows it; the address tells equal names apart (R50).
#[derive(Clone, Serialize)]
pub struct Place {
    /// Name.
    pub name: String,
    /// Lines of the postal address.
    pub address: Vec<String>,
    /// ISO 3166 code.
    pub country: String,
}

/// What was delegated; the organization stands in [`MailContext::organization`].
#[derive(Clone, Serialize)]
pub struct Delegated {
    /// What has changed. Needed by `delegation_changed`.
    pub change: Option<DelegationChange>,
    /// The name of the company that the organization belongs to, unless it is the organization itself.
    pub company: Option<String>,
}

/// What ops should know of, as a mail tells it.
#[derive(Clone, Serialize)]
pub struct Alarm {
    /// What it is.
    pub code: AlertCode,
    /// What happened, in a sentence.
    pub message: String,
    /// The id of the job concerned.
    pub job_id: Option<String>,
    /// The account concerned.
    pub account_id: Option<String>,
    /// The organization concerned.
    pub organization_id: Option<String>,
}

/// A link that is a credential.
#[derive(Clone, Serialize)]
pub struct Link {
    /// The whole URL.
    pub url: String,
    /// When it expires.
    pub valid_until: DateTime<Utc>,
}

/// A link with which a DA decides: a credential too, valid as long as they may decide.
#[derive(Clone, Serialize)]
pub struct DecideLink {
    /// The whole URL.
    pub url: String,
}

/// Where the mails lead to (R61). All are whole URLs, from configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Portal {
    /// What the portal is called.
    pub name: String,
    /// Its start page.
    pub url: String,
    /// The page for newcomers.
    pub newcomers_url: String,
    /// The access-management tool.
    pub access_url: String,
    /// The support community (R40).
    pub community_url: String,
}

impl From<&PortalSettings> for Portal {
    fn from(settings: &PortalSettings) -> Self {
        Self {
            name: settings.name.clone(),
            url: settings.url.to_string(),
            newcomers_url: settings.newcomers_url.to_string(),
            access_url: settings.access_url.to_string(),
            community_url: settings.community_url.to_string(),
        }
    }
}
