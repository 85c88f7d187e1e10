//! What the outside sees of a registration, and what ops are told (contract, sections 2 and 3).

mod texts;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    decide::{TimelineEntry, allowed, allowed_in},
    directory::{Administrator, Organization},
    effect::{Alert, AlertCode},
    registration::{Field, FieldErrorCode, Registration, ReviewReason, State, StateName},
    values::{AccountId, Locale, OrganizationId, RegistrationId, Role},
};

/// The registration view of the contract's section 3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Registration")]
pub struct RegistrationView {
    /// What does not need the history or the directory's lists.
    #[serde(flatten)]
    pub summary: RegistrationSummary,
    /// All DAs who cover the site, in order of appointment (R36).
    pub administrators: Vec<AdministratorName>,
    /// The organizations to select from, root first (R41, R49, R50).
    pub organizations: Vec<OrganizationChoice>,
    /// What has happened so far, oldest first.
    pub timeline: Vec<TimelineLine>,
}

/// The data of `registration.changed`: the summary and the version (contract, section 2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "RegistrationChanged")]
pub struct RegistrationChanged {
    /// The view without its lists.
    #[serde(flatten)]
    pub summary: RegistrationSummary,
    /// Raised with every change: drop what is not above the last seen.
    pub version: u64,
}

/// The data of `ops.alert`: something that ops should know of (contract, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "OpsAlert")]
pub struct OpsAlert {
    /// What it is.
    pub code: AlertCode,
    /// What happened, in a sentence; no secret and no full address.
    pub message: String,
    /// The registration concerned.
    pub registration_id: Option<RegistrationId>,
    /// The job concerned.
    #[schemars(with = "Option<String>", extend("format" = "uuid"))]
    pub job_id: Option<Uuid>,
    /// The account concerned.
    pub account_id: Option<AccountId>,
    /// The organization concerned.
    pub organization_id: Option<OrganizationId>,
}

/// The part of the view that `registration.changed` carries too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationSummary {
    /// The registration's id.
    pub id: RegistrationId,
    /// Who asks.
    pub account_id: AccountId,
    /// Name and address from the profile (R22), once verification has seen it.
    pub account: Option<AccountView>,
    /// Where it stands.
    pub state: StateName,
    /// Since when.
    #[serde(serialize_with = "seconds")]
    pub since: DateTime<Utc>,
    /// The next moment at which the daemon acts by itself.
    #[serde(serialize_with = "optional_seconds")]
    pub deadline: Option<DateTime<Utc>>,
    /// A headline for the applicant, in their language.
    pub title: String,
    /// Where it stands, who holds it and what happens next, for the applicant.
    pub message: String,
    /// Everything that is wrong (R27).
    pub field_errors: Vec<FieldErrorView>,
    /// The contract number entered.
    pub contract_number: String,
    /// The serial number entered.
    pub serial_number: String,
    /// The DA now asked or, before *Confirm*, to be asked (R33).
    pub delegated_administrator: Option<AdministratorView>,
    /// The organization selected or, after a DA's grant, the contract's site.
    pub organization_id: Option<OrganizationId>,
    /// The role granted.
    pub role: Option<Role>,
    /// Why it is with an agent.
    pub review_reason: Option<ReviewReason>,
    /// What the agent asked.
    pub question: Option<String>,
    /// Until when the link in the newest verification mail is valid.
    #[serde(serialize_with = "optional_seconds")]
    pub link_valid_until: Option<DateTime<Utc>>,
    /// The events that may be sent now.
    pub allowed: Vec<String>,
}

/// Name and address from the profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountView {
    /// Name.
    pub name: String,
    /// Address, if it is one that mail can be sent to.
    pub email: Option<String>,
}

/// A DA with what the applicant needs to reach them (R33).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdministratorView {
    /// The account.
    pub account_id: AccountId,
    /// Name.
    pub name: String,
    /// Address.
    pub email: Option<String>,
    /// Lines of the postal address.
    pub address: Vec<String>,
}

/// A DA in the list of all (R36).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdministratorName {
    /// The account.
    pub account_id: AccountId,
    /// Name.
    pub name: String,
}

/// An organization to select (R41, R50).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrganizationChoice {
    /// The id to send.
    pub id: OrganizationId,
    /// Name.
    pub name: String,
    /// Lines of the postal address.
    pub address: Vec<String>,
    /// ISO 3166 code.
    pub country: String,
}

/// One thing that is wrong with a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldErrorView {
    /// Which field.
    pub field: Field,
    /// What is wrong.
    pub code: FieldErrorCode,
    /// The same for the applicant, in their language.
    pub message: String,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineLine {
    /// When.
    #[serde(serialize_with = "seconds")]
    pub at: DateTime<Utc>,
    /// The event.
    pub event: String,
    /// Who: an account id, an agent, or `enrolld`.
    pub actor: String,
    /// More about it.
    pub detail: Map<String, Value>,
}

impl From<&TimelineEntry> for TimelineLine {
    fn from(entry: &TimelineEntry) -> Self {
        Self {
            at: entry.at,
            event: entry.event.to_owned(),
            actor: entry.actor.clone(),
            detail: entry.detail.clone(),
        }
    }
}

