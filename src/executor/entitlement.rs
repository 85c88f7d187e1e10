//! What the page of a DA's link rests on: whether the DA may decide, and what a DA has decided already (D1, D3).

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    da_routing,
    directory::Account,
    ports::Directory as _,
    registration::Registration,
    values::{AccountId, RegistrationId, Role},
};

use super::{Executor, Parts, Trouble, facts, in_time};

/// What a DA has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedByDa {
    /// Who.
    pub by: AccountId,
    /// The role granted; `None` if access was denied.
    pub role: Option<Role>,
    /// When.
    pub at: DateTime<Utc>,
}

impl Executor {
    /// Whether DAs may decide by the link of a mail (`decisions.by_link`).
    pub fn decisions_by_link(&self) -> bool {
        self.0.rules.decisions_by_link
    }

    /// The account, as the directory has it now.
    ///
    /// # Errors
    /// When the directory cannot be asked now.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, Trouble> {
        in_time(async { Ok(self.0.directory.account(id).await?) }).await
    }

    /// Whether `da` may decide on the registration now, whatever its state allows (D3): the check that
    /// [`decide`](enrolld_jobs::decide::decide) makes again when they do.
    ///
    /// # Errors
    /// When the directory or the database cannot be asked now.
    pub async fn may_decide(&self, registration: &Registration, da: &AccountId) -> Result<bool, Trouble> {
        let parts = &self.0;
        let gathering = facts::gather(&parts.store, &parts.directory, registration, self.now());
        let site = in_time(gathering).await?.present.site;
        let administrators = site.as_ref().map_or(&[][..], |site| &site.administrators);
        Ok(da_routing::may_decide(da, administrators, &registration.account_id))
    }

    /// What a DA has decided on the registration, if one has.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn decided_by_da(&self, id: &RegistrationId) -> Result<Option<DecidedByDa>, Trouble> {
        self.0.decided_by_da(id).await
    }
}

impl Parts {
    /// As [`Executor::decided_by_da`]. Read from the timeline: states tell neither who granted nor, later on, when.
    pub(super) async fn decided_by_da(&self, id: &RegistrationId) -> Result<Option<DecidedByDa>, Trouble> {
        let lines = self.store.timelines(&[id]).await?;
        Ok(lines.into_iter().rev().find_map(|(_, line)| {
            // A decision that came to a correction has no `decision` (D21).
            let decision = line.detail.get("decision")?.as_str()?;
            let role = match (line.event.as_str(), decision) {
                ("registration.da_decided", "grant") => {
                    Some(serde_json::from_value(line.detail.get("role")?.clone()).ok()?)
                }
                ("registration.da_decided", "deny") => None,
                _ => return None,
            };
            Some(DecidedByDa {
                by: AccountId::new(line.actor).ok()?,
                role,
                at: line.at,
            })
        }))
    }
}
