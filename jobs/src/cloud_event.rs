//! Reading the CloudEvents that upstream adds to the intake (contract, section 1): bytes in, a typed event or the
//! reason of refusal out.

mod bounded;
mod data;
mod located;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use self::data::{
    BounceKind, DaDecided, DaDecision, Delegated, EmailVerified, InformationProvided, MailBounced, NoData, Numbers,
    OrganizationSelected, ReviewDecided, ReviewDecision, RoleDelegated, Submitted, TermsAccepted, Withdrawn,
};
use crate::{
    refusal::{Reason, Refusal},
    trace::Trace,
    values::{AccountId, RegistrationId},
};

/// Largest event taken in, in bytes (contract, section 1).
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// Longest `id` and `source`, in characters.
const MAX_KEY_CHARS: usize = 256;

/// A CloudEvent as it was read: its attributes and its typed data.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    /// With [`CloudEvent::source`] the idempotency key.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// What it is about: a registration id, an account id or a Message-ID.
    pub subject: String,
    /// When it happened, if the sender says so.
    pub time: Option<DateTime<Utc>>,
    /// Which request it belongs to, for logs: as its `traceparent` says, or its own.
    pub trace: Trace,
    /// The type and its data.
    pub data: UpstreamEvent,
}

/// The envelope of CloudEvents 1.0 in JSON, as upstream sends it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "CloudEvent", inline)]
pub struct Envelope {
    /// Always `1.0`.
    #[schemars(regex(pattern = r"^1\.0$"))]
    pub specversion: String,
    /// Unique for the `source`; with it the idempotency key.
    #[schemars(length(min = 1, max = 256))]
    pub id: String,
    /// Who sends it, as a URI reference.
    #[schemars(length(min = 1, max = 256))]
    pub source: String,
    /// The type of event.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    #[schemars(length(min = 1, max = 998))]
    pub subject: String,
    /// When it happened (RFC 3339).
    #[serde(default)]
    pub time: Option<DateTime<Utc>>,
    /// The trace that it belongs to (W3C Trace Context); what is none is ignored.
    #[serde(default)]
    #[schemars(
        with = "Option<String>",
        regex(pattern = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
    )]
    pub traceparent: Option<Value>,
    /// What the type asks for; unknown fields are ignored.
    #[serde(default)]
    pub data: Option<Value>,
}

/// Declares the types of events with their data, in the order of the contract.
macro_rules! upstream_events {
    ($($(#[$doc:meta])* $variant:ident($data:ty) => $name:literal,)*) => {
        /// Every event of the contract's section 1, with its data.
        #[derive(Debug, Clone, PartialEq)]
        pub enum UpstreamEvent {
            $($(#[$doc])* $variant($data),)*
        }

        impl UpstreamEvent {
            /// The types, in the order of the contract.
            pub const TYPES: &'static [&'static str] = &[$($name,)*];

            /// The event's type.
            pub const fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            fn read(kind: &str, data: &Value) -> Result<Self, Refusal> {
                match kind {
                    $($name => read_data::<$data>(data).map(Self::$variant),)*
                    unknown => Err(Refusal::new(Reason::UnknownType, "unknown_type")
                        .with("message", format!("{:?} is none of: {}", shorten(unknown), Self::TYPES.join(", ")))),
                }
            }

            /// The JSON Schema of each type's data, by type.
            pub fn data_schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($name, schemars::schema_for!($data)),)*]
            }
        }
    };
}

upstream_events! {
    /// A new request (R1, R20).
    RegistrationSubmitted(Submitted) => "registration.submitted",
    /// Another try, or *Back* (R23, R28, R43).
    RegistrationResubmitted(Numbers) => "registration.resubmitted",
    /// *Confirm* was pressed (R34).
    RegistrationConfirmed(NoData) => "registration.confirmed",
    /// An organization was chosen, or *None of the above* (R41, R44).
    RegistrationOrganizationSelected(OrganizationSelected) => "registration.organization_selected",
    /// *Resend verification* (R53).
    RegistrationVerificationResendRequested(NoData) => "registration.verification_resend_requested",
    /// The link of the verification mail was used on a page of the portal's own (R54).
    RegistrationEmailVerified(EmailVerified) => "registration.email_verified",
    /// A DA granted or denied (R31).
    RegistrationDaDecided(DaDecided) => "registration.da_decided",
    /// An agent decided (D10).
    RegistrationReviewDecided(ReviewDecided) => "registration.review_decided",
    /// The applicant answered the agent (D10).
    RegistrationInformationProvided(InformationProvided) => "registration.information_provided",
    /// The applicant gave up (R19).
    RegistrationWithdrawn(Withdrawn) => "registration.withdrawn",
    /// A DA accepted the terms (D15).
    DelegationTermsAccepted(TermsAccepted) => "delegation.terms_accepted",
    /// A DA registered another (R58).
    DelegationAdministratorAdded(Delegated) => "delegation.administrator_added",
    /// A DA was removed (D16).
    DelegationAdministratorRemoved(Delegated) => "delegation.administrator_removed",
    /// A user was associated with the company (R58).
    DelegationUserAssociated(Delegated) => "delegation.user_associated",
    /// A user was disassociated (R58).
    DelegationUserDisassociated(Delegated) => "delegation.user_disassociated",
    /// A role was assigned (R58).
    DelegationRoleAssigned(RoleDelegated) => "delegation.role_assigned",
    /// A role was removed (R58).
    DelegationRoleRemoved(RoleDelegated) => "delegation.role_removed",
    /// A mail came back (D2, D22).
    MailBounced(MailBounced) => "mail.bounced",
}

