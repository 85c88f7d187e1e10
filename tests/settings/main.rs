//! The settings from outside: layers, every kind of problem, and that no secret is ever shown.

use std::collections::BTreeMap;

use enrolld::settings::{DEFAULT_TOML, Settings, SettingsError, Source};

mod default_file;
mod layers;
mod problems;
mod secrets;

const SENTINEL: &str = "s3ntinel-never-to-be-shown-0123456789";

fn parse(file: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let env: Vec<_> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Settings::parse(Some(("enrolld.toml", file)), env.into_iter())
}

fn valid(file: &str, env: &[(&str, &str)]) -> Settings {
    parse(file, env).unwrap_or_else(|error| panic!("{error}"))
}

fn described(settings: &Settings) -> BTreeMap<&str, (&str, &Source)> {
    settings
        .describe()
        .iter()
        .map(|setting| (setting.key.as_str(), (setting.value.as_str(), &setting.source)))
        .collect()
}

/// `default.toml` with every optional key set, and the secrets among them long enough.
fn everything_set() -> String {
    let is_setting = |line: &str| {
        line.starts_with("[[")
            || line
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let lines = DEFAULT_TOML.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if is_setting(rest) => rest,
        _ => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.replace("the output of openssl rand -hex 32", SENTINEL)
        .replace("the output of openssl", SENTINEL)
        .replace("the token of the target", SENTINEL)
}
