//! Effects as data: what a decision wants done. The store writes them in the transaction of the decision.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    job::JobKind,
    values::{Access, AccountId, EmailAddress, OrganizationId, RegistrationId, Role},
};

/// Something to be done because of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run a job for the registration at the decision's step, as soon as possible.
    Run(JobKind),
    /// Run a job for the registration at the decision's step, when the time comes. It is cancelled with the step.
    Wake {
        /// The job.
        job: JobKind,
        /// When.
        at: DateTime<Utc>,
    },
    /// Note that the account has failed verification (D9).
    NoteFailedAttempt(AccountId),
    /// Send a mail. Its record is written with the decision; a job sends it.
    Mail(Mail),
    /// Make a link. Its id is that of the effect.
    IssueLink {
        /// What it is for.
        purpose: LinkPurpose,
        /// When it expires; `None` where something else ends it.
        valid_until: Option<DateTime<Utc>>,
    },
    /// Make an account DA of an organization (R2, D4, R58). Its id is that of the effect.
    Appoint {
        /// Whom.
        account_id: AccountId,
        /// Of what.
        organization_id: OrganizationId,
    },
    /// Give access, to be brought to every provisioning target (D11, D20).
    Grant {
        /// To whom.
        account_id: AccountId,
        /// Where it holds.
        organization_id: OrganizationId,
        /// What.
        access: Access,
    },
    /// End an appointment, whether it was made here or came with the directory (D11, D16).
    EndAppointment {
        /// Whose.
        account_id: AccountId,
        /// Of what.
        organization_id: OrganizationId,
    },
    /// Take access back, at every target (D11, R58).
    EndGrant {
        /// The grant.
        grant_id: Uuid,
    },
    /// Note that a DA has accepted the terms (D15).
    AcceptTerms {
        /// Who.
        account_id: AccountId,
        /// Of what they are DA.
        organization_id: OrganizationId,
    },
    /// Look at once whether the requests that wait for a DA still can (D2).
    RecheckDa(AccountId),
    /// Send nothing more to an address, since mail to it comes back (D2, D22).
    Suppress(EmailAddress),
    /// Tell ops, by an event and a mail.
    Alert(Alert),
}

/// What a link is for (contract, section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    /// It proves reading mail at the address that it is sent to (D7).
    EmailVerification,
    /// With it a DA decides, as long as they may.
    Decision(AccountId),
}

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Which of the contract's mails.
    pub kind: MailKind,
    /// To whom.
    pub to: Recipient,
    /// The DA whom it speaks of: who was asked, or who decided. Told apart when it is decided, since the registration may have
    /// moved on by the time it is sent. Of a mail about delegation: the DA who did it.
    #[serde(default)]
    pub about: Option<AccountId>,
    /// What a mail about delegation speaks of.
    #[serde(default)]
    pub delegation: Option<Delegation>,
    /// What a mail to ops speaks of.
    #[serde(default)]
    pub alert: Option<Alert>,
}

impl Mail {
    /// A mail that speaks of its registration alone.
    pub const fn new(kind: MailKind, to: Recipient) -> Self {
        Self {
            kind,
            to,
            about: None,
            delegation: None,
            alert: None,
        }
    }
}

/// What was delegated, where (R58, R59, D15, D16).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// Where.
    pub organization_id: OrganizationId,
    /// What has changed; `None` where the mail only names the organization (`terms_reminder`, `second_da_advised`).
    pub change: Option<DelegationChange>,
}

/// A change of somebody's access by a DA (R58).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what", content = "role")]
pub enum DelegationChange {
    /// They are a DA now.
    AdministratorAdded,
    /// They are no DA any more.
    AdministratorRemoved,
    /// They are a user of the company now.
    UserAssociated,
    /// They are no user of the company any more.
    UserDisassociated,
    /// They have a role more.
    RoleAssigned(Role),
    /// They have a role less.
    RoleRemoved(Role),
}

