//! A collector of OpenTelemetry, as far as it takes spans over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message as _;

use super::child::PATIENCE;

/// A span, as far as tests look.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) failed: bool,
    /// From the begin to the end.
    pub(crate) nanoseconds: u64,
    /// Who sent it.
    pub(crate) service: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Taken {
    spans: Vec<Span>,
    authorizations: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Collector {
    url: String,
    taken: Arc<Mutex<Taken>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let taken = Arc::new(Mutex::new(Taken::default()));
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&taken));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url: format!("http://{address}/v1/traces"),
            taken,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The spans, once `hold`.
    pub(crate) async fn wait(&self, wanted: &str, hold: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let start = Instant::now();
        loop {
            let spans = self.taken.lock().unwrap_or_else(PoisonError::into_inner).spans.clone();
            if hold(&spans) {
                return spans;
            }
            assert!(start.elapsed() < PATIENCE, "never {wanted}: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.authorizations.clone()
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("it is of the protocol");
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    taken.authorizations.extend(authorization.map(str::to_owned));
    for of_service in request.resource_spans {
        let service = named(&of_service.resource.unwrap_or_default().attributes);
        for span in of_service.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            taken.spans.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                attributes: named(&span.attributes),
                failed: span.status.is_some_and(|status| status.code == 2),
                nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
                name: span.name,
                service: service.clone(),
            });
        }
    }
}

fn named(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let named = attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        let Some(Value::StringValue(value)) = value else {
            panic!("a text: {attribute:?}")
        };
        (attribute.key.clone(), value.clone())
    });
    named.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
