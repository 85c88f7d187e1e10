//! The directory's tables behind the port of the workflow.

use enrolld_jobs::{
    da_routing::Appointment,
    directory::{Account, ApplicantFacts, Organization},
    ports::{Directory, Unavailable},
    values::{AccountId, ContractNumber, OrganizationId, SerialNumber},
};
use sea_orm::DbErr;

use super::read;
use crate::store::connection::Connection;

/// The directory that was imported. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct EmbeddedDirectory {
    db: Connection,
}

impl EmbeddedDirectory {
    /// The directory in the tables of `db`, which is only read.
    pub fn new(db: Connection) -> Self {
        Self { db }
    }
}

impl Directory for EmbeddedDirectory {
    async fn applicant(
        &self,
        account: &AccountId,
        contract: Option<&ContractNumber>,
        serial: Option<&SerialNumber>,
    ) -> Result<ApplicantFacts, Unavailable> {
        read::applicant(&self.db, account, contract, serial)
            .await
            .map_err(unavailable)
    }

    async fn chain(&self, site: &OrganizationId) -> Result<Vec<Organization>, Unavailable> {
        read::chain(&self.db, site).await.map_err(unavailable)
    }

    async fn appointments(&self, organizations: &[OrganizationId]) -> Result<Vec<Appointment>, Unavailable> {
        read::appointments(&self.db, organizations).await.map_err(unavailable)
    }

    async fn below(&self, organization: &OrganizationId) -> Result<Vec<OrganizationId>, Unavailable> {
        read::below(&self.db, organization).await.map_err(unavailable)
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, Unavailable> {
        read::account(&self.db, id).await.map_err(unavailable)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unavailable(error: DbErr) -> Unavailable {
    Unavailable {
        service: "directory",
        message: error.to_string(),
    }
}
