//! What a mail tells, from the registration and the directory as they are when the mail is rendered.

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    directory::{Account, Organization},
    effect::{Alert, Mail, MailKind, Recipient},
    ports::Directory as _,
    registration::{ProvisioningCase, Registration, State},
    values::{AccountId, Locale, OrganizationId},
    view::problems,
};

use super::{Parts, Trouble};
use crate::{
    mail::{Alarm, DecideLink, Delegated, Link, MailContext, Person, Place},
    store::moment,
};

impl Parts {
    /// Everything that `mail` tells its `reader`, whether or not it belongs to a registration.
    pub(super) async fn letter_context(
        &self,
        mail: &Mail,
        registration: Option<&Registration>,
        reader: Option<&Account>,
        locale: Locale,
    ) -> Result<MailContext, Trouble> {
        let mut context = match registration {
            Some(registration) => self.registration_context(mail, registration, locale).await?,
            None => MailContext::new(self.portal.clone()),
        };
        context.recipient_name = reader.map(|account| account.name.clone());
        if let Some(named) = self.named(mail, registration).await? {
            context.administrator = Some(named.person);
            context.administrator_address = named.address;
        }
        if let Some(delegation) = &mail.delegation {
            let organization = &delegation.organization_id;
            let mut chain = self.directory.chain(organization).await?;
            let place = chain.pop();
            context.delegation = Some(Delegated {
                change: delegation.change,
                company: chain.into_iter().next().map(|company| company.name),
            });
            context.organization = Some(place.map_or_else(|| unknown_place(organization), place_of));
            if let (MailKind::TermsReminder, Some(reader)) = (mail.kind, reader) {
                context.waiting_since = self.administrator_since(&reader.id, organization).await?;
            }
        }
        context.alert = mail.alert.as_ref().map(alarm);
        Ok(context)
    }

    /// What there is to tell of the mail's registration.
    async fn registration_context(
        &self,
        mail: &Mail,
        registration: &Registration,
        locale: Locale,
    ) -> Result<MailContext, Trouble> {
        let state = &registration.state;
        // What was decided, whatever has become of the access since.
        let decided = match mail.kind {
            MailKind::DecisionReceipt => self.decided_by_da(&registration.id).await?,
            _ => None,
        };
        Ok(MailContext {
            registration_id: Some(registration.id.to_string()),
            applicant: Some(Person {
                name: registration.applicant_name().to_owned(),
                email: registration
                    .account
                    .as_ref()
                    .and_then(|account| account.email.as_ref())
                    .map(|email| email.expose().to_owned()),
            }),
            contract_number: registration.contract_number.as_str().to_owned(),
            serial_number: registration.serial_number.as_str().to_owned(),
            organization: self.organization(registration).await?,
            role: match (&decided, state) {
                (Some(decided), _) => decided.role,
                (None, State::Active { granted } | State::Provisioning { granted, .. }) => Some(granted.role),
                _ => None,
            },
            decided_at: decided.map(|decided| decided.at),
            reason: match state {
                State::Denied { reason, .. } | State::Rejected { reason } => reason.clone(),
                _ => None,
            },
            review_reason: registration.review_reason(),
            problems: problems(state, locale),
            link: self.verification_link(mail, registration).await?,
            decide_link: self.decide_link(mail, registration).await?,
            waiting_since: Some(waiting_since(registration)),
            decide_by: self.decide_by(state),
            question: match state {
                State::AwaitingInformation { question, .. } => Some(question.clone()),
                _ => None,
            },
            answer_by: match state {
                State::AwaitingInformation { asked_at, .. } => Some(*asked_at + self.rules.answer_within),
                _ => None,
            },
            expires_on: Some(registration.since + self.rules.applicant_expiry),
            ..MailContext::new(self.portal.clone())
        })
    }

    /// The link with which the DA who is asked decides; reminders carry the same (contract, section 6).
    async fn decide_link(&self, mail: &Mail, registration: &Registration) -> Result<Option<DecideLink>, Trouble> {
        let (Recipient::Account(da), State::AwaitingDa { asked }) = (&mail.to, &registration.state) else {
            return Ok(None);
        };
        let link = asked
            .iter()
            .rev()
            .find(|asked| asked.administrator.account_id == *da)
            .and_then(|asked| asked.link);
        let (Some(id), MailKind::AccessRequest | MailKind::AccessRequestReminder) = (link, mail.kind) else {
            return Ok(None);
        };
        let token = self.store.link(id).await?.and_then(|row| self.link_keys.token(&row));
        Ok(token.map(|token| DecideLink {
            url: self.public_url.decide(&token),
        }))
    }

