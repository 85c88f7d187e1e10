//! What is wrong with what an applicant entered (R27).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A field of the *Verify your account* page (R22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The account profile (R7).
    Account,
    /// The profile's e-mail address (R11).
    Email,
    /// The contract number (R20).
    ContractNumber,
    /// The serial number (R20).
    SerialNumber,
}

/// One thing that is wrong with a field (R27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FieldError {
    /// Which field.
    pub field: Field,
    /// What is wrong.
    pub code: FieldErrorCode,
}

/// What can be wrong with a field; names as in the contract's section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the names say it; `view::texts` words each for the applicant"
)]
pub enum FieldErrorCode {
    AccountNotFound,
    AccountInactive,
    AccountIncomplete,
    EmailMissing,
    EmailInvalid,
    EmailPersonalDomain,
    EmailUndeliverable,
    ContractRequired,
    ContractMalformed,
    ContractNotAssociated,
    ContractNotEntitled,
    ContractInactive,
    SerialRequired,
    SerialMalformed,
    SerialNotCovered,
    AlreadyRegistered,
    AlreadyRequested,
}

impl FieldErrorCode {
    /// The field that the error is shown at.
    pub const fn field(self) -> Field {
        match self {
            Self::AccountNotFound
            | Self::AccountInactive
            | Self::AccountIncomplete
            | Self::AlreadyRegistered
            | Self::AlreadyRequested => Field::Account,
            Self::EmailMissing | Self::EmailInvalid | Self::EmailPersonalDomain | Self::EmailUndeliverable => {
                Field::Email
            }
            Self::ContractRequired
            | Self::ContractMalformed
            | Self::ContractNotAssociated
            | Self::ContractNotEntitled
            | Self::ContractInactive => Field::ContractNumber,
            Self::SerialRequired | Self::SerialMalformed | Self::SerialNotCovered => Field::SerialNumber,
        }
    }
}

impl From<FieldErrorCode> for FieldError {
    fn from(code: FieldErrorCode) -> Self {
        Self {
            field: code.field(),
            code,
        }
    }
}
