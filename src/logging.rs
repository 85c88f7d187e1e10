//! Where log lines go: to standard error, which systemd hands to the journal, or to the journal itself.

use std::{fmt, io};

use enrolld_jobs::trace::Trace;
use tracing::Span;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

use crate::settings::{LogFormat, LogSettings};

/// How the names of our fields begin in the journal, whose own names they must not take.
const JOURNAL_PREFIX: &str = "ENROLLD";

/// Starts logging as the settings say: the daemon's log. Text is coloured on a terminal only, and never with `NO_COLOR` set.
///
/// Does nothing when logging has been started already.
pub fn init(settings: &LogSettings) -> Filter {
    let filter = EnvFilter::new(&settings.filter);
    if settings.format != LogFormat::Journald {
        return start(settings.format, filter);
    }
    match tracing_journald::layer() {
        Ok(journal) => {
            let journal = journal
                .with_field_prefix(Some(JOURNAL_PREFIX.to_owned()))
                .with_priority_mappings(priorities());
            let (filter, handle) = reload::Layer::new(filter);
            let _ = tracing_subscriber::registry().with(filter).with(journal).try_init();
            Filter::of(handle)
        }
        Err(error) => {
            let filter = start(LogFormat::Text, filter);
            tracing::warn!(%error, "log.format is journald, and there is no journal here; the log goes to standard error");
            filter
        }
    }
}

/// What of the log is written (`log.filter`); it may be changed while the daemon works.
pub struct Filter(Box<dyn Fn(EnvFilter) -> bool + Send + Sync>);

impl Filter {
    fn of<S: 'static>(handle: reload::Handle<EnvFilter, S>) -> Self {
        Self(Box::new(move |filter| handle.reload(filter).is_ok()))
    }

    /// Writes what `filter` says from now on. The settings have seen to it that it is one.
    pub fn set(&self, filter: &str) {
        if !(self.0)(EnvFilter::new(filter)) {
            tracing::error!("the log takes no other filter");
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").finish_non_exhaustive()
    }
}

/// Starts logging for a command that runs once and ends: warnings and errors only.
pub fn init_for_command() {
    start(LogFormat::Text, EnvFilter::new("warn"));
}

fn start(format: LogFormat, filter: EnvFilter) -> Filter {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would be said on standard error, and panic if that is gone.
        .log_internal_errors(false);
    // Somebody has set up logging before only in tests; theirs stays.
    match format {
        LogFormat::Text | LogFormat::Journald => {
            let builder = builder.with_ansi(has_colours(&io::stderr())).with_filter_reloading();
            let filter = Filter::of(builder.reload_handle());
            let _ = builder.try_init();
            filter
        }
        LogFormat::Json => {
            let builder = builder
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_filter_reloading();
            let filter = Filter::of(builder.reload_handle());
            let _ = builder.try_init();
            filter
        }
    }
}

/// What the journal calls each level: `journalctl -p warning` shows warnings and errors.
fn priorities() -> PriorityMappings {
    PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    }
}

/// What every line of a request carries, whatever is logged: its trace, in the field `trace_id`.
pub(crate) fn traced(trace: Trace) -> Span {
    // Of the highest level, so that no filter takes it from a line that is logged.
    tracing::error_span!("request", trace_id = trace.id())
}

/// Whether text to `stream` may be coloured.
pub(crate) fn has_colours(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
