//! stub
use axum::{Router, routing::{get,post}, extract::{Path, State, Form}, http::StatusCode, Json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use crate::{executor::*, queue::Redis, settings::Settings};
use enrolld_jobs::{values::*, view::*, event::Event};
#[derive(Clone)] #[allow(missing_docs)]
pub struct HttpState{ e: Executor}
#[allow(missing_docs)]
impl HttpState { pub fn new(e: Executor, _r: Redis, _s: &Settings, _l: &TcpListener, _stop: CancellationToken) -> Self { Self{e} } }
#[allow(missing_docs)]
pub fn routers(s: HttpState, a: TcpListener, _b: Option<TcpListener>) -> Vec<(TcpListener, Router)> {
  let r = Router::new().route("/readyz", get(|| async {"ok"})).route("/v1/registrations/{id}", get(view)).route("/verify/{token}", post(verify)).with_state(s);
  vec![(a,r)] }
async fn view(State(s): State<HttpState>, Path(id): Path<String>) -> Result<Json<RegistrationView>, StatusCode> {
  let id = RegistrationId::new(id).map_err(|_| StatusCode::BAD_REQUEST)?;
  let r = s.e.store().registration(&id).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.ok_or(StatusCode::NOT_FOUND)?;
  let t = s.e.store().timelines(&[&id]).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
  Ok(Json(RegistrationView::new(&r, t.into_iter().map(|x| x.1).collect())))
}
async fn verify(State(s): State<HttpState>, Path(t): Path<String>) -> Result<String, StatusCode> {
  let l = s.e.store().link_by_digest(&crate::links::digest(&t)).await.unwrap().ok_or(StatusCode::NOT_FOUND)?;
  let id = RegistrationId::new(l.registration_id.as_str()).unwrap();
  let r = s.e.apply(&id, &Event::EmailVerified{link: uuid::Uuid::parse_str(&l.id).ok()}, &Cause::Link).await.unwrap();
  Ok(format!("{:?}", matches!(r, Applied::Changed(_))))
}
#[allow(missing_docs)]
pub async fn serve(l: TcpListener, r: Router, stop: CancellationToken) -> std::io::Result<()> { axum::serve(l, r).with_graceful_shutdown(async move {stop.cancelled().await}).await }