/// Something that ops should know of (contract, section 2: `ops.alert`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is.
    pub code: AlertCode,
    /// Tells alerts of one code apart that are not to be mailed together, such as the class of an error.
    pub group: String,
    /// What happened, in a sentence; no secret and no full address.
    pub message: String,
    /// The job concerned.
    #[serde(default)]
    pub job: Option<Uuid>,
    /// The account concerned.
    #[serde(default)]
    pub account_id: Option<AccountId>,
    /// The organization concerned.
    #[serde(default)]
    pub organization_id: Option<OrganizationId>,
}

/// The kinds of alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertCode {
    /// A job is dead (D22).
    JobDead,
    /// A DA has not accepted the terms, whatever reminders they got (D15).
    TermsNotAccepted,
    /// Jobs have been waiting in their queue for longer than `ops.queue_age`.
    QueueOld,
    /// Access has not been there for longer than `provisioning.within` (D11).
    ProvisioningOverdue,
    /// More upstream events are refused than before.
    RefusalsRising,
}

impl AlertCode {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::JobDead,
        Self::TermsNotAccepted,
        Self::QueueOld,
        Self::ProvisioningOverdue,
        Self::RefusalsRising,
    ];

    /// The name in `ops.alert`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JobDead => "job_dead",
            Self::TermsNotAccepted => "terms_not_accepted",
            Self::QueueOld => "queue_old",
            Self::ProvisioningOverdue => "provisioning_overdue",
            Self::RefusalsRising => "refusals_rising",
        }
    }
}

/// Whom a mail goes to. The address is looked up when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// The registration's applicant.
    Applicant,
    /// A DA.
    Account(AccountId),
    /// The agents' mailbox (`review.mailbox`).
    Agents,
    /// The supervisor's mailbox (`review.supervisor`), or that of ops (`ops.mailbox`).
    Supervisor,
    /// The mailbox of ops (`ops.mailbox`).
    Ops,
}

