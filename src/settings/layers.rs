//! The layers of the configuration, merged by the crate `config`: embedded defaults, file, credentials, environment.

use std::collections::HashMap;

use config::{Config, ConfigError, Environment, Map, Value, ValueKind};

use secrecy::ExposeSecret as _;

use super::credentials::{Credential, Credentials};
use super::problem::{Problem, SettingsError, Source};

/// Every key with its meaning and default.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Start of every environment variable that is a setting.
pub(super) const PREFIX: &str = "ENROLLD__";

/// Highest index of a list of tables in a variable's name, `ENROLLD__PROVISIONING__TARGETS__0__URL`.
/// The crate `config` allocates up to the index it is given.
const HIGHEST_INDEX: usize = 31;

/// As the crate `config` names it in [`Value::origin`].
const ENVIRONMENT: &str = "the environment";
const CREDENTIAL: &str = "a credential";
const DEFAULT: &str = "default";

/// The merged values, and the defaults alone to fall back to where a value is at fault.
pub(super) struct Layers {
    pub(super) merged: Value,
    pub(super) defaults: Value,
    /// Keys that cannot be merged, and are unknown for certain.
    pub(super) foreign: Vec<(String, Source)>,
    /// Problems met while reading the layers.
    pub(super) problems: Vec<Problem>,
    /// Names of credentials that are no settings.
    pub(super) other_credentials: Vec<String>,
}

/// Whether a section of the settings has this name.
pub(super) fn is_section(name: &str) -> bool {
    DEFAULT_TOML.lines().any(|line| {
        let header = line.strip_prefix('[').and_then(|rest| rest.split(['.', ']']).next());
        header == Some(name)
    })
}

/// Merges the embedded defaults, the text of a file (with its name), the credentials, and the environment.
///
/// # Errors
/// The file is not TOML. Then nothing else is judged, since much would be missing.
pub(super) fn merge(
    file: Option<(&str, &str)>,
    credentials: Credentials,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Layers, SettingsError> {
    let mut foreign = Vec::new();
    let mut problems = Vec::new();
    let defaults = TomlLayer::parse(DEFAULT, DEFAULT_TOML, &mut foreign)?;
    let mut builder = Config::builder().add_source(defaults.clone());
    if let Some((name, text)) = file {
        builder = builder.add_source(TomlLayer::parse(name, text, &mut foreign)?);
    }
    builder = builder.add_source(TomlLayer {
        values: handed_over(credentials.settings, &mut foreign, &mut problems),
    });
    let variables = variables(env, &mut foreign, &mut problems);
    let environment = Environment::with_prefix("ENROLLD")
        .prefix_separator("__")
        .separator("__")
        .source(Some(variables));
    let merged = builder
        .add_source(environment)
        .build()
        .expect("tables and texts always merge")
        .cache;
    Ok(Layers {
        merged,
        defaults: Value::new(None, defaults.values),
        foreign,
        problems,
        other_credentials: credentials.others,
    })
}

/// Where the crate `config` has `value` from.
pub(super) fn source_of(value: &Value) -> Source {
    match value.origin() {
        None | Some(DEFAULT) => Source::Default,
        Some(ENVIRONMENT) => Source::Environment,
        Some(CREDENTIAL) => Source::Credential,
        Some(path) => Source::File(path.into()),
    }
}

/// A parsed TOML text whose values know their origin.
#[derive(Debug, Clone)]
struct TomlLayer {
    values: Map<String, Value>,
}

impl TomlLayer {
    fn parse(name: &str, text: &str, foreign: &mut Vec<(String, Source)>) -> Result<Self, SettingsError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // Not the error's Display: it quotes the line, which may hold a secret.
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
            let remedy = format!("correct line {line}; texts and durations stand in quotes");
            SettingsError::of_file(
                name,
                format!("is not valid TOML at line {line}: {}", error.message()),
                remedy,
            )
        })?;
        let origin = name.to_owned();
        let mut values = Map::new();
        for (key, value) in table {
            // `config` takes a quoted top-level key for a path, and would allocate for "a[999999999]".
            if key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
                && !key.is_empty()
            {
                values.insert(key, labelled(&origin, value));
            } else {
                foreign.push((key, Source::File(name.into())));
            }
        }
        Ok(Self { values })
    }
}

impl config::Source for TomlLayer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone())
    }
}

fn labelled(origin: &String, value: toml::Value) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(flag) => ValueKind::Boolean(flag),
        toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
        toml::Value::Array(items) => ValueKind::Array(items.into_iter().map(|item| labelled(origin, item)).collect()),
        toml::Value::Table(table) => ValueKind::Table(
            table
                .into_iter()
                .map(|(key, value)| (key, labelled(origin, value)))
                .collect(),
        ),
    };
    Value::new(Some(origin), kind)
}

/// The variables that are settings, a number in the name (`__0__`) written as the index (`[0]`) that `config` reads.
fn variables(
    env: impl Iterator<Item = (String, String)>,
    foreign: &mut Vec<(String, Source)>,
    problems: &mut Vec<Problem>,
) -> HashMap<String, String> {
    let mut taken = HashMap::new();
    for (name, value) in env {
        let Some(path) = name
            .get(..PREFIX.len())
            .filter(|start| *start == PREFIX)
            .map(|_| &name[PREFIX.len()..])
        else {
            continue;
        };
        let key = dotted(path.to_lowercase().split("__"));
        if value.contains(char::REPLACEMENT_CHARACTER) {
            problems.push(Problem {
                key,
                what: "is not valid UTF-8".to_owned(),
                remedy: "set the variable to UTF-8 text".to_owned(),
                source: Source::Environment,
            });
        } else if mergeable(&key) {
            taken.insert(format!("{PREFIX}{}", key.replace('.', "__")), value);
        } else {
            foreign.push((key, Source::Environment));
        }
    }
    taken
}

/// The credentials that are settings, by key: `provisioning.targets.0.token` is `provisioning.targets[0].token`.
fn handed_over(
    credentials: Vec<Credential>,
    foreign: &mut Vec<(String, Source)>,
    problems: &mut Vec<Problem>,
) -> Map<String, Value> {
    let mut values = Map::new();
    for Credential { name, text } in credentials {
        let key = dotted(name.split('.'));
        match text {
            Err(what) => problems.push(Problem {
                key,
                what,
                remedy: "hand over a file that holds the value alone, as text".to_owned(),
                source: Source::Credential,
            }),
            Ok(_) if !mergeable(&key) => foreign.push((key, Source::Credential)),
            Ok(text) => {
                let text = ValueKind::String(text.expose_secret().to_owned());
                values.insert(key, Value::new(Some(&CREDENTIAL.to_owned()), text));
            }
        }
    }
    values
}

/// The key of a path in segments: `provisioning`, `targets`, `0`, `url` is `provisioning.targets[0].url`.
fn dotted<'s>(segments: impl Iterator<Item = &'s str>) -> String {
    let mut key = String::new();
    for segment in segments {
        if !key.is_empty() && segment.parse::<usize>().is_ok_and(|index| index <= HIGHEST_INDEX) {
            key.push('[');
            key.push_str(segment);
            key.push(']');
            continue;
        }
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(segment);
    }
    key
}

/// Whether the crate `config` reads `key` as the path that is meant.
fn mergeable(key: &str) -> bool {
    !key.is_empty()
        && key.split('.').all(|segment| {
            let name = segment.split('[').next().unwrap_or_default();
            let index = &segment[name.len()..];
            let is_index = index
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|number| number.parse::<usize>().is_ok_and(|index| index <= HIGHEST_INDEX));
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && (index.is_empty() || is_index)
        })
}
