//! The page that a DA's link opens: the DA grants or denies without signing in (R31, R37). The token is the credential: no
//! cookie, script, Origin or Host is asked for. A `GET` shows, and a `POST` of its form decides: mail scanners open links,
//! and press no buttons. The link is good as long as the DA may decide (contract, section 6; D1, D3).

use std::sync::Arc;

use axum::{
    extract::{Form, State, rejection::FormRejection},
    http::HeaderMap,
    response::Response,
};
use enrolld_jobs::{
    cloud_event::DaDecision,
    event::Event,
    registration::{Registration, ReviewReason, State as RegistrationState},
    values::{AccountId, Locale, Role},
};

use super::{
    Parts,
    link_page::{self, Token, later, place, preferred_language},
    pages::{self, DecisionPage, Entered, Over, Page, Wrong},
};
use crate::{
    executor::{Applied, Trouble},
    links,
    mail::Person,
};

/// Largest form that is read. The longest reason has 24 000 bytes as browsers encode it.
pub(super) const MAX_FORM_BYTES: usize = 64 * 1024;

/// Longest reason, in characters: that of `registration.da_decided` (contract, section 1).
const MAX_REASON_CHARS: usize = 2_000;

type Fields = Result<Form<Vec<(String, String)>>, FormRejection>;

/// `GET /decide/{token}`: who asks for what, or what has become of it. Changes nothing.
pub(super) async fn show(State(state): State<Arc<Parts>>, headers: HeaderMap, token: Token) -> Response {
    let opened = match open(&state, &headers, token).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    match opened.page(&state).await {
        Ok(page) => respond(page, opened.locale, &state),
        Err(trouble) => later(&state, opened.locale, &trouble),
    }
}

/// `POST /decide/{token}`: the DA decides.
pub(super) async fn decide(
    State(state): State<Arc<Parts>>,
    headers: HeaderMap,
    token: Token,
    fields: Fields,
) -> Response {
    let opened = match open(&state, &headers, token).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    let locale = opened.locale;
    match opened.page(&state).await {
        Ok(DecisionPage::Ask { .. }) => {}
        Ok(page) => return respond(page, locale, &state),
        Err(trouble) => return later(&state, locale, &trouble),
    }
    let (decision, reason) = match judge(fields) {
        Ok(judged) => judged,
        Err((entered, wrong)) => return respond(opened.ask(entered, wrong), locale, &state),
    };
    let event = Event::DaDecided {
        by: opened.da.clone(),
        decision,
        reason,
        via_link: true,
    };
    let id = &opened.registration.id;
    match link_page::apply(&state, id, event).await {
        Some(Ok(Applied::Changed(registration))) => respond(result(&registration), locale, &state),
        // Somebody was faster: a second click, another DA, the applicant, the clock.
        Some(Ok(Applied::Refused(_) | Applied::Ignored | Applied::Dropped(_))) => {
            match state.executor.store().registration(id).await {
                Ok(Some(registration)) => match (Opened { registration, ..opened }).page(&state).await {
                    Ok(DecisionPage::Ask { .. }) => pages::respond(&Page::Later, locale, &state.portal),
                    Ok(page) => respond(page, locale, &state),
                    Err(trouble) => later(&state, locale, &trouble),
                },
                Ok(None) => respond(DecisionPage::Unknown, locale, &state),
                Err(error) => later(&state, locale, &error.into()),
            }
        }
        Some(Err(trouble)) => later(&state, locale, &trouble),
        None => pages::respond(&Page::Later, locale, &state.portal),
    }
}

fn respond(page: DecisionPage, locale: Locale, state: &Parts) -> Response {
    pages::respond(&Page::Decision(page), locale, &state.portal)
}

/// A link whose token was shown, with the registration and the DA that it was made for.
struct Opened {
    registration: Registration,
    da: AccountId,
    /// The DA's language (D17).
    locale: Locale,
}

/// Finds the link by its token. An `Err` is the answer: there is no such link, or it cannot be told now.
async fn open(state: &Parts, headers: &HeaderMap, token: Token) -> Result<Opened, Response> {
    let preferred = preferred_language(headers);
    let away = |trouble: Trouble| later(state, preferred, &trouble);
    let found = link_page::find(&state.executor, links::PURPOSE_DECISION, token).await;
    let found = found.map_err(|error| away(error.into()))?;
    let opened = found.and_then(|found| Some((AccountId::new(found.link.account_id?).ok()?, found.registration)));
    let Some((da, registration)) = opened else {
        return Err(respond(DecisionPage::Unknown, preferred, state));
    };
    let account = state.executor.account(&da).await.map_err(away)?;
    Ok(Opened {
        locale: account.map_or(preferred, |account| account.language()),
        registration,
        da,
    })
}

