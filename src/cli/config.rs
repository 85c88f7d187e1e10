//! `enrolld config`: the settings, checked and shown.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::output;
use crate::settings::Settings;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check file and environment, and tell every problem at once; nothing is connected to
    #[command(
        after_help = "Prints `ok` and warnings, or every problem with its key and remedy (exit status 1).

Examples:
  enrolld config check
  enrolld config check --config /etc/enrolld/enrolld.toml"
    )]
    Check,
    /// Show every key with its value and where it came from; secrets are hidden
    #[command(after_help = "Examples:
  enrolld config show > enrolld.toml
  enrolld config show --output json | jq '.[] | select(.source != \"default\")'")]
    Show {
        /// Form of the output: TOML that can be used as a settings file, or JSON
        #[arg(long, value_enum, value_name = "FORM", default_value_t = ShowFormat::Toml)]
        output: ShowFormat,
    },
}

/// `--output` of `config show`: a settings file, or a list of key, value and source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ShowFormat {
    Toml,
    Json,
}

/// Carries the verb out; problems of the settings were met when they were loaded.
pub(super) fn run(command: &Command, settings: &Settings) -> anyhow::Result<()> {
    match command {
        Command::Check => {
            let warnings = settings.warnings.iter().map(|warning| format!("\nwarning: {warning}"));
            output::text(&format!("ok{}", warnings.collect::<String>()))
        }
        Command::Show {
            output: ShowFormat::Toml,
        } => output::text(&settings.to_toml()),
        Command::Show {
            output: ShowFormat::Json,
        } => {
            let keys = settings.describe().iter().map(
                |setting| json!({ "key": setting.key, "value": setting.value, "source": setting.source.to_string() }),
            );
            output::json(&keys.collect::<Vec<_>>())
        }
    }
}
