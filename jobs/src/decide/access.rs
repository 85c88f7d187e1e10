//! Access is given or refused: a DA's decision, an appointment (R37, R56–R59, D3, D20, D21).

use super::{
    Case, Change, Decided,
    applying::{back_to_correction, errors, note_applicant, note_site},
    provisioning,
    review::count_as_site,
    routing::{ask, without_reachable_da},
};
use crate::{
    cloud_event::DaDecision,
    da_routing::first_reachable,
    directory::SiteFacts,
    effect::{Effect, MailKind, Recipient},
    event::Present,
    job::JobKind,
    registration::{Granted, State},
    values::{Access, AccountId, OrganizationId, Role},
};

/// A DA decided who is entitled to (D3); [`decide`](super::decide) has checked that.
pub(super) fn da_decided(case: &Case<'_>, decided: &ByDa<'_>) -> Decided {
    let Some(present) = &case.facts.present else {
        return Decided::NeedsPresentFacts;
    };
    match decided.decision {
        DaDecision::Grant { role } => granted(case, present, decided, *role),
        DaDecision::Deny => {
            let change = case
                .change()
                .resting_on_tree()
                .detail("decision", "deny")
                .because(decided.reason)
                .to(State::Denied {
                    by: decided.by.clone(),
                    reason: decided.reason.cloned(),
                });
            receipted(change, decided)
                .mail_about(decided.by, MailKind::AccessDenied, Recipient::Applicant)
                .decided()
        }
    }
}

/// What a DA decided.
pub(super) struct ByDa<'a> {
    pub(super) by: &'a AccountId,
    pub(super) decision: &'a DaDecision,
    pub(super) reason: Option<&'a String>,
    pub(super) via_link: bool,
}

/// A decision by link is receipted to the DA: whoever else got hold of the link cannot use it unnoticed.
fn receipted<'a>(change: Change<'a>, decided: &ByDa<'_>) -> Change<'a> {
    if !decided.via_link {
        return change;
    }
    let da = decided.by.clone();
    change
        .detail("via", "link")
        .mail_about(&da, MailKind::DecisionReceipt, Recipient::Account(da.clone()))
}

fn granted(case: &Case<'_>, present: &Present, decided: &ByDa<'_>, role: Role) -> Decided {
    let errors = errors(case, present);
    if !errors.is_empty() {
        return back_to_correction(case, present, errors);
    }
    let mut change = case.change();
    note_applicant(&mut change.registration, present);
    let asked_for = change
        .registration
        .site
        .as_ref()
        .map(|site| site.organization_id.clone());
    note_site(&mut change.registration, present);
    let site = change
        .registration
        .site
        .as_ref()
        .map(|site| site.organization_id.clone());
    let Some(site) = site.filter(|site| asked_for.as_ref() == Some(site)) else {
        // The contract belongs elsewhere by now, perhaps to other DAs: they are the ones to ask.
        return change
            .to(State::Routing)
            .effect(Effect::Run(JobKind::DaRouting))
            .decided();
    };
    let applicant = case.registration.account_id.clone();
    let change = change
        .resting_on_tree()
        .detail("decision", "grant")
        .detail("role", role.as_str())
        .because(decided.reason)
        .effect(Effect::Grant {
            account_id: applicant,
            organization_id: site.clone(),
            access: Access::Role(role),
        });
    let granted = Granted {
        role,
        organization_id: site,
        appointed: false,
    };
    provisioning::begin(receipted(change, decided), granted, Some(decided.by.clone())).decided()
}

/// The applicant has provided everything for becoming DA of `organization`, and nothing needs assessment: they are appointed,
/// unless somebody was first (D5).
pub(super) fn complete(change: Change<'_>, site: &SiteFacts, organization: OrganizationId) -> Decided {
    match overtaken(change, site, &organization) {
        Ok(decided) => *decided,
        Err(change) => appoint(*change, organization),
    }
}

/// A DA covers the organization by now: the request is forwarded to them, without another confirmation (D5). Gives the change
/// back when nobody does.
pub(super) fn overtaken<'a>(
    change: Change<'a>,
    site: &SiteFacts,
    organization: &OrganizationId,
) -> Result<Box<Decided>, Box<Change<'a>>> {
    let change = change.resting_on_tree();
    let administrators = site.administrators_of(organization);
    if administrators.is_empty() {
        return Err(Box::new(change));
    }
    let decided = match first_reachable(&administrators, &change.registration.account_id).cloned() {
        Some(da) => {
            let chain = change.registration.site.as_ref().map_or(&[][..], |site| &site.chain);
            let is_elsewhere = !chain.iter().any(|o| o.id == *organization);
            let mut change = change;
            if is_elsewhere {
                // An agent chose it: there its DAs decide, as if the request had been routed to them.
                count_as_site(&mut change.registration, organization, site);
            }
            let rerouted = change.mail_about(&da.account_id, MailKind::Rerouted, Recipient::Applicant);
            ask(rerouted, da).decided()
        }
        None => without_reachable_da(change).decided(),
    };
    Ok(Box::new(decided))
}

/// The applicant becomes DA of `organization`, the whole company or a site (R42), and with it Customer Administrator there (R2, R56,
/// R59, D20), and gets the three mails (R66) once it is active.
fn appoint(change: Change<'_>, organization: OrganizationId) -> Decided {
    let account_id = change.registration.account_id.clone();
    let grant = |access| Effect::Grant {
        account_id: account_id.clone(),
        organization_id: organization.clone(),
        access,
    };
    let role = Role::CustomerAdministrator;
    let (administrator, delegated) = (grant(Access::Role(role)), grant(Access::DelegatedAdministrator));
    let appoint = Effect::Appoint {
        account_id,
        organization_id: organization.clone(),
    };
    let change = change
        .detail("appointed", true)
        .detail("organization_id", organization.as_str())
        .effect(appoint)
        .effect(administrator)
        .effect(delegated);
    let granted = Granted {
        role,
        organization_id: organization,
        appointed: true,
    };
    provisioning::begin(change, granted, None).decided()
}
