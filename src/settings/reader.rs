//! Typed reading of the merged layers. A value at fault is noted and replaced by its default, so that reading goes on
//! and all problems are reported in one go. What was read is what is known: any other key is a problem.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};
use secrecy::SecretString;

use super::Setting;
use super::layers::{Layers, source_of};
use super::problem::{Problem, Source, alike, did_you_mean, variable};
use super::secret_url::SecretUrl;
use super::shape::{Shape, find, is_table, items_of, kind_of, pattern, shape_of, shortened, text_of};
use super::values;

pub(super) struct Reader {
    merged: Value,
    defaults: Value,
    /// Keys read, with `[]` for every index. Ordered by name.
    known: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) shown: Vec<Setting>,
    /// What each key was given, as TOML.
    pub(super) given: BTreeMap<String, SecretString>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        let Layers {
            merged,
            defaults,
            foreign: _,
            problems,
            other_credentials: _,
        } = layers;
        Self {
            merged,
            defaults,
            known: BTreeSet::new(),
            problems,
            warnings: Vec::new(),
            shown: Vec::new(),
            given: BTreeMap::new(),
        }
    }

    /// A text that always has a value; `want` is the remedy when it cannot be used.
    pub(super) fn text<T>(&mut self, key: &str, want: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        self.always(key, Shape::Text, want, |value| parse(text_of(value)))
    }

    /// A text that may be unset; the empty text is unset, so that a variable can take away what the file gives.
    pub(super) fn optional_text<T>(
        &mut self,
        key: &str,
        want: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.maybe(
            key,
            Shape::Text,
            want,
            |value| parse(text_of(value)),
            |literal, _| literal.to_string(),
        )
    }

    /// A secret text that may be unset. `parse` must not repeat the value.
    pub(super) fn secret(
        &mut self,
        key: &str,
        want: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<SecretString> {
        let parse = |value: &toml::Value| check(text_of(value)).map(|()| SecretString::from(text_of(value)));
        self.maybe(key, Shape::Text, want, parse, |_, _| "(set)".to_owned())
    }

    /// A list of secrets; empty when unset.
    pub(super) fn secrets(
        &mut self,
        key: &str,
        want: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Vec<SecretString> {
        let parse = |value: &toml::Value| {
            items_of(value)
                .map(|item| check(item).map(|()| SecretString::from(item)))
                .collect::<Result<Vec<_>, _>>()
        };
        self.maybe(key, Shape::List, want, parse, |_, _| "(set)".to_owned())
            .unwrap_or_default()
    }

    /// A URL that may carry a password, and may be unset. `check` must not repeat the value.
    pub(super) fn secret_url(
        &mut self,
        key: &str,
        want: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<SecretUrl> {
        let parse = |value: &toml::Value| check(text_of(value)).map(|()| SecretUrl::new(text_of(value)));
        self.maybe(key, Shape::Text, want, parse, |_, url| {
            toml::Value::from(url.to_string()).to_string()
        })
    }

    /// A whole number within `range`.
    pub(super) fn integer<T: TryFrom<i64>>(&mut self, key: &str, range: RangeInclusive<i64>) -> T {
        let want = format!("write a whole number from {} to {}", range.start(), range.end());
        let number = self.always(key, Shape::Integer, &want, |value| {
            let number = value.as_integer().expect("shaped as an integer");
            if range.contains(&number) {
                Ok(number)
            } else {
                Err(format!("{number} is out of range"))
            }
        });
        T::try_from(number).ok().expect("the range fits the type")
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        let want = "write true or false";
        self.always(key, Shape::Flag, want, |value| {
            Ok(value.as_bool().expect("shaped as a flag"))
        })
    }

    /// A duration within `range`.
    pub(super) fn duration(&mut self, key: &str, range: &RangeInclusive<Duration>) -> Duration {
        self.text(key, &values::duration_wanted(range), |text| {
            values::duration(text, range)
        })
    }

    /// A duration within `range`, or unset.
    pub(super) fn optional_duration(&mut self, key: &str, range: &RangeInclusive<Duration>) -> Option<Duration> {
        self.optional_text(key, &values::duration_wanted(range), |text| {
            values::duration(text, range)
        })
    }

    /// A list of texts, written as an array or separated by commas.
    pub(super) fn list<T>(&mut self, key: &str, want: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.always(key, Shape::List, want, |value| items_of(value).map(&parse).collect())
    }

    /// The number of tables in the list `key`; none when it is no such list, which is noted.
    pub(super) fn tables(&mut self, key: &str, most: usize) -> usize {
        self.know(key);
        let (fault, source) = match find(&self.merged, key) {
            None => {
                self.show(key, "[]".to_owned(), Source::Default);
                return 0;
            }
            Some(value) => match &value.kind {
                ValueKind::Array(items) if items.len() > most => (
                    format!("has {} entries, at most {most} are allowed", items.len()),
                    source_of(value),
                ),
                ValueKind::Array(items) if items.iter().all(is_table) => {
                    let (count, source) = (items.len(), source_of(value));
                    if count == 0 {
                        self.show(key, "[]".to_owned(), source);
                    }
                    return count;
                }
                ValueKind::Array(_) => ("has an entry that is not a table".to_owned(), source_of(value)),
                _ => (format!("is {}, not a list of tables", kind_of(value)), source_of(value)),
            },
        };
        let remedy = format!(
            "write one [[{key}]] for each, or {}__0__… in the environment",
            variable(key)
        );
        self.problems.push(Problem {
            key: key.to_owned(),
            what: fault,
            remedy,
            source,
        });
        0
    }

    /// Names a key that this configuration happens not to use, for suggestions.
    pub(super) fn know(&mut self, key: &str) {
        self.known.insert(key.to_owned());
    }

    /// A problem between keys, or with a key that must be set.
    pub(super) fn problem(&mut self, key: &str, what: impl Display, remedy: impl Display) {
        let source = find(&self.merged, key).map_or(Source::Default, source_of);
        let (key, what, remedy) = (key.to_owned(), what.to_string(), remedy.to_string());
        self.problems.push(Problem {
            key,
            what,
            remedy,
            source,
        });
    }

    /// Whether nothing has been found wrong with `key`.
    pub(super) fn is_sound(&self, key: &str) -> bool {
        self.problems.iter().all(|problem| problem.key != key)
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Shows the effective value of a key that was left empty.
    pub(super) fn show_effective(&mut self, key: &str, literal: String) {
        if let Some(setting) = self.shown.iter_mut().find(|setting| setting.key == key) {
            setting.value = literal;
        }
    }

    /// Notes every key that nothing has read.
    pub(super) fn reject_unknown(&mut self, foreign: Vec<(String, Source)>) {
        let mut unknown = foreign;
        if let ValueKind::Table(table) = &self.merged.kind {
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            for (key, value) in keys {
                self.walk(key.clone(), value, &mut unknown);
            }
        }
        for (key, source) in unknown {
            let section = format!("{}.", pattern(&key));
            let (what, remedy) = if self.known.iter().any(|known| known.starts_with(&section)) {
                (
                    "is a section, not a value".to_owned(),
                    format!("set its keys instead: [{key}]"),
                )
            } else {
                (
                    "is not a known key".to_owned(),
                    did_you_mean(&pattern(&key), self.known.iter()),
                )
            };
            self.problems.push(Problem {
                key: shortened(&key),
                what,
                remedy,
                source,
            });
        }
    }

    /// Warns of credentials that are no settings, but look as if they were meant to be.
    pub(super) fn doubt(&mut self, credentials: &[String]) {
        for name in credentials {
            if let Some(key) = alike(name, self.known.iter()) {
                self.warnings.push(format!(
                    "the credential {} is no setting; did you mean {key}?",
                    shortened(name)
                ));
            }
        }
    }

    fn walk(&self, key: String, value: &Value, unknown: &mut Vec<(String, Source)>) {
        let name = pattern(&key);
        match &value.kind {
            ValueKind::Array(items) if self.known.iter().any(|known| known.starts_with(&format!("{name}[]."))) => {
                for (index, item) in items.iter().enumerate() {
                    if is_table(item) {
                        self.walk(format!("{key}[{index}]"), item, unknown);
                    }
                }
            }
            _ if self.known.contains(&name) => {}
            ValueKind::Table(table) if !table.is_empty() => {
                let mut keys: Vec<_> = table.iter().collect();
                keys.sort_by_key(|(key, _)| key.as_str());
                for (inner, value) in keys {
                    self.walk(format!("{key}.{inner}"), value, unknown);
                }
            }
            // An empty section of ours is no mistake.
            ValueKind::Table(_) if self.known.iter().any(|known| known.starts_with(&format!("{name}."))) => {}
            _ => unknown.push((key, source_of(value))),
        }
    }

    fn always<T>(
        &mut self,
        key: &str,
        shape: Shape,
        want: &str,
        parse: impl Fn(&toml::Value) -> Result<T, String>,
    ) -> T {
        if let Some((literal, source)) = self.shaped(key, shape, want) {
            match parse(&literal) {
                Ok(value) => {
                    self.show(key, literal.to_string(), source);
                    return value;
                }
                Err(problem) => self.problem(key, problem, want),
            }
        }
        let default = find(&self.defaults, key).expect("default.toml has every key that is always set");
        let literal = shape_of(default, shape).expect("the defaults have the right shapes");
        parse(&literal).expect("the defaults are valid")
    }

    fn maybe<T>(
        &mut self,
        key: &str,
        shape: Shape,
        want: &str,
        parse: impl Fn(&toml::Value) -> Result<T, String>,
        show: impl Fn(&toml::Value, &T) -> String,
    ) -> Option<T> {
        let is_empty = |literal: &toml::Value| match literal {
            toml::Value::String(text) => text.is_empty(),
            toml::Value::Array(items) => items.is_empty(),
            _ => false,
        };
        let Some((literal, source)) = self.shaped(key, shape, want).filter(|(literal, _)| !is_empty(literal)) else {
            self.show(key, "(not set)".to_owned(), Source::Default);
            return None;
        };
        match parse(&literal) {
            Ok(value) => {
                self.show(key, show(&literal, &value), source);
                Some(value)
            }
            Err(problem) => {
                self.problem(key, problem, want);
                None
            }
        }
    }

    fn shaped(&mut self, key: &str, shape: Shape, want: &str) -> Option<(toml::Value, Source)> {
        self.known.insert(pattern(key));
        let value = find(&self.merged, key)?;
        let source = source_of(value);
        match shape_of(value, shape) {
            Ok(literal) => {
                self.given.insert(key.to_owned(), literal.to_string().into());
                Some((literal, source))
            }
            Err(what) => {
                self.problems.push(Problem {
                    key: key.to_owned(),
                    what,
                    remedy: want.to_owned(),
                    source,
                });
                None
            }
        }
    }

    fn show(&mut self, key: &str, value: String, source: Source) {
        self.shown.push(Setting {
            key: key.to_owned(),
            value,
            source,
        });
    }
}
