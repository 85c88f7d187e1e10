//! HTTP: health, the API and the pages that mails link to (contract, section 6).
//!
//! - [`private_router`] has everything, and belongs on `http.bind`; [`public_router`] has the link pages and `/healthz`, and
//!   belongs on `http.public_bind`. While that is set, the link pages are there only.
//! - A link's token is a credential: logs show the template of a path (`/verify/{token}`), never the path.
//! - Everything is bounded: connections, their age, headers, bodies, and the time for a request.

mod events;
mod guard;
mod health;
mod observe;
mod pages;
mod problem;
mod registrations;
mod server;
mod verify;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::StatusCode,
    middleware,
    routing::{get, post},
};

pub use health::ReadinessFlag;
pub use server::serve;

use self::problem::Problem;
use crate::{executor::Executor, mail::Portal, queue::Redis, settings::HttpSettings};

/// What the handlers stand on.
#[derive(Debug, Clone)]
pub struct HttpState {
    /// Applies what link pages bring, and reads.
    pub executor: Executor,
    /// Takes events to the intake.
    pub redis: Redis,
    /// `redis.prefix`.
    pub prefix: String,
    /// `http`.
    pub settings: HttpSettings,
    /// Where the private listener is bound: its port is known only then when `http.bind` has port 0.
    pub bound: SocketAddr,
    /// Where pages lead to (R61).
    pub portal: Portal,
    /// What `/readyz` is told by the life cycle.
    pub ready: ReadinessFlag,
}

/// Everything, for `http.bind`; without the link pages when they have a listener of their own (`http.public_bind`).
pub fn private_router(state: HttpState) -> Router {
    let has_public = state.settings.public_bind.is_some();
    let mut router = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/registrations", get(registrations::list))
        .route("/v1/registrations/{id}", get(registrations::show))
        .route("/v1/events", post(events::forward))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"));
    if !has_public {
        router = router.merge(link_pages());
    }
    finish(router, state)
}

/// The link pages and `/healthz`, for `http.public_bind`.
pub fn public_router(state: HttpState) -> Router {
    let router = link_pages()
        .route("/healthz", get(health::alive))
        .fallback(verify::unknown);
    finish(router, state)
}

fn link_pages() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/verify/{token}", get(verify::show).post(verify::confirm))
        .route("/assets/page.css", get(pages::style_sheet))
}

fn finish(router: Router<Arc<HttpState>>, state: HttpState) -> Router {
    router
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take the method; see the header Allow",
            )
        })
        .layer(observe::catch_panics())
        .layer(middleware::from_fn(observe::observe))
        .with_state(Arc::new(state))
}
