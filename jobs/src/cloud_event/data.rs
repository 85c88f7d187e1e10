//! The data of each type of event (contract, section 1).

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{bounded, located};
use crate::values::{AccountId, OrganizationId, Role};

/// Data of `registration.submitted`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Submitted {
    /// The applicant's account.
    pub account_id: AccountId,
    /// The numbers entered.
    #[serde(flatten)]
    pub numbers: Numbers,
}

impl<'de> Deserialize<'de> for Submitted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Applicant {
            account_id: AccountId,
        }
        let data = Value::deserialize(deserializer)?;
        let Applicant { account_id } = located::part(&data)?;
        let numbers = located::part(&data)?;
        Ok(Self { account_id, numbers })
    }
}

/// Data of `registration.resubmitted`: the numbers entered. An absent one is a field error for the applicant (R20).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Numbers {
    /// The contract number, as typed.
    #[serde(default)]
    pub contract_number: Option<String>,
    /// The serial number, as typed.
    #[serde(default)]
    pub serial_number: Option<String>,
}

/// Data of events that carry none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoData {}

/// Data of events that carry none.
///
/// What `enrolld registrations withdraw` adds is between it and the daemon, not part of the contract: from others it means as little as
/// any unknown field, unless it is just that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawn {
    /// Who did it on the applicant's behalf, in their own naming.
    #[serde(default, deserialize_with = "bounded::text_if_it_is_one::<_, 128>")]
    #[schemars(skip)]
    pub by: Option<String>,
    /// Why.
    #[serde(default, deserialize_with = "bounded::text_if_it_is_one::<_, 2000>")]
    #[schemars(skip)]
    pub reason: Option<String>,
}

/// Data of `registration.organization_selected`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrganizationSelected {
    /// One of the view's `organizations`, or `null` for *None of the above*. Must be given.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schemars(required, schema_with = "organization_or_null")]
    pub organization_id: Option<OrganizationId>,
}

/// schemars takes `null` away from what is required.
fn organization_or_null(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    Option::<OrganizationId>::json_schema(generator)
}

/// Data of `registration.email_verified`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailVerified {
    /// The token of the link (D7).
    #[serde(deserialize_with = "bounded::text::<_, 1, 256>")]
    #[schemars(length(min = 1, max = 256))]
    pub token: String,
}

impl std::fmt::Debug for EmailVerified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmailVerified { token: … }")
    }
}

/// Data of `registration.da_decided`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DaDecided {
    /// The DA.
    pub da_account_id: AccountId,
    /// What they decided, with the role if they grant.
    #[serde(flatten)]
    pub decision: DaDecision,
    /// Why; shown to the applicant.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub reason: Option<String>,
}

impl<'de> Deserialize<'de> for DaDecided {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Decided {
            da_account_id: AccountId,
            decision: Decision,
            #[serde(default, deserialize_with = "bounded::optional_text::<_, 2000>")]
            reason: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Decision {
            Grant,
            Deny,
        }
        #[derive(Deserialize)]
        struct Grant {
            role: Role,
        }
        let data = Value::deserialize(deserializer)?;
        let decided: Decided = located::part(&data)?;
        let decision = match decided.decision {
            Decision::Grant => {
                let Grant { role } = located::part(&data)?;
                DaDecision::Grant { role }
            }
            Decision::Deny => DaDecision::Deny,
        };
        Ok(Self {
            da_account_id: decided.da_account_id,
            decision,
            reason: decided.reason,
        })
    }
}

/// A DA's decision (R31).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum DaDecision {
    /// Access in a role (R37).
    Grant {
        /// The role.
        role: Role,
    },
    /// No access.
    Deny,
}

/// Data of `registration.review_decided`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ReviewDecided {
    /// Who decided, in the agents' own naming.
    #[schemars(length(min = 1, max = 128))]
    pub agent: String,
    /// What they decided.
    #[serde(flatten)]
    pub decision: ReviewDecision,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub reason: Option<String>,
}

impl<'de> Deserialize<'de> for ReviewDecided {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Decided {
            #[serde(deserialize_with = "bounded::text::<_, 1, 128>")]
            agent: String,
            decision: Decision,
            #[serde(default, deserialize_with = "bounded::optional_text::<_, 2000>")]
            reason: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Decision {
            Appoint,
            Route,
            Reject,
            Ask,
        }
        #[derive(Deserialize)]
        struct Chosen {
            organization_id: OrganizationId,
        }
        #[derive(Deserialize)]
        struct Ask {
            #[serde(deserialize_with = "bounded::text::<_, 1, 2000>")]
            question: String,
        }
        let data = Value::deserialize(deserializer)?;
        let decided: Decided = located::part(&data)?;
        let chosen = || located::part(&data).map(|Chosen { organization_id }| organization_id);
        let decision = match decided.decision {
            Decision::Appoint => ReviewDecision::Appoint {
                organization_id: chosen()?,
            },
            Decision::Route => ReviewDecision::Route {
                organization_id: chosen()?,
            },
            Decision::Reject => ReviewDecision::Reject,
            Decision::Ask => {
                let Ask { question } = located::part(&data)?;
                ReviewDecision::Ask { question }
            }
        };
        Ok(Self {
            agent: decided.agent,
            decision,
            reason: decided.reason,
        })
    }
}

/// An agent's decision (D10).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum ReviewDecision {
    /// The applicant becomes DA of an organization.
    Appoint {
        /// Which.
        organization_id: OrganizationId,
    },
    /// The request goes to an organization's DAs.
    Route {
        /// Which.
        organization_id: OrganizationId,
    },
    /// No access.
    Reject,
    /// The applicant is asked for more information (R45).
    Ask {
        /// What is asked.
        #[schemars(length(min = 1, max = 2000))]
        question: String,
    },
}

/// Data of `registration.information_provided`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InformationProvided {
    /// The applicant's answer.
    #[serde(deserialize_with = "bounded::text::<_, 1, 10000>")]
    #[schemars(length(min = 1, max = 10000))]
    pub answer: String,
}

/// Data of `delegation.terms_accepted`; the subject is the DA's account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TermsAccepted {
    /// The organization that they are DA of.
    pub organization_id: OrganizationId,
}

/// Data of most `delegation.*` events; the subject is the account concerned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delegated {
    /// The DA who does it.
    pub by: AccountId,
    /// Where.
    pub organization_id: OrganizationId,
}

/// Data of `delegation.role_assigned` and `delegation.role_removed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoleDelegated {
    /// The DA who does it.
    pub by: AccountId,
    /// Where.
    pub organization_id: OrganizationId,
    /// Which role.
    pub role: Role,
}

/// Data of `mail.bounced`; the subject is the Message-ID.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MailBounced {
    /// How bad it is.
    pub kind: BounceKind,
    /// What the mail server said.
    #[serde(default, deserialize_with = "bounded::optional_text::<_, 2000>")]
    #[schemars(length(max = 2000))]
    pub detail: Option<String>,
}

/// How a mail came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BounceKind {
    /// The address does not exist.
    Hard,
    /// It may work later.
    Soft,
    /// The reader calls it spam.
    Complaint,
}

impl BounceKind {
    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Complaint => "complaint",
        }
    }
}
