//! The states of a registration (contract, section 3).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Asked, FieldError, Granted, Link, PendingSync, ProvisioningCase, ReviewClock, ReviewReason};
use crate::values::AccountId;

/// The states of the contract's section 3, each with what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum State {
    /// The directory is being asked about account, contract and serial number (R22).
    Verifying,
    /// Something is wrong that the applicant can put right (R27, R28).
    NeedsCorrection {
        /// Everything that is wrong.
        errors: Vec<FieldError>,
    },
    /// Verified; organizations and DAs are being looked up (R29).
    Routing,
    /// The applicant is shown the DA, and confirms (R33).
    AwaitingConfirmation,
    /// The company has no DA: the applicant selects an organization (R41).
    AwaitingOrganization,
    /// The verification mail is out (R51).
    AwaitingEmail {
        /// The link in the newest mail.
        link: Link,
    },
    /// A DA decides (R31).
    AwaitingDa {
        /// Who was asked, in order; the last is asked now (D1). Never empty.
        asked: Vec<Asked>,
    },
    /// An agent decides (R62).
    InReview {
        /// Why.
        reason: ReviewReason,
        /// Since when, and what has been sent.
        clock: ReviewClock,
    },
    /// An agent asked the applicant something (R45).
    AwaitingInformation {
        /// Why it came to an agent.
        reason: ReviewReason,
        /// What the agent asked.
        question: String,
        /// When: the applicant's time runs from here.
        asked_at: DateTime<Utc>,
        /// The agent's clock, as it stood when they first asked.
        clock: ReviewClock,
    },
    /// Access was granted and is being set up downstream (R38).
    Provisioning {
        /// What was granted.
        granted: Granted,
        /// The DA who granted; `None` of an appointment.
        by: Option<AccountId>,
        /// The grants that were made: what a rejection takes back (D11).
        grants: Vec<Uuid>,
        /// What has not been confirmed yet. Never empty.
        pending: Vec<PendingSync>,
        /// The agents' case about it, once access is overdue or was refused (D11).
        case: Option<ProvisioningCase>,
    },
    /// Done: the person has access.
    Active {
        /// What was granted.
        granted: Granted,
    },
    /// A DA said no.
    Denied {
        /// Who.
        by: AccountId,
        /// What the DA gave as the reason.
        reason: Option<String>,
    },
    /// An agent said no.
    Rejected {
        /// What the agent gave as the reason.
        reason: Option<String>,
    },
    /// The applicant gave up (R19).
    Withdrawn,
    /// The applicant did not answer (D12).
    Expired,
}

/// The name of a [`State`], as the contract has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is described at `State`")]
pub enum StateName {
    Verifying,
    NeedsCorrection,
    Routing,
    AwaitingConfirmation,
    AwaitingOrganization,
    AwaitingEmail,
    AwaitingDa,
    InReview,
    AwaitingInformation,
    Provisioning,
    Active,
    Denied,
    Rejected,
    Withdrawn,
    Expired,
}

impl StateName {
    /// Every state, in the order of the contract's table.
    pub const ALL: [Self; 15] = [
        Self::Verifying,
        Self::NeedsCorrection,
        Self::Routing,
        Self::AwaitingConfirmation,
        Self::AwaitingOrganization,
        Self::AwaitingEmail,
        Self::AwaitingDa,
        Self::InReview,
        Self::AwaitingInformation,
        Self::Provisioning,
        Self::Active,
        Self::Denied,
        Self::Rejected,
        Self::Withdrawn,
        Self::Expired,
    ];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verifying => "verifying",
            Self::NeedsCorrection => "needs_correction",
            Self::Routing => "routing",
            Self::AwaitingConfirmation => "awaiting_confirmation",
            Self::AwaitingOrganization => "awaiting_organization",
            Self::AwaitingEmail => "awaiting_email",
            Self::AwaitingDa => "awaiting_da",
            Self::InReview => "in_review",
            Self::AwaitingInformation => "awaiting_information",
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Denied => "denied",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing can change any more.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Active | Self::Denied | Self::Rejected | Self::Withdrawn | Self::Expired => true,
            Self::Verifying
            | Self::NeedsCorrection
            | Self::Routing
            | Self::AwaitingConfirmation
            | Self::AwaitingOrganization
            | Self::AwaitingEmail
            | Self::AwaitingDa
            | Self::InReview
            | Self::AwaitingInformation
            | Self::Provisioning => false,
        }
    }
}

impl State {
    /// The state's name.
    pub const fn name(&self) -> StateName {
        match self {
            Self::Verifying => StateName::Verifying,
            Self::NeedsCorrection { .. } => StateName::NeedsCorrection,
            Self::Routing => StateName::Routing,
            Self::AwaitingConfirmation => StateName::AwaitingConfirmation,
            Self::AwaitingOrganization => StateName::AwaitingOrganization,
            Self::AwaitingEmail { .. } => StateName::AwaitingEmail,
            Self::AwaitingDa { .. } => StateName::AwaitingDa,
            Self::InReview { .. } => StateName::InReview,
            Self::AwaitingInformation { .. } => StateName::AwaitingInformation,
            Self::Provisioning { .. } => StateName::Provisioning,
            Self::Active { .. } => StateName::Active,
            Self::Denied { .. } => StateName::Denied,
            Self::Rejected { .. } => StateName::Rejected,
            Self::Withdrawn => StateName::Withdrawn,
            Self::Expired => StateName::Expired,
        }
    }
}
