//! Why an event is refused (contract, section 1).

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The reasons of the contract's section 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not a CloudEvent in JSON.
    Malformed,
    /// Larger than an event may be.
    TooLarge,
    /// A type that the contract does not have.
    UnknownType,
    /// The data does not fit the type.
    InvalidData,
    /// No registration has this id.
    UnknownRegistration,
    /// The actor may not do this (D3).
    NotEntitled,
    /// Not in this state, or not yet.
    NotAllowed,
    /// Taking it in ended the daemon, again and again.
    Poison,
}

impl Reason {
    /// Every reason, in the order of the contract.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::TooLarge,
        Self::UnknownType,
        Self::InvalidData,
        Self::UnknownRegistration,
        Self::NotEntitled,
        Self::NotAllowed,
        Self::Poison,
    ];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::UnknownType => "unknown_type",
            Self::InvalidData => "invalid_data",
            Self::UnknownRegistration => "unknown_registration",
            Self::NotEntitled => "not_entitled",
            Self::NotAllowed => "not_allowed",
            Self::Poison => "poison",
        }
    }
}

/// A refused event: the reason, and the detail that tells the sender what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// An object with at least `code`.
    pub detail: Map<String, Value>,
}

impl Refusal {
    /// A refusal with `detail.code`.
    pub fn new(reason: Reason, code: &str) -> Self {
        let mut detail = Map::new();
        detail.insert("code".to_owned(), code.into());
        Self { reason, detail }
    }

    /// Adds a field to the detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// Adds the moment from which on the same event would be taken (D8).
    #[must_use]
    pub fn retry_at(self, at: DateTime<Utc>) -> Self {
        self.with("retry_at", at.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// The detail's code.
    pub fn code(&self) -> &str {
        self.detail.get("code").and_then(Value::as_str).unwrap_or_default()
    }
}
