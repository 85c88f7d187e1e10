//! What is done of a request, for a tracing system: spans, by the protocol of OpenTelemetry over HTTP (`tracing.otlp_endpoint`).
//!
//! A span is handed over when it has ended, and is sent with others by a thread of its own: nothing waits for it, and what cannot be
//! sent is dropped. It carries ids, kinds and outcomes, and nothing of persons.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use enrolld_jobs::trace::Trace;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanProcessor as _},
};
use secrecy::ExposeSecret as _;

use crate::{settings::TracingSettings, tls};

/// How long the last spans may take to be sent at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long the collector may take for a batch.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where spans go. Cloning is cheap; the default one takes none.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<BatchSpanProcessor>>);

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spans").field(&self.0.is_some()).finish()
    }
}

/// Whose doing a span is, as OpenTelemetry tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something that was sent to us through a queue: an event, a job.
    Consumer,
    /// A request to us.
    Server,
    /// A request to somebody else.
    Client,
}

/// A part of the work on a request that has ended.
#[derive(Debug)]
pub(crate) struct Span {
    /// The part of the work that it belongs to.
    pub(crate) parent: Trace,
    /// The span itself.
    pub(crate) own: Trace,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) begun: DateTime<Utc>,
    pub(crate) ended: DateTime<Utc>,
    /// By the [semantic conventions](https://opentelemetry.io/docs/specs/semconv/) where they have a name.
    pub(crate) attributes: Vec<(&'static str, String)>,
    /// The class of the error with which it ended, if with one.
    pub(crate) error: Option<String>,
}

impl Spans {
    /// Begins to take spans, if the settings name a collector. `daemon` is this daemon's id, `host` the name of its machine.
    ///
    /// # Errors
    /// When the exporter cannot be made.
    pub(crate) fn start(settings: &TracingSettings, daemon: &str, host: &str) -> anyhow::Result<Self> {
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(Self::default());
        };
        tls::choose_provider();
        let authorization = settings
            .otlp_authorization
            .iter()
            .map(|value| ("authorization".to_owned(), value.expose_secret().to_owned()));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.as_str())
            .with_timeout(ANSWER_WITHIN)
            .with_headers(authorization.collect())
            .build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let about = [
            KeyValue::new("service.name", "enrolld"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", daemon.to_owned()),
            KeyValue::new("host.name", host.to_owned()),
        ];
        processor.set_resource(&Resource::builder_empty().with_attributes(about).build());
        Ok(Self(Some(Arc::new(processor))))
    }

    /// Takes a span, which is made only where somebody wants it.
    pub(crate) fn record(&self, span: impl FnOnce() -> Span) {
        if let Some(processor) = &self.0
            && let Some(data) = data(span())
        {
            processor.on_end(data);
        }
    }

    /// Sends what is left, and takes no more.
    pub(crate) async fn close(&self) {
        let Some(processor) = self.0.clone() else { return };
        let closing = tokio::task::spawn_blocking(move || processor.shutdown_with_timeout(CLOSE_WITHIN));
        match closing.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
            Err(error) => tracing::error!(%error, "the last spans could not be sent"),
        }
    }
}

/// As it goes out; `None` where it is no part of the work.
fn data(span: Span) -> Option<SpanData> {
    let id = TraceId::from_hex(&span.own.id()).ok()?;
    let own = SpanId::from(span.own.span()?.get());
    let error = span
        .error
        .as_ref()
        .map(|class| KeyValue::new("error.type", class.clone()));
    let attributes = span
        .attributes
        .into_iter()
        .map(|(name, value)| KeyValue::new(name, value));
    Some(SpanData {
        span_context: SpanContext::new(id, own, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: span
            .parent
            .span()
            .map_or(SpanId::INVALID, |parent| SpanId::from(parent.get())),
        parent_span_is_remote: true,
        span_kind: match span.kind {
            Kind::Consumer => SpanKind::Consumer,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name,
        start_time: span.begun.into(),
        end_time: span.ended.max(span.begun).into(),
        attributes: attributes.chain(error).collect(),
        dropped_attributes_count: 0,
        events: <_>::default(),
        links: <_>::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("enrolld").build(),
    })
}