impl Opened {
    /// What the link is good for now: [`DecisionPage::Ask`] if the DA can decide with it. Who is not entitled learns nothing
    /// of the request, as with the event itself (contract, section 1).
    async fn page(&self, state: &Parts) -> Result<DecisionPage, Trouble> {
        if !state.executor.decisions_by_link() {
            return Ok(DecisionPage::InPortal);
        }
        if !state.executor.may_decide(&self.registration, &self.da).await? {
            return Ok(DecisionPage::NotEntitled);
        }
        let why = match &self.registration.state {
            RegistrationState::AwaitingDa { .. }
            | RegistrationState::InReview {
                reason: ReviewReason::DaUnresponsive,
                ..
            } => return Ok(self.ask(Entered::default(), Vec::new())),
            RegistrationState::Provisioning { .. }
            | RegistrationState::Active { .. }
            | RegistrationState::Denied { .. } => match self.decided(state).await? {
                Some(page) => return Ok(page),
                // It is access, and no DA gave it: an agent appointed the applicant.
                None => Over::Agent,
            },
            RegistrationState::InReview { .. }
            | RegistrationState::AwaitingInformation { .. }
            | RegistrationState::Rejected { .. } => Over::Agent,
            RegistrationState::Withdrawn => Over::Withdrawn,
            RegistrationState::Expired => Over::Expired,
            RegistrationState::Verifying
            | RegistrationState::NeedsCorrection { .. }
            | RegistrationState::Routing
            | RegistrationState::AwaitingConfirmation
            | RegistrationState::AwaitingOrganization
            | RegistrationState::AwaitingEmail { .. } => Over::Applicant,
        };
        let applicant = self.registration.applicant_name().to_owned();
        Ok(DecisionPage::Over { applicant, why })
    }

    /// The form, with what was entered before.
    fn ask(&self, entered: Entered, wrong: Vec<Wrong>) -> DecisionPage {
        let registration = &self.registration;
        let email = registration.account.as_ref().and_then(|account| account.email.as_ref());
        let site = registration.site.as_ref();
        DecisionPage::Ask {
            applicant: Person {
                name: registration.applicant_name().to_owned(),
                email: email.map(|email| email.expose().to_owned()),
            },
            contract_number: registration.contract_number.as_str().to_owned(),
            serial_number: registration.serial_number.as_str().to_owned(),
            site: site.and_then(|site| place(registration, &site.organization_id)),
            since: registration.since,
            roles: Role::ALL,
            max_reason: MAX_REASON_CHARS,
            entered,
            wrong,
        }
    }

    /// What a DA has decided already, and who.
    async fn decided(&self, state: &Parts) -> Result<Option<DecisionPage>, Trouble> {
        let Some(decided) = state.executor.decided_by_da(&self.registration.id).await? else {
            return Ok(None);
        };
        let by = if decided.by == self.da {
            None
        } else {
            let account = state.executor.account(&decided.by).await?;
            // Of whom the directory knows nothing any more, the id is all there is to say.
            Some(account.map_or_else(|| decided.by.to_string(), |account| account.name))
        };
        Ok(Some(DecisionPage::Decided {
            applicant: self.registration.applicant_name().to_owned(),
            by,
            role: decided.role,
            at: decided.at,
        }))
    }
}

/// Reads the form. An `Err` is what was entered, and what is wrong with it.
fn judge(fields: Fields) -> Result<(DaDecision, Option<String>), (Entered, Vec<Wrong>)> {
    let Ok(Form(fields)) = fields else {
        return Err((Entered::default(), vec![Wrong::Form]));
    };
    // A field that is there twice is not one that was chosen.
    let field = |wanted: &str| {
        let mut values = fields.iter().filter(|(name, _)| name == wanted);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => value.clone(),
            _ => String::new(),
        }
    };
    let entered = Entered {
        decision: field("decision"),
        role: field("role"),
        // As browsers count: a line ends with one character, though they send two.
        reason: field("reason").replace("\r\n", "\n").trim().to_owned(),
    };
    let role = Role::ALL.into_iter().find(|role| role.as_str() == entered.role);
    let decision = match (entered.decision.as_str(), role) {
        ("grant", Some(role)) => Ok(DaDecision::Grant { role }),
        ("grant", None) => Err(Wrong::Role),
        ("deny", _) => Ok(DaDecision::Deny),
        _ => Err(Wrong::Decision),
    };
    let too_long = (entered.reason.chars().count() > MAX_REASON_CHARS).then_some(Wrong::Reason);
    match (decision, too_long) {
        (Ok(decision), None) => Ok((decision, Some(entered.reason).filter(|reason| !reason.is_empty()))),
        (decision, too_long) => Err((entered, decision.err().into_iter().chain(too_long).collect())),
    }
}

/// What deciding has come to.
fn result(registration: &Registration) -> DecisionPage {
    let applicant = registration.applicant_name().to_owned();
    match &registration.state {
        RegistrationState::Provisioning { granted, .. } | RegistrationState::Active { granted } => {
            DecisionPage::Granted {
                applicant,
                role: granted.role,
                site: place(registration, &granted.organization_id),
            }
        }
        RegistrationState::Denied { .. } => DecisionPage::Denied { applicant },
        RegistrationState::NeedsCorrection { .. } => DecisionPage::Correction { applicant },
        RegistrationState::Verifying
        | RegistrationState::Routing
        | RegistrationState::AwaitingConfirmation
        | RegistrationState::AwaitingOrganization
        | RegistrationState::AwaitingEmail { .. }
        | RegistrationState::AwaitingDa { .. }
        | RegistrationState::InReview { .. }
        | RegistrationState::AwaitingInformation { .. }
        | RegistrationState::Rejected { .. }
        | RegistrationState::Withdrawn
        | RegistrationState::Expired => DecisionPage::Moved { applicant },
    }
}
