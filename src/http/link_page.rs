//! What the pages of all links share: finding a link by its token, acting by it, and what to say when that cannot be.

use std::time::Duration;

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, header},
    response::Response,
};
use enrolld_jobs::{
    event::Event,
    registration::Registration,
    values::{Locale, OrganizationId, RegistrationId},
};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{Parts, pages, pages::Page};
use crate::{
    executor::{Applied, Cause, Executor, Trouble},
    links,
    logging::traced,
    mail::Place,
    spans::{Kind, Span},
    store::{entities::link, error::StoreError},
};

/// Longest text that is looked up as a token, in bytes; ours have 43.
const MAX_TOKEN_BYTES: usize = 256;

/// How long whoever pressed a button waits before being asked to try again. Below the limit of a request.
const APPLY_WITHIN: Duration = Duration::from_secs(8);

/// The token of the path, if it is text at all.
pub(super) type Token = Result<Path<String>, PathRejection>;

/// A link whose token was shown, and the registration that it belongs to.
pub(super) struct Found {
    pub(super) link: link::Model,
    pub(super) registration: Registration,
}

/// Finds the link for `purpose` by the token's digest. `None` if no such link was ever made, or its registration is gone.
pub(super) async fn find(executor: &Executor, purpose: &str, token: Token) -> Result<Option<Found>, StoreError> {
    let Some(Path(token)) = token.ok().filter(|Path(token)| token.len() <= MAX_TOKEN_BYTES) else {
        return Ok(None);
    };
    let Some(link) = executor.link_of(purpose, &links::digest(&token)).await? else {
        return Ok(None);
    };
    let Ok(id) = RegistrationId::new(link.registration_id.as_str()) else {
        return Ok(None);
    };
    let registration = executor.store().registration(&id).await?;
    Ok(registration.map(|registration| Found { link, registration }))
}

/// In a task of its own: a browser that goes away does not stop halfway what its user has asked for. `None` when it takes
/// too long, or panicked.
pub(super) async fn apply(state: &Parts, id: &RegistrationId, event: Event) -> Option<Result<Applied, Trouble>> {
    let (executor, own_id) = (state.executor.clone(), id.clone());
    // Whatever the browser says of traces: it is anybody's.
    let parent = executor.new_trace();
    let trace = parent.part("link");
    let applied = async move {
        let begun = executor.now();
        let applied = executor.apply(&own_id, &event, &Cause::Link { trace }).await;
        executor.spans().record(|| Span {
            parent,
            own: trace,
            name: "link".into(),
            kind: Kind::Server,
            begun,
            ended: executor.now(),
            attributes: vec![("enrolld.registration.id", own_id.to_string())],
            error: applied.as_ref().err().map(|trouble| trouble.class().to_owned()),
        });
        applied
    };
    let task = tokio::spawn(applied.instrument(traced(trace)));
    match timeout(APPLY_WITHIN, task).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::error!(%error, registration = %id, "using a link panicked");
            None
        }
        Err(_) => None,
    }
}

/// It cannot be answered now.
pub(super) fn later(state: &Parts, locale: Locale, trouble: &Trouble) -> Response {
    if trouble.is_temporary() {
        tracing::warn!(error = %trouble, "a link page waits for what is away");
    } else {
        tracing::error!(error = %trouble, "a link page cannot be answered");
    }
    pages::respond(&Page::Later, locale, &state.portal)
}

/// For pages about nobody: what the browser asks for first.
pub(super) fn preferred_language(headers: &HeaderMap) -> Locale {
    let languages = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    let first = languages
        .unwrap_or_default()
        .split([',', ';'])
        .next()
        .unwrap_or_default();
    Locale::from_tag(first.trim())
}

/// An organization of the registration's site or above it.
pub(super) fn place(registration: &Registration, id: &OrganizationId) -> Option<Place> {
    let chain = registration.site.iter().flat_map(|site| &site.chain);
    chain
        .into_iter()
        .find(|organization| organization.id == *id)
        .map(|organization| Place {
            name: organization.name.clone(),
            address: organization.address.clone(),
            country: organization.country.clone(),
        })
}