/// Reads the bytes of an intake entry's field `event`.
///
/// # Errors
/// A [`Refusal`] with `too_large`, `malformed`, `unknown_type` or `invalid_data`, and a message that names the fault.
pub fn parse(bytes: &[u8]) -> Result<CloudEvent, Refusal> {
    if bytes.len() > MAX_EVENT_BYTES {
        return Err(Refusal::new(Reason::TooLarge, "too_large")
            .with("bytes", bytes.len())
            .with("limit_bytes", MAX_EVENT_BYTES));
    }
    parse_kept(bytes)
}

/// Reads an event that was taken in: with the digests that stand in it for tokens it may be longer than what is taken.
///
/// # Errors
/// As [`parse`], but for `too_large`.
pub fn parse_kept(bytes: &[u8]) -> Result<CloudEvent, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| malformed("not_utf8", &format!("the event is not UTF-8: {error}")))?;
    let value: Value = serde_json::from_str(text)
        .map_err(|error| malformed("not_json", &format!("the event is not JSON: {error}")))?;
    // PostgreSQL cannot keep it, and no honest sender needs it.
    if holds_nul(&value) {
        return Err(malformed("nul_character", "the event holds the character U+0000"));
    }
    // serde would take a struct's fields from an array, too.
    if !value.is_object() {
        return Err(malformed("not_a_cloud_event", "the event is not a JSON object"));
    }
    let envelope: Envelope = located::read(&value)
        .map_err(|error| malformed("not_a_cloud_event", &format!("the event is not a CloudEvent: {error}")))?;
    if envelope.specversion != "1.0" {
        let message = format!(
            "specversion is {:?}; only \"1.0\" is known",
            shorten(&envelope.specversion)
        );
        return Err(malformed("specversion", &message));
    }
    check_key("id", &envelope.id)?;
    check_key("source", &envelope.source)?;
    if envelope.subject.is_empty() || envelope.subject.chars().count() > 998 {
        return Err(malformed("subject", "subject must have 1 to 998 characters"));
    }
    let data = envelope.data.unwrap_or(Value::Object(serde_json::Map::new()));
    let data = UpstreamEvent::read(&envelope.kind, &data)?;
    if data.type_name().starts_with("registration.") {
        RegistrationId::new(envelope.subject.as_str()).map_err(|error| invalid_data(&format!("subject: {error}")))?;
    }
    if data.type_name().starts_with("delegation.") {
        AccountId::new(envelope.subject.as_str()).map_err(|error| invalid_data(&format!("subject: {error}")))?;
    }
    let traceparent = envelope.traceparent.as_ref().and_then(Value::as_str);
    let trace = traceparent
        .and_then(Trace::of_traceparent)
        .unwrap_or_else(|| Trace::of_event(&envelope.source, &envelope.id));
    Ok(CloudEvent {
        trace,
        id: envelope.id,
        source: envelope.source,
        subject: envelope.subject,
        time: envelope.time,
        data,
    })
}

fn check_key(name: &str, value: &str) -> Result<(), Refusal> {
    if value.is_empty() || value.chars().count() > MAX_KEY_CHARS {
        return Err(malformed(
            "attribute",
            &format!("{name} must have 1 to {MAX_KEY_CHARS} characters"),
        ));
    }
    Ok(())
}

fn read_data<T: DeserializeOwned>(data: &Value) -> Result<T, Refusal> {
    if !data.is_object() {
        return Err(invalid_data("data: must be an object"));
    }
    located::read(data).map_err(|error| invalid_data(&error.within("data")))
}

fn malformed(code: &str, message: &str) -> Refusal {
    Refusal::new(Reason::Malformed, code).with("message", shorten(message))
}

fn invalid_data(message: &str) -> Refusal {
    Refusal::new(Reason::InvalidData, "invalid_data").with("message", shorten(message))
}

/// Messages quote what was sent; they stay readable whatever that was.
fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 400;
    if text.chars().count() <= MAX_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_CHARS).chain(std::iter::once('…')).collect()
}

/// serde_json bounds the nesting at 128, so recursion is safe.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(key, item)| key.contains('\0') || holds_nul(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
