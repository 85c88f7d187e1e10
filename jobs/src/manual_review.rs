//! When an agent must look at a request before somebody becomes DA (R62, D9).

use crate::{
    directory::{Account, SiteFacts},
    event::Present,
    values::OrganizationId,
};

/// Whether a signal asks for additional assessment of an appointment to `organization` (D9): the account or the contract
/// is flagged, or the address is of a domain that the organization, which has known domains, does not know.
pub fn is_asked_for(present: &Present, site: &SiteFacts, organization: &OrganizationId) -> bool {
    let account = present.applicant.account.as_ref();
    let flagged = account.is_some_and(|a| a.flagged) || present.applicant.contract.as_ref().is_some_and(|c| c.flagged);
    let known = site
        .chain
        .iter()
        .find(|o| o.id == *organization)
        .map_or(&[][..], |o| &o.email_domains);
    let domain = account.and_then(Account::deliverable_email).map(|email| email.domain());
    let unknown_domain = !known.is_empty()
        && !domain.is_some_and(|domain| known.iter().any(|known| known.eq_ignore_ascii_case(&domain)));
    flagged || unknown_domain
}
