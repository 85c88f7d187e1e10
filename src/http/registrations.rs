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
use crate::store::{Store, error::StoreError, registrations::Filter};

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

/// `GET /v1/registrations?account_id=&state=&limit=`: a list of views, newest first.
pub(super) async fn list(
    State(state): State<Arc<Parts>>,
    uri: Uri,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    guard::may_read(&state, &uri, &headers)?;
    let filter = filter(query.as_deref().unwrap_or_default())?;
    let store = state.executor.store();
    let registrations = store.registrations(&filter).await?;
    Ok(json(&views(store, registrations).await?))
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
            unknown => {
                let unknown: String = unknown.chars().take(64).collect();
                let detail = format!("parameter {unknown:?} is not known; there are account_id, state and limit");
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            }
        }
        seen.push(name);
    }
    Ok(filter)
}
