//! What can happen to a registration, and what is known when it does.

use uuid::Uuid;

use crate::{
    cloud_event::{BounceKind, DaDecision, Numbers, ReviewDecision, UpstreamEvent},
    directory::{ApplicantFacts, SiteFacts},
    effect::{MailKind, Recipient},
    job::JobKind,
    registration::Registration,
    values::{AccountId, EmailAddress, Entered, OrganizationId, RegistrationId},
};

/// Something that happened to a registration: what upstream sent, or what one of our jobs came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A new request.
    Submitted {
        /// Who asks.
        account_id: AccountId,
        /// The numbers entered.
        numbers: EnteredNumbers,
    },
    /// Another try, or *Back*.
    Resubmitted(EnteredNumbers),
    /// *Confirm* was pressed.
    Confirmed,
    /// An organization was chosen; `None` is *None of the above*.
    OrganizationSelected(Option<OrganizationId>),
    /// *Resend verification* was pressed.
    ResendRequested,
    /// A verification link was used; `None` if no such link was ever made.
    EmailVerified {
        /// The link that the token belongs to.
        link: Option<Uuid>,
    },
    /// A DA decided.
    DaDecided {
        /// Who.
        by: AccountId,
        /// What.
        decision: DaDecision,
        /// Why.
        reason: Option<String>,
        /// Whether by the link of a mail; that is receipted to them.
        via_link: bool,
    },
    /// An agent decided.
    ReviewDecided {
        /// Who.
        agent: String,
        /// What.
        decision: ReviewDecision,
        /// Why.
        reason: Option<String>,
    },
    /// The applicant answered the agent.
    InformationProvided {
        /// The answer.
        answer: String,
    },
    /// The applicant gave up, or somebody did on their behalf.
    Withdrawn {
        /// Who, if it was not the applicant.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Job `verification`: judge account, contract and serial number on the present facts.
    Verify {
        /// The step that the job was made for (D23).
        step: u32,
    },
    /// A timer: the deadline has come (D1, D10, D12).
    TimeIsUp {
        /// The step that the timer was made for (D23).
        step: u32,
    },
    /// The hourly look, or news about a DA: can the DA who is asked still be reached (D2)?
    Recheck,
    /// Job `da_routing`: find out who decides.
    Route {
        /// The step that the job was made for (D23).
        step: u32,
    },
    /// Job `provisioning_sync`: a target has answered for good (D11).
    Synced {
        /// Which grant.
        grant_id: Uuid,
        /// Which target.
        target: String,
        /// What it came to.
        outcome: Synced,
    },
    /// Job `email_verification`: the mail was not sent, since mail to the address comes back (D22).
    Undeliverable {
        /// The step that the mail was made for (D23).
        step: u32,
    },
    /// A newer request of the same account for the same company takes its place (D18).
    Superseded {
        /// The newer one.
        by: RegistrationId,
    },
    /// Something that is recorded whatever the registration waits for.
    Aside(Aside),
}

/// What driving a grant to a target came to (D11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// The target has it.
    Confirmed,
    /// The target refuses it for good.
    Refused {
        /// With this status.
        status: u16,
    },
    /// A DA has taken it back meanwhile, and the target has it no more (R58).
    TakenBack {
        /// Who.
        by: AccountId,
    },
}

/// What is recorded whatever the registration waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Aside {
    /// A job of ours is dead (D22).
    JobDied {
        /// Which.
        job: Uuid,
        /// Its kind.
        kind: JobKind,
        /// The class of its error.
        class: String,
    },
    /// A job that was dead is no more: it was queued again, given up, or has succeeded (D22).
    JobRevived {
        /// Which.
        job: Uuid,
    },
    /// A mail came back (D2, D22).
    MailBounced(Bounce),
}

/// A mail that came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounce {
    /// The mail.
    pub mail: Uuid,
    /// What it was.
    pub kind: MailKind,
    /// Whom it was for.
    pub to: Recipient,
    /// The step that it was made at.
    pub step: u32,
    /// The address that it went to, as far as known.
    pub address: Option<EmailAddress>,
    /// How bad it is.
    pub severity: BounceKind,
    /// What the mail server said.
    pub detail: Option<String>,
}

/// The numbers entered, kept as they were but for trimming and upper case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnteredNumbers {
    /// The contract number.
    pub contract: Entered,
    /// The serial number.
    pub serial: Entered,
}

impl From<&Numbers> for EnteredNumbers {
    fn from(numbers: &Numbers) -> Self {
        Self {
            contract: Entered::new(numbers.contract_number.as_deref().unwrap_or_default()),
            serial: Entered::uppercase(numbers.serial_number.as_deref().unwrap_or_default()),
        }
    }
}

impl Event {
    /// The applicant gives up, and says no more.
    pub const GIVEN_UP: Self = Self::Withdrawn { by: None, reason: None };