    /// Until when the DA or the agent is asked to decide (D1, D10).
    fn decide_by(&self, state: &State) -> Option<DateTime<Utc>> {
        match state {
            State::AwaitingDa { asked } => asked.last().map(|asked| asked.at + self.rules.da_timeout),
            State::InReview { clock, .. }
            | State::Provisioning {
                case: Some(ProvisioningCase { clock, .. }),
                ..
            } => Some(clock.started + self.rules.review_sla),
            _ => None,
        }
    }

    /// The link of a verification mail, derived anew whenever it is rendered (D7).
    async fn verification_link(&self, mail: &Mail, registration: &Registration) -> Result<Option<Link>, Trouble> {
        let (MailKind::Verification, State::AwaitingEmail { link }) = (mail.kind, &registration.state) else {
            return Ok(None);
        };
        let Some(row) = self.store.link(link.id).await? else {
            return Ok(None);
        };
        let token = self.link_keys.token(&row);
        Ok(token.map(|token| Link {
            url: self.public_url.verify(&token),
            valid_until: link.valid_until,
        }))
    }

    /// The DA whom the mail speaks of, as the directory has them now, with the postal address that the applicant was shown.
    async fn named(&self, mail: &Mail, registration: Option<&Registration>) -> Result<Option<Named>, Trouble> {
        let Some(id) = &mail.about else {
            return Ok(None);
        };
        let shown = registration.and_then(|it| it.administrators.iter().find(|da| da.account_id == *id));
        let account = self.directory.account(id).await?;
        Ok(Some(Named {
            person: Person {
                email: account.as_ref().and_then(Account::deliverable_email).map(Into::into),
                // Of whom the directory knows nothing any more, the id is all there is to say.
                name: account.map_or_else(|| id.to_string(), |account| account.name),
            },
            address: shown.map(|da| da.address.clone()).unwrap_or_default(),
        }))
    }

    /// The organization that the mail is about: what was granted, else what was selected, else the contract's site. One that an
    /// agent chose need not be in the contract's tree; the directory knows it.
    async fn organization(&self, registration: &Registration) -> Result<Option<Place>, Trouble> {
        let Some(site) = &registration.site else {
            return Ok(None);
        };
        let wanted = match &registration.state {
            State::Active { granted } | State::Provisioning { granted, .. } => &granted.organization_id,
            _ => registration.selected.as_ref().unwrap_or(&site.organization_id),
        };
        let known = site.chain.iter().find(|o| o.id == *wanted).cloned();
        let organization = match known {
            Some(known) => Some(known),
            None => self.directory.chain(wanted).await?.pop(),
        };
        Ok(organization.map(place_of))
    }

    /// Since when the account has been DA of the organization itself, by the directory or by an appointment made here; `None` when it
    /// is none any more.
    async fn administrator_since(
        &self,
        account: &AccountId,
        organization: &OrganizationId,
    ) -> Result<Option<DateTime<Utc>>, Trouble> {
        let organizations = std::slice::from_ref(organization);
        let imported = self.directory.appointments(organizations).await?;
        let imported = imported
            .into_iter()
            .filter(|appointment| appointment.account.id == *account)
            .map(|appointment| appointment.since);
        let ours = self.store.appointments(organizations).await?;
        let ours = ours
            .into_iter()
            .filter(|row| row.account_id == account.as_str())
            .map(|row| moment(row.appointed_ms));
        Ok(imported.chain(ours).min())
    }
}

fn place_of(organization: Organization) -> Place {
    Place {
        name: organization.name,
        address: organization.address,
        country: organization.country,
    }
}

/// Of an organization that the directory knows nothing of any more, the id is all there is to say.
fn unknown_place(id: &OrganizationId) -> Place {
    Place {
        name: id.to_string(),
        address: Vec::new(),
        country: String::new(),
    }
}

fn alarm(alert: &Alert) -> Alarm {
    Alarm {
        code: alert.code,
        message: alert.message.clone(),
        job_id: alert.job.map(|id| id.to_string()),
        account_id: alert.account_id.as_ref().map(ToString::to_string),
        organization_id: alert.organization_id.as_ref().map(ToString::to_string),
    }
}

/// A DA as a mail names them.
struct Named {
    person: Person,
    address: Vec<String>,
}

/// Since when the reader is waited for: the DA who is asked now, or the agent, or else as long as the state lasts.
fn waiting_since(registration: &Registration) -> DateTime<Utc> {
    match &registration.state {
        State::AwaitingDa { asked } => asked.last().map_or(registration.since, |asked| asked.at),
        State::InReview { clock, .. }
        | State::Provisioning {
            case: Some(ProvisioningCase { clock, .. }),
            ..
        } => clock.started,
        _ => registration.since,
    }
}
