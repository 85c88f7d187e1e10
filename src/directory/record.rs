//! The records of a directory file (contract, section 4), and where in the file one stands.

use std::fmt;

use enrolld_jobs::values::{AccountId, ContractNumber, OrganizationId, SerialNumber};
use serde::Serialize;

use super::problem::quoted;

/// The five types of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Organizations,
    Accounts,
    Contracts,
    Devices,
    Administrators,
}

/// What a field holds; decides how a cell of CSV is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that must be there.
    Required,
    /// Text that may be missing.
    Optional,
    /// `true` or `false`; missing is `false`.
    Flag,
    /// Texts, in CSV separated by `;`; missing is none.
    List,
}

type Column = (&'static str, Kind);

impl Section {
    pub(super) const ALL: [Self; 5] = [
        Self::Organizations,
        Self::Accounts,
        Self::Contracts,
        Self::Devices,
        Self::Administrators,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Organizations => "organizations",
            Self::Accounts => "accounts",
            Self::Contracts => "contracts",
            Self::Devices => "devices",
            Self::Administrators => "administrators",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }

    /// The fields, those first that together are the record's key.
    pub(super) const fn columns(self) -> &'static [Column] {
        use Kind::{Flag, List, Optional, Required};
        match self {
            Self::Organizations => &[
                ("id", Required),
                ("name", Required),
                ("address", List),
                ("country", Required),
                ("parent_id", Optional),
                ("email_domains", List),
                ("flagged", Flag),
            ],
            Self::Accounts => &[
                ("id", Required),
                ("name", Required),
                ("email", Optional),
                ("status", Required),
                ("locale", Optional),
                ("flagged", Flag),
                ("contracts", List),
            ],
            Self::Contracts => &[
                ("number", Required),
                ("type", Required),
                ("status", Required),
                ("ends_on", Optional),
                ("organization_id", Required),
                ("flagged", Flag),
            ],
            Self::Devices => &[("serial_number", Required), ("contract_number", Required)],
            Self::Administrators => &[("account_id", Required), ("organization_id", Required)],
        }
    }

    pub(super) fn column_names(self) -> impl Iterator<Item = &'static str> + Clone {
        self.columns().iter().map(|(name, _)| *name)
    }

    /// The fields that tell records of this type apart.
    pub(super) fn key(self) -> impl Iterator<Item = &'static str> {
        let length = if self == Self::Administrators { 2 } else { 1 };
        self.column_names().take(length)
    }
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// In the list of a JSON file, from 0.
    Index(usize),
    /// In a CSV file, from 1 (the header's line).
    Line(u64),
}

/// Where a record of this type stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) section: Section,
    pub(super) spot: Spot,
}

impl Place {
    /// The place with the record's key, as far as it is known: `accounts[3] (id "newbie")`.
    pub(super) fn named<'a>(self, key: impl Fn(&'static str) -> Option<&'a str>) -> String {
        let known: Vec<String> = self
            .section
            .key()
            .filter_map(|field| key(field).map(|text| format!("{field} {}", quoted(text))))
            .collect();
        if known.is_empty() {
            return self.to_string();
        }
        format!("{self} ({})", known.join(", "))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.section.name();
        match self.spot {
            Spot::Index(index) => write!(f, "{name}[{index}]"),
            Spot::Line(line) => write!(f, "{name}.csv line {line}"),
        }
    }
}

/// A profile as in the file: unlike the workflow's, with any status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct AccountRecord {
    pub(super) id: AccountId,
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) status: String,
    pub(super) locale: String,
    pub(super) flagged: bool,
    pub(super) contracts: Vec<ContractNumber>,
}

/// A device and the contract that covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DeviceRecord {
    pub(super) serial_number: SerialNumber,
    pub(super) contract_number: ContractNumber,
}

/// An appointment as DA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct AdministratorRecord {
    pub(super) account_id: AccountId,
    pub(super) organization_id: OrganizationId,
}

/// A record and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) spot: Spot,
    pub(super) record: T,
}
