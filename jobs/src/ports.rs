//! The outside services that the workflow asks: traits for them alone. Time-outs are the callers'.

use std::future::Future;

use crate::{
    da_routing::Appointment,
    directory::{Account, ApplicantFacts, Organization},
    provisioning_sync::{Answer, Call, SyncedGrant},
    values::{AccountId, ContractNumber, OrganizationId, SerialNumber},
};

/// A service that cannot be asked now. The one who asks waits and asks again; it is nobody's fault, and
/// spends no attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service} is not available: {message}")]
pub struct Unavailable {
    /// Which service, for instance `directory`.
    pub service: &'static str,
    /// What went wrong.
    pub message: String,
}

/// Who people are, what they hold, and how organizations hang together.
pub trait Directory: Send + Sync {
    /// The profile; the contract, only if it is associated with the profile; and whether that contract covers the device
    /// (D14). A number that is not well formed is `None` and finds nothing.
    fn applicant(
        &self,
        account: &AccountId,
        contract: Option<&ContractNumber>,
        serial: Option<&SerialNumber>,
    ) -> impl Future<Output = Result<ApplicantFacts, Unavailable>> + Send;

    /// The organizations from the tree's root down to `site` (D6); empty when there is no such organization.
    fn chain(&self, site: &OrganizationId) -> impl Future<Output = Result<Vec<Organization>, Unavailable>> + Send;

    /// The directory's own DAs of these organizations.
    fn appointments(
        &self,
        organizations: &[OrganizationId],
    ) -> impl Future<Output = Result<Vec<Appointment>, Unavailable>> + Send;

    /// The organization and all below it, in no certain order; empty when there is no such organization (D4).
    fn below(
        &self,
        organization: &OrganizationId,
    ) -> impl Future<Output = Result<Vec<OrganizationId>, Unavailable>> + Send;

    /// One profile.
    fn account(&self, id: &AccountId) -> impl Future<Output = Result<Option<Account>, Unavailable>> + Send;
}

/// The downstream tools that access is provisioned to (contract, section 5).
pub trait Provisioner: Send + Sync {
    /// Calls the target named `target` about `grant`; a `PUT` carries `key` as its `Idempotency-Key`. Never fails: what comes
    /// instead of an answer is [`Answer::NotNow`]. `None` if there is no such target.
    fn call(
        &self,
        target: &str,
        call: Call,
        grant: &SyncedGrant,
        key: &str,
    ) -> impl Future<Output = Option<Answer>> + Send;
}
