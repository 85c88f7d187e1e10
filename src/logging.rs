//! Where log lines go: to standard error, which systemd hands to the journal.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Starts logging as the settings say: the daemon's log. Text is coloured on a terminal only, and never with `NO_COLOR` set.
///
/// Does nothing when logging has been started already.
pub fn init(settings: &LogSettings) {
    start(settings.format, EnvFilter::new(&settings.filter));
}

/// Starts logging for a command that runs once and ends: warnings and errors only.
pub fn init_for_command() {
    start(LogFormat::Text, EnvFilter::new("warn"));
}

fn start(format: LogFormat, filter: EnvFilter) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // It would be said on standard error, and panic if that is gone.
        .log_internal_errors(false);
    // Somebody has set up logging before only in tests; theirs stays.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(has_colours(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Whether text to `stream` may be coloured.
pub(crate) fn has_colours(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
