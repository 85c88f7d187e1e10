//! Reading registrations: `GET /v1/registrations` and `GET /v1/registrations/{id}` (contract, section 3).

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use enrolld_jobs::{
    registration::{Registration, StateName},
    values::{AccountId, RegistrationId},
    view::{RegistrationView, TimelineLine},
};

use super::{Parts, guard, problem::Problem};
use crate::store::{
    Store,
    error::StoreError,
    registrations::{Filter, Place},
};

/// Registrations listed when no limit is asked for.
const DEFAULT_LIMIT: u64 = 100;

/// Most registrations listed.
const MAX_LIMIT: u64 = 500;

/// `GET /v1/registrations/{id}`: the view.
pub(super) async fn show(
    State(state): State<Arc<Parts>>,
    uri: Uri,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    guard::may_read(&state, &uri, &headers)?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "there is no registration with this id");
    let id = id
        .ok()
        .and_then(|Path(id)| RegistrationId::new(id).ok())
        .ok_or_else(none)?;
    let store = state.executor.store();
    let registration = store.registration(&id).await?.ok_or_else(none)?;
    let view = views(store, vec![registration]).await?.pop().ok_or_else(none)?;
    Ok(json(&view))
}

/// `GET /v1/registrations?account_id=&state=&limit=&before=`: a list of views, newest first. The header `Link` leads to the next
/// page, where there is one.
pub(super) async fn list(
    State(state): State<Arc<Parts>>,
    uri: Uri,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    guard::may_read(&state, &uri, &headers)?;
    let mut filter = filter(query.as_deref().unwrap_or_default())?;
    let store = state.executor.store();
    let limit = filter.limit;
    // One more tells whether there are more.
    filter.limit += 1;
    let mut registrations = store.registrations(&filter).await?;
    filter.limit = limit;
    let has_more = registrations.len() as u64 > limit;
    if has_more {
        registrations.pop();
    }
    let next = registrations
        .last()
        .filter(|_| has_more)
        .map(|last| next_page(&filter, last));
    let list = json(&views(store, registrations).await?);
    Ok(match next {
        Some(next) => ([(header::LINK, next)], list).into_response(),
        None => list,
    })
}

/// Where the list goes on behind `last`: only the path, since a proxy may have given the daemon another address.
fn next_page(filter: &Filter, last: &Registration) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(account_id) = &filter.account_id {
        query.append_pair("account_id", account_id.as_str());
    }
    if let Some(state) = filter.state {
        query.append_pair("state", state.as_str());
    }
    query.append_pair("limit", &filter.limit.to_string());
    query.append_pair("before", &Place::of(last).to_string());
    format!("</v1/registrations?{}>; rel=\"next\"", query.finish())
}

fn json(value: &impl serde::Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

/// The views, in the order of `registrations`.
async fn views(store: &Store, registrations: Vec<Registration>) -> Result<Vec<RegistrationView>, StoreError> {
    let ids: Vec<_> = registrations.iter().map(|registration| &registration.id).collect();
    let mut timelines: HashMap<String, Vec<TimelineLine>> = HashMap::new();
    for (id, line) in store.timelines(&ids).await? {
        timelines.entry(id).or_default().push(line);
    }
    let view = |registration: &Registration| {
        RegistrationView::new(
            registration,
            timelines.remove(registration.id.as_str()).unwrap_or_default(),
        )
    };
    Ok(registrations.iter().map(view).collect())
}

/// Reads the query. What is not known is refused: a filter with a slip of the pen must not list everything.
fn filter(query: &str) -> Result<Filter, Problem> {
    let mut filter = Filter {
        limit: DEFAULT_LIMIT,
        ..Filter::default()
    };
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let wrong = |problem: String| Problem::new(StatusCode::BAD_REQUEST, format!("parameter {name}: {problem}"));
        if seen.contains(&name) {
            return Err(wrong("is given twice".to_owned()));
        }
        match name.as_ref() {
            "account_id" => {
                let id = AccountId::new(value.into_owned()).map_err(|error| wrong(error.to_string()))?;
                filter.account_id = Some(id);
            }
            "state" => {
                let state = StateName::ALL.into_iter().find(|state| state.as_str() == value);
                let names = || StateName::ALL.map(StateName::as_str).join(", ");
                filter.state = Some(state.ok_or_else(|| wrong(format!("must be one of {}", names())))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                filter.limit = limit.ok_or_else(|| wrong(format!("must be a number from 1 to {MAX_LIMIT}")))?;
            }
            "before" => {
                let place = Place::parse(&value);
                filter.before = Some(place.ok_or_else(|| wrong("must be as a header Link has it".to_owned()))?);
            }
            unknown => {
                let unknown: String = unknown.chars().take(64).collect();
                let detail =
                    format!("parameter {unknown:?} is not known; there are account_id, state, limit and before");
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            }
        }
        seen.push(name);
    }
    Ok(filter)
}
