//! A registration and the states it goes through.

mod field_error;
mod state;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    field_error::{Field, FieldError, FieldErrorCode},
    state::{State, StateName},
};
use crate::{
    da_routing::first_reachable,
    directory::{Administrator, Organization},
    values::{AccountId, EmailAddress, Entered, Locale, OrganizationId, RegistrationId, Role},
};

/// One person's request for access, from the first event to a final state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The id, chosen upstream.
    pub id: RegistrationId,
    /// Who asks.
    pub account_id: AccountId,
    /// Raised by one with every change; the store's compare-and-set is on it.
    pub version: u64,
    /// Raised whenever what is awaited changes. Jobs and links carry the step they were made for (D23).
    pub step: u32,
    /// When it was taken in.
    pub created_at: DateTime<Utc>,
    /// When the present state began.
    pub since: DateTime<Utc>,
    /// Name, address and language from the profile, as verification last saw them (R22).
    pub account: Option<Applicant>,
    /// The contract number entered.
    pub contract_number: Entered,
    /// The serial number entered, in upper case.
    pub serial_number: Entered,
    /// Where the contract belongs, once verification has found it.
    pub site: Option<Site>,
    /// The DAs who cover the site, in order of appointment, as routing last saw them (D4, R36).
    pub administrators: Vec<Administrator>,
    /// The organization that the applicant selected (R41).
    pub selected: Option<OrganizationId>,
    /// When verification mails were asked for in the last 24 hours, oldest first (D8).
    pub verification_mails: Vec<DateTime<Utc>>,
    /// The address that the applicant has proved to read (R51).
    pub verified_email: Option<VerifiedEmail>,
    /// Where an agent sent the request: it counts as the site (D10).
    #[serde(default)]
    pub routed_to: Option<OrganizationId>,
    /// Whether an agent chose the organization selected: no further assessment is asked for (D9, D10).
    #[serde(default)]
    pub assessed: bool,
    /// Reminders and other notices sent in the present wait: tells what the next timer is for (D1, D10, D11, D12).
    #[serde(default)]
    pub notices: u32,
    /// The next moment at which the daemon acts by itself.
    #[serde(default)]
    pub deadline: Option<DateTime<Utc>>,
    /// Jobs of ours for this registration that are dead: agents have it as a case meanwhile (D22).
    #[serde(default)]
    pub dead_jobs: Vec<Uuid>,
    /// The newer registration of the account that took the place of this one (D18).
    #[serde(default)]
    pub superseded_by: Option<RegistrationId>,
    /// Where it stands.
    pub state: State,
    /// What a newer release, running beside this one, keeps with it: it is kept.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// The applicant as their profile shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applicant {
    /// Name.
    pub name: String,
    /// Address, if it is one that mail can be sent to.
    pub email: Option<EmailAddress>,
    /// Language of mails and views (D17).
    pub locale: Locale,
}

/// The organization that a contract is for, within its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The contract's site.
    pub organization_id: OrganizationId,
    /// From the tree's root down to the site (D6). Empty until routing has asked.
    pub chain: Vec<Organization>,
}

/// An address proved by a verification link (D7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedEmail {
    /// The address that the link was sent to.
    pub address: EmailAddress,
    /// The link that was used.
    pub link: Uuid,
    /// When it was used.
    pub at: DateTime<Utc>,
}

/// A DA who was asked to decide (D1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who.
    pub administrator: Administrator,
    /// When.
    pub at: DateTime<Utc>,
    /// The link with which they decide without signing in; reminders carry the same (contract, section 6).
    #[serde(default)]
    pub link: Option<Uuid>,
}

/// The clock of an agent's case (D10). A question to the applicant stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewClock {
    /// When the agent's time began; after an answer, so that what had passed before the question counts.
    pub started: DateTime<Utc>,
    /// Notices sent so far: the applicant's status mail, then escalations.
    pub notices: u32,
}

/// The verification link now valid (D7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its id; the token is derived from it when the mail is rendered.
    pub id: Uuid,
    /// The address it was sent to, and which it proves.
    pub address: EmailAddress,
    /// When it expires.
    pub valid_until: DateTime<Utc>,
}

/// Access given by a registration: what a DA granted, or what came with an appointment (D20).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The role held.
    pub role: Role,
    /// Where it holds.
    pub organization_id: OrganizationId,
    /// Whether the applicant was appointed DA there.
    pub appointed: bool,
}

/// A grant that a target has not confirmed yet (D11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSync {
    /// The grant.
    pub grant_id: Uuid,
    /// The target's name.
    pub target: String,
    /// Whether the target has refused it for good.
    pub refused: bool,
}