    /// The event that an upstream event means for a registration; `None` for those that are not about one
    /// (`delegation.*`, `mail.bounced`). `link` resolves a verification token to the link it was made for.
    pub fn from_upstream(event: &UpstreamEvent, link: impl FnOnce(&str) -> Option<Uuid>) -> Option<Self> {
        Some(match event {
            UpstreamEvent::RegistrationSubmitted(data) => Self::Submitted {
                account_id: data.account_id.clone(),
                numbers: (&data.numbers).into(),
            },
            UpstreamEvent::RegistrationResubmitted(numbers) => Self::Resubmitted(numbers.into()),
            UpstreamEvent::RegistrationConfirmed(_) => Self::Confirmed,
            UpstreamEvent::RegistrationOrganizationSelected(data) => {
                Self::OrganizationSelected(data.organization_id.clone())
            }
            UpstreamEvent::RegistrationVerificationResendRequested(_) => Self::ResendRequested,
            UpstreamEvent::RegistrationEmailVerified(data) => Self::EmailVerified {
                link: link(&data.token),
            },
            UpstreamEvent::RegistrationDaDecided(data) => Self::DaDecided {
                by: data.da_account_id.clone(),
                decision: data.decision.clone(),
                reason: data.reason.clone(),
                via_link: false,
            },
            UpstreamEvent::RegistrationReviewDecided(data) => Self::ReviewDecided {
                agent: data.agent.clone(),
                decision: data.decision.clone(),
                reason: data.reason.clone(),
            },
            UpstreamEvent::RegistrationInformationProvided(data) => Self::InformationProvided {
                answer: data.answer.clone(),
            },
            UpstreamEvent::RegistrationWithdrawn(data) => Self::Withdrawn {
                by: data.by.clone().filter(|by| !by.is_empty()),
                reason: data.reason.clone(),
            },
            UpstreamEvent::DelegationTermsAccepted(_)
            | UpstreamEvent::DelegationAdministratorAdded(_)
            | UpstreamEvent::DelegationAdministratorRemoved(_)
            | UpstreamEvent::DelegationUserAssociated(_)
            | UpstreamEvent::DelegationUserDisassociated(_)
            | UpstreamEvent::DelegationRoleAssigned(_)
            | UpstreamEvent::DelegationRoleRemoved(_)
            | UpstreamEvent::MailBounced(_) => return None,
        })
    }

    /// The name that the event has on the timeline; those of upstream have the contract's.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "registration.submitted",
            Self::Resubmitted(_) => "registration.resubmitted",
            Self::Confirmed => "registration.confirmed",
            Self::OrganizationSelected(_) => "registration.organization_selected",
            Self::ResendRequested => "registration.verification_resend_requested",
            Self::EmailVerified { .. } => "registration.email_verified",
            Self::DaDecided { .. } => "registration.da_decided",
            Self::ReviewDecided { .. } => "registration.review_decided",
            Self::InformationProvided { .. } => "registration.information_provided",
            Self::Withdrawn { .. } => "registration.withdrawn",
            Self::Verify { .. } => "registration.verified",
            Self::Route { .. } => "registration.routed",
            Self::TimeIsUp { .. } => "registration.time_is_up",
            Self::Recheck => "registration.rechecked",
            Self::Synced {
                outcome: Synced::Confirmed,
                ..
            } => "registration.provisioned",
            Self::Synced {
                outcome: Synced::Refused { .. },
                ..
            } => "registration.provisioning_refused",
            Self::Synced {
                outcome: Synced::TakenBack { .. },
                ..
            } => "registration.access_taken_back",
            Self::Undeliverable { .. } => "registration.email_undeliverable",
            Self::Superseded { .. } => "registration.superseded",
            Self::Aside(Aside::JobDied { .. }) => "registration.job_died",
            Self::Aside(Aside::JobRevived { .. }) => "registration.job_revived",
            Self::Aside(Aside::MailBounced(_)) => "mail.bounced",
        }
    }
}

/// What is known when an event is decided on. [`decide`](crate::decide::decide) says when it needs more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The directory and our own appointments and grants, as they are now.
    pub present: Option<Present>,
    /// The organization that an agent chose, and its DAs.
    pub chosen: Option<Chosen>,
}

/// What is known of an organization that an agent chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Its chain and its DAs.
    Site(SiteFacts),
    /// There is no such organization.
    Unknown,
}

/// The present facts about a registration's applicant and site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The applicant's profile, contract and device.
    pub applicant: ApplicantFacts,
    /// The contract's site; of a contract that is gone, the site known before. `None` if there never was one.
    pub site: Option<SiteFacts>,
    /// Whether the applicant holds a role for the site or above it (D19).
    pub holds_access: bool,
    /// Failed verification attempts of the account in the last 30 days (D9).
    pub failed_attempts: u32,
    /// Whether mail to the profile's address comes back (D22).
    pub undeliverable: bool,
    /// The other registrations of the account that are open (D18).
    pub open_requests: Vec<Registration>,
}