/// Declares the mails of the contract's section 7 with their names.
macro_rules! mail_kinds {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// The mails of the contract's section 7. No other mail is sent.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum MailKind {
            $($(#[$doc])* $variant,)*
        }

        impl MailKind {
            /// Every kind, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in the contract, which is also the name of its templates.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The kind of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

mail_kinds! {
    /// To the applicant: a link that proves the address (R51).
    Verification => "verification",
    /// To a new DA (R67).
    Welcome => "welcome",
    /// To a new DA (R68).
    CustomerAdministrator => "customer_administrator",
    /// To a new DA (R69).
    DaTerms => "da_terms",
    /// To the DA who is asked (R31).
    AccessRequest => "access_request",
    /// To the other DAs of the list (R4).
    AccessRequestNotice => "access_request_notice",
    /// To the DA who is asked: the applicant is waiting (D1).
    AccessRequestReminder => "access_request_reminder",
    /// To a DA who decided by the link of a mail: what they decided.
    DecisionReceipt => "decision_receipt",
    /// To the applicant: a DA granted (R37).
    AccessApproved => "access_approved",
    /// To the applicant: a DA denied (R31).
    AccessDenied => "access_denied",
    /// To the applicant: somebody else became DA first (D5).
    Rerouted => "rerouted",
    /// To the applicant: no DA can be reached (D2).
    WithAgent => "with_agent",
    /// To the agents: a new case (D10).
    ReviewCase => "review_case",
    /// To the supervisor: a case is overdue (D10).
    ReviewOverdue => "review_overdue",
    /// To the applicant: the case is still being reviewed (R64).
    ReviewUpdate => "review_update",
    /// To the applicant: an agent asks something (R45, D10).
    Question => "question",
    /// To the applicant: an agent said no (D10).
    Rejected => "rejected",
    /// To the applicant: facts have changed, something must be corrected (D21).
    CorrectionNeeded => "correction_needed",
    /// To the applicant: the registration waits for them (D12).
    IdleReminder => "idle_reminder",
    /// To the applicant: they did not answer (D10, D12).
    Expired => "expired",
    /// To the applicant: access is not there in time (R40, D11).
    ProvisioningOverdue => "provisioning_overdue",
    /// To a DA who has not accepted the terms (D15).
    TermsReminder => "terms_reminder",
    /// To the one DA whom a removal has left (D16).
    SecondDaAdvised => "second_da_advised",
    /// To a user: a DA has changed their access (R58).
    DelegationChanged => "delegation_changed",
    /// To ops: something that they should know of.
    OpsAlert => "ops_alert",
}

impl MailKind {
    /// The job that sends it.
    pub const fn job(self) -> JobKind {
        match self {
            Self::Verification => JobKind::EmailVerification,
            _ => JobKind::Notification,
        }
    }

    /// Whether the mail asks for something that only holds at the step it was made for. Such a mail is not sent
    /// any more once the registration has moved on (D23).
    pub const fn belongs_to_step(self) -> bool {
        match self {
            Self::Verification
            | Self::AccessRequest
            | Self::AccessRequestNotice
            | Self::AccessRequestReminder
            | Self::ReviewCase
            | Self::ReviewOverdue
            | Self::ReviewUpdate
            | Self::Question
            | Self::ProvisioningOverdue
            | Self::IdleReminder => true,
            Self::Welcome
            | Self::CustomerAdministrator
            | Self::DaTerms
            | Self::DecisionReceipt
            | Self::AccessApproved
            | Self::AccessDenied
            | Self::Rerouted
            | Self::WithAgent
            | Self::Rejected
            | Self::Expired
            | Self::CorrectionNeeded
            | Self::TermsReminder
            | Self::SecondDaAdvised
            | Self::DelegationChanged
            | Self::OpsAlert => false,
        }
    }
}

/// Namespace of the ids below; an arbitrary constant, never to be changed.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f6e_3a1c_5d0b_4c55_9d4e_3c1f_8a2b_7e90);

/// The id of the effect number `index` of the decision that made `version`: the same whenever it is asked for, so that
/// ids of jobs, mails, links and grants are stable idempotency keys.
pub fn effect_id(registration: &RegistrationId, version: u64, index: usize) -> Uuid {
    // The separator cannot occur in a registration id.
    Uuid::new_v5(&NAMESPACE, format!("{registration}/{version}/{index}").as_bytes())
}

/// The id of an effect of the upstream event with this number in the inbox, where it is not about a registration.
pub fn event_effect_id(seq: i64, index: usize) -> Uuid {
    derived(&format!("inbox/{seq}/{index}"))
}

/// The id of the driving of a grant to a target: there is one for each (D11).
pub fn sync_id(grant: Uuid, target: &str) -> Uuid {
    derived(&format!("sync/{grant}/{target}"))
}

/// The id of the reminder of an appointment's terms with this number (D15).
pub fn terms_mail_id(appointment: Uuid, number: u32) -> Uuid {
    derived(&format!("terms/{appointment}/{number}"))
}

/// The id of an alert's mail: the same for all of a kind and group within an hour, so that ops get one mail of many.
pub fn alert_mail_id(alert: &Alert, now: DateTime<Utc>) -> Uuid {
    derived(&format!("alert/{}", within_the_hour(alert, now)))
}

/// The id of the event of an alert that is told once for all of a kind and group within an hour.
pub fn alert_event_id(alert: &Alert, now: DateTime<Utc>) -> Uuid {
    derived(&format!("alert-event/{}", within_the_hour(alert, now)))
}

fn within_the_hour(alert: &Alert, now: DateTime<Utc>) -> String {
    let hour = now.timestamp().div_euclid(3600);
    format!("{}/{}/{hour}", alert.code.as_str(), alert.group)
}

/// Ids of effects of registrations begin with the registration's, which is never empty: these never are the same.
fn derived(name: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("/{name}").as_bytes())
}
