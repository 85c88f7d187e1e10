//! The records of the directory: who people are, what they hold, and how organizations hang together.
//!
//! Records are kept as they were imported; judging them is [`verification`](crate::verification)'s work.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::{AccountId, EmailAddress, Locale, OrganizationId};

/// A person's account profile (R7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The id.
    pub id: AccountId,
    /// The name shown to the applicant and to the DA (R22).
    pub name: String,
    /// The address as stored in the profile: perhaps absent or malformed (R11).
    pub email: Option<String>,
    /// Whether the profile may be used (R7).
    pub status: AccountStatus,
    /// Language tag, such as `nl`.
    pub locale: String,
    /// A signal for additional assessment (D9).
    pub flagged: bool,
    /// Numbers of the contracts associated with the profile (R8).
    pub contracts: Vec<String>,
}

impl Account {
    /// The address, if it is one that mail can be sent to.
    pub fn deliverable_email(&self) -> Option<EmailAddress> {
        EmailAddress::new(self.email.as_deref()?).ok()
    }

    /// The language of mails to this account (D17).
    pub fn language(&self) -> Locale {
        Locale::from_tag(&self.locale)
    }
}

/// The state of an account profile (R7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// Complete and in use.
    Active,
    /// Switched off.
    Inactive,
    /// Its owner has not finished the profile.
    Incomplete,
}

/// A service contract (R8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// The number, as imported.
    pub number: String,
    /// The type, as imported; see [`Contract::is_smart_entitled`].
    #[serde(rename = "type")]
    pub kind: String,
    /// `active`, or anything else.
    pub status: String,
    /// The last day on which the contract holds, inclusive.
    pub ends_on: Option<NaiveDate>,
    /// The site that the contract is for.
    pub organization_id: OrganizationId,
    /// A signal for additional assessment (D9).
    pub flagged: bool,
}

impl Contract {
    /// The types that entitle to the portal (R8).
    pub const SMART_TYPES: [&'static str; 5] = [
        "smart_net_total_care",
        "sp_base",
        "telepresence_essential_operate",
        "cisco_one",
        "solution_support",
    ];

    /// Whether the contract's type entitles to the portal (R8, R24).
    pub fn is_smart_entitled(&self) -> bool {
        Self::SMART_TYPES.contains(&self.kind.as_str())
    }

    /// Whether the contract holds on `today` (R8; contract, section 4).
    pub fn is_active(&self, today: NaiveDate) -> bool {
        self.status == "active" && self.ends_on.is_none_or(|last| today <= last)
    }
}

/// A company or one of its sites (R49, D4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// The id.
    pub id: OrganizationId,
    /// The name.
    pub name: String,
    /// Lines of the postal address, which tells equal names apart (R50).
    pub address: Vec<String>,
    /// ISO 3166 code.
    pub country: String,
    /// The organization above; none for a root.
    pub parent_id: Option<OrganizationId>,
    /// Domains known to be the organization's (D9).
    pub email_domains: Vec<String>,
    /// A signal for additional assessment (D9).
    pub flagged: bool,
}

/// A DA, as seen from a site that they cover (D4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Administrator {
    /// Who it is.
    pub account_id: AccountId,
    /// The organization that they are appointed for: the site or one above it.
    pub organization_id: OrganizationId,
    /// Their name (R33).
    pub name: String,
    /// Their address (R33), if they have one that mail can be sent to.
    pub email: Option<EmailAddress>,
    /// Lines of the postal address of their organization (R33).
    pub address: Vec<String>,
    /// Whether a request can be sent to them (D2).
    pub reachable: bool,
}

/// What the directory says about an applicant and the numbers that they entered, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicantFacts {
    /// The profile, if there is one.
    pub account: Option<Account>,
    /// The contract with the number entered, but only if it is associated with the profile (D14).
    pub contract: Option<Contract>,
    /// Whether that contract covers a device with the serial number entered (R25); `false` without contract.
    pub covered: bool,
}

/// What the directory and our own appointments say about a site, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFacts {
    /// The chain of organizations from the tree's root down to the site (D6); never empty.
    pub chain: Vec<Organization>,
    /// The DAs who cover the site, in order of appointment (D4).
    pub administrators: Vec<Administrator>,
}

impl SiteFacts {
    /// The DAs who cover the organization `id` of the chain: appointed for it or for one above it (D4).
    pub fn administrators_of(&self, id: &OrganizationId) -> Vec<Administrator> {
        let depth = |wanted: &OrganizationId| self.chain.iter().position(|o| o.id == *wanted);
        let Some(limit) = depth(id) else {
            return Vec::new();
        };
        self.administrators
            .iter()
            .filter(|da| depth(&da.organization_id).is_some_and(|at| at <= limit))
            .cloned()
            .collect()
    }
}
