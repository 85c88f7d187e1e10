//! The page that a verification link opens (R51–R57, D7). The token is the credential: no cookie, script, Origin or Host
//! is asked for. A `GET` shows, and its button, a `POST`, uses the link: mail scanners open links, and press no buttons.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, Utc};
use enrolld_jobs::{
    event::Event,
    registration::{Registration, State as RegistrationState},
    view::{RegistrationSummary, problems},
};
use uuid::Uuid;

use super::{
    Parts,
    link_page::{self, Token, later, place, preferred_language},
    pages,
    pages::Page,
};
use crate::{
    executor::{Applied, Executor},
    links,
    store::error::StoreError,
};

/// `GET /verify/{token}`: what the link is for, or what has become of it. Changes nothing.
pub(super) async fn show(State(state): State<Arc<Parts>>, headers: HeaderMap, token: Token) -> Response {
    match open(&state.executor, token).await {
        Ok(Some(opened)) => {
            let page = opened.page(state.executor.now());
            pages::respond(&page, opened.registration.locale(), &state.portal)
        }
        Ok(None) => pages::respond(&Page::Unknown, preferred_language(&headers), &state.portal),
        Err(error) => later(&state, preferred_language(&headers), &error.into()),
    }
}

/// `POST /verify/{token}`: uses the link, and tells what has come of it (R55).
pub(super) async fn confirm(State(state): State<Arc<Parts>>, headers: HeaderMap, token: Token) -> Response {
    let opened = match open(&state.executor, token).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return pages::respond(&Page::Unknown, preferred_language(&headers), &state.portal),
        Err(error) => return later(&state, preferred_language(&headers), &error.into()),
    };
    let locale = opened.registration.locale();
    match opened.page(state.executor.now()) {
        Page::Ask { .. } => {}
        page => return pages::respond(&page, locale, &state.portal),
    }
    let used = Event::EmailVerified {
        link: Some(opened.link),
    };
    match link_page::apply(&state, &opened.registration.id, used).await {
        Some(Ok(Applied::Changed(registration))) => pages::respond(&result(&registration), locale, &state.portal),
        // Somebody was faster: a second click, a resend, the clock.
        Some(Ok(Applied::Refused(_) | Applied::Ignored | Applied::Dropped(_))) => {
            let store = state.executor.store();
            match store.registration(&opened.registration.id).await {
                Ok(Some(registration)) => {
                    let page = match (Opened { registration, ..opened }).page(state.executor.now()) {
                        Page::Ask { .. } => Page::Later,
                        page => page,
                    };
                    pages::respond(&page, locale, &state.portal)
                }
                Ok(None) => pages::respond(&Page::Unknown, locale, &state.portal),
                Err(error) => later(&state, locale, &error.into()),
            }
        }
        Some(Err(trouble)) => later(&state, locale, &trouble),
        None => pages::respond(&Page::Later, locale, &state.portal),
    }
}

/// Every other path of the public listener.
pub(super) async fn unknown(State(state): State<Arc<Parts>>, headers: HeaderMap) -> Response {
    pages::respond(&Page::Unknown, preferred_language(&headers), &state.portal)
}

/// A link whose token was shown, and the registration that it belongs to.
struct Opened {
    link: Uuid,
    registration: Registration,
}

/// Finds the link by the token's digest. `None` if no such link was ever made, or its registration is gone.
async fn open(executor: &Executor, token: Token) -> Result<Option<Opened>, StoreError> {
    let found = link_page::find(executor, links::PURPOSE_EMAIL, token).await?;
    Ok(found.and_then(|found| {
        let link = Uuid::parse_str(&found.link.id).ok()?;
        let registration = found.registration;
        Some(Opened { link, registration })
    }))
}

impl Opened {
    /// What the link is good for at the time `now`: [`Page::Ask`] if it can be used.
    fn page(&self, now: DateTime<Utc>) -> Page {
        let registration = &self.registration;
        if registration
            .verified_email
            .as_ref()
            .is_some_and(|verified| verified.link == self.link)
        {
            return Page::Used {
                standing: RegistrationSummary::new(registration).title,
            };
        }
        match &registration.state {
            RegistrationState::AwaitingEmail { link } if link.id != self.link => Page::Replaced,
            RegistrationState::AwaitingEmail { link } if link.valid_until <= now => Page::Expired,
            RegistrationState::AwaitingEmail { link } => Page::Ask {
                address: link.address.to_string(),
                valid_until: link.valid_until,
                organization: registration.selected.as_ref().and_then(|id| place(registration, id)),
            },
            RegistrationState::Verifying
            | RegistrationState::NeedsCorrection { .. }
            | RegistrationState::Routing
            | RegistrationState::AwaitingConfirmation
            | RegistrationState::AwaitingOrganization
            | RegistrationState::AwaitingDa { .. }
            | RegistrationState::InReview { .. }
            | RegistrationState::AwaitingInformation { .. }
            | RegistrationState::Provisioning { .. }
            | RegistrationState::Active { .. }
            | RegistrationState::Denied { .. }
            | RegistrationState::Rejected { .. }
            | RegistrationState::Withdrawn
            | RegistrationState::Expired => Page::Over,
        }
    }
}

/// What using the link has come to: one is DA now (R57), or more is needed (R56).
fn result(registration: &Registration) -> Page {
    match &registration.state {
        // One is DA from the appointment on, before access is there (D4).
        RegistrationState::Provisioning { granted, .. } | RegistrationState::Active { granted } => Page::Appointed {
            organization: place(registration, &granted.organization_id),
        },
        RegistrationState::AwaitingDa { .. } => Page::Rerouted {
            administrator: registration
                .delegated_administrator()
                .map_or_else(String::new, |da| da.name.clone()),
        },
        RegistrationState::InReview { .. } | RegistrationState::AwaitingInformation { .. } => Page::InReview,
        RegistrationState::NeedsCorrection { .. } => Page::Correction {
            problems: problems(&registration.state, registration.locale()),
        },
        RegistrationState::AwaitingEmail { link } => Page::AddressChanged {
            address: link.address.to_string(),
        },
        RegistrationState::Verifying
        | RegistrationState::Routing
        | RegistrationState::AwaitingConfirmation
        | RegistrationState::AwaitingOrganization => Page::ChooseAgain,
        RegistrationState::Denied { .. }
        | RegistrationState::Rejected { .. }
        | RegistrationState::Withdrawn
        | RegistrationState::Expired => Page::Over,
    }
}