/// The agents' case about access that is not there (D11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisioningCase {
    /// Whether it is overdue or was refused.
    pub reason: ReviewReason,
    /// The clock of the case (D10).
    pub clock: ReviewClock,
}

impl Registration {
    /// The language of the applicant's mails and views (D17).
    pub fn locale(&self) -> Locale {
        self.account.as_ref().map_or(Locale::En, |a| a.locale)
    }

    /// The applicant's name, or their account id until the profile is known.
    pub fn applicant_name(&self) -> &str {
        self.account
            .as_ref()
            .map_or(self.account_id.as_str(), |a| a.name.as_str())
    }

    /// Why agents have it as a case, if they do (contract, section 3). A dead job of ours does not hide a case that asks for a
    /// decision.
    pub fn review_reason(&self) -> Option<ReviewReason> {
        let of_state = match &self.state {
            State::InReview { reason, .. } | State::AwaitingInformation { reason, .. } => Some(*reason),
            State::Provisioning { case, .. } => case.map(|case| case.reason),
            State::Verifying
            | State::NeedsCorrection { .. }
            | State::Routing
            | State::AwaitingConfirmation
            | State::AwaitingOrganization
            | State::AwaitingEmail { .. }
            | State::AwaitingDa { .. }
            | State::Active { .. }
            | State::Denied { .. }
            | State::Rejected { .. }
            | State::Withdrawn
            | State::Expired => None,
        };
        of_state.or_else(|| (!self.dead_jobs.is_empty()).then_some(ReviewReason::ProcessingFailed))
    }

    /// The clock of the agents' case (D10), while it is they who have to act: a question has stopped it until the answer, and the case
    /// of a dead job has none.
    pub const fn agents_clock(&self) -> Option<ReviewClock> {
        match &self.state {
            State::InReview { clock, .. }
            | State::Provisioning {
                case: Some(ProvisioningCase { clock, .. }),
                ..
            } => Some(*clock),
            State::Provisioning { case: None, .. }
            | State::Verifying
            | State::NeedsCorrection { .. }
            | State::Routing
            | State::AwaitingConfirmation
            | State::AwaitingOrganization
            | State::AwaitingEmail { .. }
            | State::AwaitingDa { .. }
            | State::AwaitingInformation { .. }
            | State::Active { .. }
            | State::Denied { .. }
            | State::Rejected { .. }
            | State::Withdrawn
            | State::Expired => None,
        }
    }

    /// The tree that the contract's site belongs to, by its root: the company (D4).
    pub fn company(&self) -> Option<&OrganizationId> {
        self.site.as_ref()?.chain.first().map(|root| &root.id)
    }

    /// The DA now asked or, before *Confirm*, to be asked: the first reachable one (R32, D2).
    pub fn delegated_administrator(&self) -> Option<&Administrator> {
        match &self.state {
            State::AwaitingDa { asked } => asked.last().map(|a| &a.administrator),
            State::AwaitingConfirmation => first_reachable(&self.administrators, &self.account_id),
            State::Verifying
            | State::NeedsCorrection { .. }
            | State::Routing
            | State::AwaitingOrganization
            | State::AwaitingEmail { .. }
            | State::InReview { .. }
            | State::AwaitingInformation { .. }
            | State::Provisioning { .. }
            | State::Active { .. }
            | State::Denied { .. }
            | State::Rejected { .. }
            | State::Withdrawn
            | State::Expired => None,
        }
    }
}

/// Why a registration is with an agent (contract, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewReason {
    /// The applicant found no organization that fits (R44).
    NoneOfTheAbove,
    /// A signal asked for it (R62, D9).
    AdditionalAssessment,
    /// No DA answered in time (D1).
    DaUnresponsive,
    /// No DA can be reached (D2).
    NoReachableDa,
    /// Access is not there after `provisioning.within` (D11).
    ProvisioningOverdue,
    /// A target refused for good (D11).
    ProvisioningFailed,
    /// One of our own jobs is dead (D22).
    ProcessingFailed,
}

impl ReviewReason {
    /// Every reason, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::NoneOfTheAbove,
        Self::AdditionalAssessment,
        Self::DaUnresponsive,
        Self::NoReachableDa,
        Self::ProvisioningOverdue,
        Self::ProvisioningFailed,
        Self::ProcessingFailed,
    ];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoneOfTheAbove => "none_of_the_above",
            Self::AdditionalAssessment => "additional_assessment",
            Self::DaUnresponsive => "da_unresponsive",
            Self::NoReachableDa => "no_reachable_da",
            Self::ProvisioningOverdue => "provisioning_overdue",
            Self::ProvisioningFailed => "provisioning_failed",
            Self::ProcessingFailed => "processing_failed",
        }
    }
}
