//! HTTP: health, the API and the pages that mails link to (contract, section 6).
//!
//! - `http.bind` has everything; `http.public_bind`, when it is set, the link pages and `/healthz` alone, and the link pages are
//!   there only ([`routers`]).
//! - A link's token is a credential: logs show the template of a path (`/verify/{token}`), never the path.
//! - Everything is bounded: connections, their age, headers, bodies, and the time for a request; and how often link pages are
//!   answered (`limit`).

mod decide;
mod events;
mod guard;
mod health;
mod limit;
mod link_page;
mod metrics;
mod observe;
mod pages;
mod problem;
mod registrations;
mod server;
mod verify;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware,
    routing::{get, post},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use server::serve;

use self::problem::Problem;
use crate::{
    executor::Executor,
    mail::Portal,
    metrics::Exposition,
    queue::Redis,
    settings::{HttpSettings, Settings},
};

/// What the handlers stand on. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct HttpState(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    executor: Executor,
    redis: Redis,
    /// `redis.prefix`.
    prefix: String,
    settings: HttpSettings,
    /// Where the private listener is bound: its port is known only then when `http.bind` has port 0.
    bound: SocketAddr,
    /// Where pages lead to (R61).
    portal: Portal,
    /// What `/metrics` shows.
    exposition: Exposition,
    /// Cancelled once the daemon takes no more work.
    stop: CancellationToken,
    /// See [`limit`].
    limits: limit::Limits,
    /// See [`health::ready`].
    migrated: AtomicBool,
}

impl HttpState {
    /// Handlers that apply and read through `executor` and add to the intake through `redis`, answering on `listener`. From
    /// `stop` on the daemon is not ready any more.
    pub fn new(
        executor: Executor,
        redis: Redis,
        settings: &Settings,
        listener: &TcpListener,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Parts {
            executor,
            redis,
            prefix: settings.redis.prefix.clone(),
            bound: listener.local_addr().unwrap_or(settings.http.bind),
            settings: settings.http.clone(),
            portal: Portal::from(&settings.portal),
            exposition: Exposition::start(&settings.provisioning.targets),
            stop,
            limits: limit::Limits::default(),
            migrated: AtomicBool::new(false),
        }))
    }
}

/// What each listener serves: `private` (`http.bind`) everything, `public` (`http.public_bind`) the link pages and
/// `/healthz`. The link pages are on `private` only when there is no `public`.
pub fn routers(
    state: HttpState,
    private: TcpListener,
    public: Option<TcpListener>,
) -> impl Iterator<Item = (TcpListener, Router)> {
    let api = Router::new()
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/v1/registrations", get(registrations::list))
        .route("/v1/registrations/{id}", get(registrations::show))
        .route("/v1/events", post(events::forward))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"));
    let (api, public) = match public {
        None => (api.merge(link_pages(&state)), None),
        Some(listener) => {
            let router = link_pages(&state).fallback(verify::unknown);
            (api, Some((listener, finish(router, state.0.clone()))))
        }
    };
    [(private, finish(api, state.0))].into_iter().chain(public)
}

fn link_pages(state: &HttpState) -> Router<Arc<Parts>> {
    Router::new()
        .route("/verify/{token}", get(verify::show).post(verify::confirm))
        .route(
            "/decide/{token}",
            get(decide::show)
                .post(decide::decide)
                .layer(DefaultBodyLimit::max(decide::MAX_FORM_BYTES)),
        )
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state.0), limit::limit))
        .route("/assets/page.css", get(pages::style_sheet))
}

fn finish(router: Router<Arc<Parts>>, state: Arc<Parts>) -> Router {
    router
        .route("/healthz", get(health::alive))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take the method; see the header Allow",
            )
        })
        .layer(observe::catch_panics())
        .layer(middleware::from_fn(observe::observe))
        .with_state(state)
}