impl RegistrationView {
    /// The view of `registration` with its history.
    pub fn new(registration: &Registration, timeline: Vec<TimelineLine>) -> Self {
        let administrators = registration.administrators.iter().map(|da| AdministratorName {
            account_id: da.account_id.clone(),
            name: da.name.clone(),
        });
        Self {
            summary: RegistrationSummary::new(registration),
            administrators: administrators.collect(),
            organizations: organizations(registration),
            timeline,
        }
    }
}

impl RegistrationChanged {
    /// The data of the event that announces this version of `registration`.
    pub fn new(registration: &Registration) -> Self {
        Self {
            summary: RegistrationSummary::new(registration),
            version: registration.version,
        }
    }
}

impl OpsAlert {
    /// The data of the event that tells ops of `alert`, which concerns `registration`, if any.
    pub fn new(alert: &Alert, registration: Option<RegistrationId>) -> Self {
        Self {
            code: alert.code,
            message: alert.message.clone(),
            registration_id: registration,
            job_id: alert.job,
            account_id: alert.account_id.clone(),
            organization_id: alert.organization_id.clone(),
        }
    }
}

impl RegistrationSummary {
    /// The summary of `registration`, in its applicant's language.
    pub fn new(registration: &Registration) -> Self {
        let locale = registration.locale();
        let state = registration.state.name();
        let (title, message) = texts::state(registration, locale);
        Self {
            id: registration.id.clone(),
            account_id: registration.account_id.clone(),
            account: registration.account.as_ref().map(|account| AccountView {
                name: account.name.clone(),
                email: account.email.as_ref().map(|email| email.expose().to_owned()),
            }),
            state,
            since: registration.since,
            deadline: registration.deadline,
            title,
            message,
            field_errors: field_errors(&registration.state, locale),
            contract_number: registration.contract_number.as_str().to_owned(),
            serial_number: registration.serial_number.as_str().to_owned(),
            delegated_administrator: registration.delegated_administrator().map(administrator),
            organization_id: organization_id(registration),
            role: role(&registration.state),
            review_reason: registration.review_reason(),
            question: question(&registration.state),
            link_valid_until: link_valid_until(&registration.state),
            allowed: allowed_in(&registration.state).into_iter().map(str::to_owned).collect(),
        }
    }
}

fn administrator(da: &Administrator) -> AdministratorView {
    AdministratorView {
        account_id: da.account_id.clone(),
        name: da.name.clone(),
        email: da.email.as_ref().map(|email| email.expose().to_owned()),
        address: da.address.clone(),
    }
}

/// Offered as long as one can be selected.
fn organizations(registration: &Registration) -> Vec<OrganizationChoice> {
    if !allowed(registration.state.name()).contains(&"registration.organization_selected") {
        return Vec::new();
    }
    let chain = registration.site.iter().flat_map(|site| &site.chain);
    chain.map(choice).collect()
}

fn choice(organization: &Organization) -> OrganizationChoice {
    OrganizationChoice {
        id: organization.id.clone(),
        name: organization.name.clone(),
        address: organization.address.clone(),
        country: organization.country.clone(),
    }
}

fn field_errors(state: &State, locale: Locale) -> Vec<FieldErrorView> {
    let State::NeedsCorrection { errors } = state else {
        return Vec::new();
    };
    let view = |error: &crate::registration::FieldError| FieldErrorView {
        field: error.field,
        code: error.code,
        message: texts::field_error(error.code, locale).to_owned(),
    };
    errors.iter().map(view).collect()
}

/// What is wrong, worded for the applicant; mails use the same words as the view (R27, D21).
pub fn problems(state: &State, locale: Locale) -> Vec<String> {
    field_errors(state, locale)
        .into_iter()
        .map(|error| error.message)
        .collect()
}

fn organization_id(registration: &Registration) -> Option<OrganizationId> {
    match &registration.state {
        State::Provisioning { granted, .. } | State::Active { granted } => Some(granted.organization_id.clone()),
        State::Verifying
        | State::NeedsCorrection { .. }
        | State::Routing
        | State::AwaitingConfirmation
        | State::AwaitingOrganization
        | State::AwaitingEmail { .. }
        | State::AwaitingDa { .. }
        | State::InReview { .. }
        | State::AwaitingInformation { .. }
        | State::Denied { .. }
        | State::Rejected { .. }
        | State::Withdrawn
        | State::Expired => registration.selected.clone(),
    }
}

fn role(state: &State) -> Option<Role> {
    match state {
        State::Provisioning { granted, .. } | State::Active { granted } => Some(granted.role),
        _ => None,
    }
}

fn question(state: &State) -> Option<String> {
    match state {
        State::AwaitingInformation { question, .. } => Some(question.clone()),
        _ => None,
    }
}

fn link_valid_until(state: &State) -> Option<DateTime<Utc>> {
    match state {
        State::AwaitingEmail { link } => Some(link.valid_until),
        _ => None,
    }
}

/// Moments are told in whole seconds, as in the contract's example.
fn seconds<S: serde::Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[expect(clippy::ref_option, reason = "serde hands the field by reference")]
fn optional_seconds<S: serde::Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => seconds(at, serializer),
        None => serializer.serialize_none(),
    }
}
