//! Values that are valid by construction: one constructor each, private fields.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not a valid value; `Display` names the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidValue {
    what: &'static str,
    problem: &'static str,
}

/// Declares an identifier: a newtype over `String` with one checking constructor.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $problem:literal, $pattern:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("minLength" = 1, "maxLength" = $max, "pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps `text`.
            ///
            /// # Errors
            /// When `text` is empty, too long, or holds a character that is not allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
                let text = text.into();
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() || text.chars().count() > $max || !text.chars().all(allowed) {
                    return Err(InvalidValue { what: $what, problem: $problem });
                }
                Ok(Self(text))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidValue;
            fn try_from(text: String) -> Result<Self, InvalidValue> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

identifier!(
    /// The id of a registration, chosen upstream (contract, section 1).
    RegistrationId,
    "a registration id",
    64,
    "must be 1 to 64 characters of A-Z a-z 0-9 . _ -",
    r"^[A-Za-z0-9._-]+$",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
);

identifier!(
    /// The id of an account in the directory.
    AccountId,
    "an account id",
    128,
    "must be 1 to 128 visible characters without spaces",
    r"^\S+$",
    |c| !c.is_control() && !c.is_whitespace()
);

identifier!(
    /// The id of an organization in the directory.
    OrganizationId,
    "an organization id",
    128,
    "must be 1 to 128 visible characters without spaces",
    r"^\S+$",
    |c| !c.is_control() && !c.is_whitespace()
);

identifier!(
    /// A contract number: 1 to 20 digits (contract, section 3).
    ContractNumber,
    "a contract number",
    20,
    "must be 1 to 20 digits",
    "^[0-9]+$",
    |c| c.is_ascii_digit()
);

/// A device's serial number: 3 to 40 of `A-Z 0-9 -`, upper-cased (contract, section 3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SerialNumber(String);

impl SerialNumber {
    /// Upper-cases and checks `text`.
    ///
    /// # Errors
    /// When the length is not 3 to 40 or a character is not of `A-Z 0-9 -`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidValue> {
        let text = text.into().to_ascii_uppercase();
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
        if !(3..=40).contains(&text.len()) || !text.chars().all(allowed) {
            return Err(InvalidValue {
                what: "a serial number",
                problem: "must be 3 to 40 characters of A-Z 0-9 -",
            });
        }
        Ok(Self(text))
    }

    /// The serial number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SerialNumber {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

impl From<SerialNumber> for String {
    fn from(value: SerialNumber) -> Self {
        value.0
    }
}

/// An e-mail address that mail can be sent to: RFC 5321 form, no display name, no control characters.
///
/// `Display` and `Debug` mask it (`n…@acme.example`): a full address never reaches a log by accident. Use
/// [`EmailAddress::expose`] where the address itself is meant.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Trims and checks `text`.
    ///
    /// # Errors
    /// When `text` is not a deliverable address with a domain of two labels or more.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let text = text.as_ref().trim();
        let options = email_address::Options::default()
            .with_required_tld()
            .without_display_text()
            .without_domain_literal();
        let plain = text.len() <= 254 && text.is_ascii() && !text.contains(|c: char| c.is_control() || c == ' ');
        if !plain || email_address::EmailAddress::parse_with_options(text, options).is_err() {
            return Err(InvalidValue {
                what: "an e-mail address",
                problem: "must have the form name@domain.example",
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The whole address.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part behind the `@`, in lower case.
    pub fn domain(&self) -> String {
        self.0
            .rsplit_once('@')
            .map_or(String::new(), |(_, domain)| domain.to_ascii_lowercase())
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.chars().next().unwrap_or('?');
        write!(f, "{first}…@{}", self.domain())
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

impl From<EmailAddress> for String {
    fn from(value: EmailAddress) -> Self {
        value.0
    }
}

/// What an applicant typed into a field: trimmed, and cut where it could not be valid any more, so that
/// nobody can make us store and echo megabytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Entered(String);

impl Entered {
    /// Longest text kept, in characters. The longest valid serial number has 40.
    pub const MAX_CHARS: usize = 64;

    /// Trims `text`, and cuts it at [`Entered::MAX_CHARS`] with an ellipsis.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        if text.chars().count() <= Self::MAX_CHARS {
            return Self(text.to_owned());
        }
        let kept = text.chars().take(Self::MAX_CHARS - 1);
        Self(kept.chain(std::iter::once('…')).collect())
    }

    /// As [`Entered::new`], in upper case: serial numbers are (contract, section 3).
    pub fn uppercase(text: &str) -> Self {
        Self(Self::new(text).0.to_ascii_uppercase())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A role that access is granted in (R3; contract, section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// All reports; may make others Customer Administrator (R59).
    CustomerAdministrator,
    /// A user of the customer.
    CustomerUser,
    /// An administrator of a partner.
    PartnerAdministrator,
    /// A user of a partner.
    PartnerUser,
    /// A user of the API.
    ApiDeveloper,
}

impl Role {
    /// Every role, in the order of the contract.
    pub const ALL: [Self; 5] = [
        Self::CustomerAdministrator,
        Self::CustomerUser,
        Self::PartnerAdministrator,
        Self::PartnerUser,
        Self::ApiDeveloper,
    ];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CustomerAdministrator => "customer_administrator",
            Self::CustomerUser => "customer_user",
            Self::PartnerAdministrator => "partner_administrator",
            Self::PartnerUser => "partner_user",
            Self::ApiDeveloper => "api_developer",
        }
    }
}

/// What a grant gives: a role, or the duty of a DA, which comes with an appointment (D20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Being delegated administrator of the organization (R58).
    DelegatedAdministrator,
    /// Holding a role there.
    #[serde(untagged)]
    Role(Role),
}

impl Access {
    /// The name that provisioning targets are given (contract, section 5).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DelegatedAdministrator => "delegated_administrator",
            Self::Role(role) => role.as_str(),
        }
    }
}

/// The language of mails and views (D17): Dutch, or English for everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// Dutch.
    Nl,
}

impl Locale {
    /// Reads a BCP 47 tag such as `nl`, `nl-BE` or `nl_NL`; whatever is not Dutch is English (D17).
    pub fn from_tag(tag: &str) -> Self {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("nl") {
            Self::Nl
        } else {
            Self::En
        }
    }

    /// The language's code, which names the folder of its templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Nl => "nl",
        }
    }
}
