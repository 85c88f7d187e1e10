//! What a mail tells, from the registration as it is when the mail is rendered.

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    directory::Account,
    effect::{Mail, MailKind, Recipient},
    ports::Directory as _,
    registration::{Registration, State},
    values::Locale,
    view::problems,
};

use super::{Parts, Trouble};
use crate::mail::{DecideLink, Link, MailContext, Person, Place};

impl Parts {
    /// Everything that `mail` tells its `reader`.
    pub(super) async fn letter_context(
        &self,
        mail: &Mail,
        registration: &Registration,
        reader: Option<&Account>,
        locale: Locale,
    ) -> Result<MailContext, Trouble> {
        let state = &registration.state;
        let named = self.named(mail, registration).await?;
        // What was decided, whatever has become of the access since.
        let decided = match mail.kind {
            MailKind::DecisionReceipt => self.decided_by_da(&registration.id).await?,
            _ => None,
        };
        Ok(MailContext {
            registration_id: registration.id.to_string(),
            recipient_name: reader.map(|account| account.name.clone()),
            applicant: Person {
                name: registration.applicant_name().to_owned(),
                email: registration
                    .account
                    .as_ref()
                    .and_then(|account| account.email.as_ref())
                    .map(|email| email.expose().to_owned()),
            },
            contract_number: registration.contract_number.as_str().to_owned(),
            serial_number: registration.serial_number.as_str().to_owned(),
            organization: self.organization(registration).await?,
            administrator_address: named.as_ref().map(|da| da.address.clone()).unwrap_or_default(),
            administrator: named.map(|da| da.person),
            role: match (&decided, state) {
                (Some(decided), _) => decided.role,
                (None, State::Active { granted } | State::Provisioning { granted }) => Some(granted.role),
                _ => None,
            },
            decided_at: decided.map(|decided| decided.at),
            reason: match state {
                State::Denied { reason, .. } | State::Rejected { reason } => reason.clone(),
                _ => None,
            },
            review_reason: match state {
                State::InReview { reason, .. } | State::AwaitingInformation { reason, .. } => Some(*reason),
                _ => None,
            },
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
            portal: self.portal.clone(),
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
            State::InReview { clock, .. } => Some(clock.started + self.rules.review_sla),
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
    async fn named(&self, mail: &Mail, registration: &Registration) -> Result<Option<Named>, Trouble> {
        let Some(id) = &mail.about else {
            return Ok(None);
        };
        let shown = registration.administrators.iter().find(|da| da.account_id == *id);
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
            State::Active { granted } | State::Provisioning { granted } => &granted.organization_id,
            _ => registration.selected.as_ref().unwrap_or(&site.organization_id),
        };
        let known = site.chain.iter().find(|o| o.id == *wanted).cloned();
        let organization = match known {
            Some(known) => Some(known),
            None => self.directory.chain(wanted).await?.pop(),
        };
        Ok(organization.map(|organization| Place {
            name: organization.name,
            address: organization.address,
            country: organization.country,
        }))
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
        State::InReview { clock, .. } => clock.started,
        _ => registration.since,
    }
}
