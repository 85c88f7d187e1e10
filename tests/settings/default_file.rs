//! `config/default.toml` is complete, valid and right.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use enrolld::settings::{DEFAULT_TOML, DatabaseUrl, MailTransport, Settings, Source};

use super::{described, everything_set, valid};

#[test]
fn the_defaults_are_valid_and_warn_of_nothing() {
    let settings = Settings::parse(None, std::iter::empty()).unwrap();
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert!(
        settings
            .describe()
            .iter()
            .all(|setting| setting.source == Source::Default)
    );
    assert!(
        matches!(&settings.database.url, DatabaseUrl::Sqlite(path) if path == Path::new("enrolld-data/enrolld.db"))
    );
    assert!(matches!(&settings.mail.transport, MailTransport::File { dir } if dir == Path::new("enrolld-data/mail")));
    assert_eq!(
        settings.da_response.reminders,
        [Duration::from_hours(24), Duration::from_hours(48)]
    );
    assert_eq!(settings.shutdown.grace, Duration::from_secs(25));
    assert!(
        settings.redis.url.is_none() && settings.http.api_token.is_none() && settings.security.link_keys.is_empty()
    );
    insta::assert_snapshot!(settings.to_toml());
}

/// Both ways: what is read is documented, and what is documented is read.
#[test]
fn the_default_file_names_every_key_and_no_other() {
    let text = everything_set();
    let settings = valid(&text, &[]);
    let read: BTreeSet<String> = settings
        .describe()
        .iter()
        .map(|setting| setting.key.replace("[0]", ""))
        .collect();
    let mut documented = BTreeSet::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            section = format!("{}.", line.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.split_once(" = ") {
            assert!(documented.insert(format!("{section}{key}")), "twice: {section}{key}");
        }
    }
    assert_eq!(read, documented);
}

#[test]
fn every_key_of_the_default_file_has_a_comment() {
    let mut before = "";
    for line in DEFAULT_TOML.lines() {
        let is_key = line
            .trim_start_matches('#')
            .split_once(" = ")
            .is_some_and(|(key, _)| !key.contains([' ', '"']));
        // The names of a section with one obvious key are explained above its header.
        let is_explained = before.starts_with("# ") || before == "[portal]";
        assert!(!is_key || is_explained, "{line}");
        before = line;
    }
}

#[test]
fn every_default_is_the_same_when_it_is_written_in_the_environment() {
    let settings = valid(&everything_set(), &[]);
    for setting in settings
        .describe()
        .iter()
        .filter(|setting| !setting.value.starts_with('('))
    {
        let literal: toml::Table = format!("v = {}", setting.value).parse().unwrap();
        let text = match &literal["v"] {
            toml::Value::String(text) => text.clone(),
            toml::Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(","),
            other => other.to_string(),
        };
        let name = format!(
            "ENROLLD__{}",
            setting.key.replace(['.', '['], "__").replace(']', "").to_uppercase()
        );
        let again = valid(&everything_set(), &[(&name, &text)]);
        let again = described(&again)[setting.key.as_str()];
        assert_eq!(again, (setting.value.as_str(), &Source::Environment), "{name}={text}");
    }
}
