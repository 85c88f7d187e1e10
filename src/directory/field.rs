//! The fields of one record, read one by one; every problem is noted, with record and field.

use std::fmt::Display;

use chrono::NaiveDate;
use enrolld_jobs::values::InvalidValue;
use serde_json::{Map, Value};

use super::{
    problem::{Problems, quoted, suggestion},
    record::Place,
};

/// Longest text, in characters: a name, a line of an address, an e-mail address.
const MAX_TEXT_CHARS: usize = 4_096;
/// Longest list: lines of an address, domains, contracts of one account.
const MAX_LIST: usize = 10_000;

/// What is known of one record.
pub(super) struct Fields<'a> {
    values: Map<String, Value>,
    label: String,
    problems: &'a mut Problems,
    sound: bool,
}

impl<'a> Fields<'a> {
    /// `None` when `value` is no record at all. Unknown fields are noted: a misspelt one would be lost silently.
    pub(super) fn open(place: Place, value: Value, problems: &'a mut Problems) -> Option<Self> {
        let Value::Object(mut values) = value else {
            problems.add(format_args!(
                "{place}: must be an object in braces, not {}",
                what(&value)
            ));
            return None;
        };
        values.retain(|_, value| !value.is_null());
        let label = place.named(|field| values.get(field).and_then(Value::as_str));
        let mut fields = Self {
            values,
            label,
            problems,
            sound: true,
        };
        let known = place.section.column_names();
        let unknown: Vec<String> = fields
            .values
            .keys()
            .filter(|name| !known.clone().any(|column| column == *name))
            .map(|name| format!("unknown field {}; {}", quoted(name), suggestion(name, known.clone())))
            .collect();
        for problem in unknown {
            fields.note(problem);
        }
        Some(fields)
    }

    /// Whether nothing was wrong so far.
    pub(super) fn sound(&self) -> bool {
        self.sound
    }

    pub(super) fn note(&mut self, problem: impl Display) {
        self.sound = false;
        self.problems.add(format_args!("{}: {problem}", self.label));
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, field: &'static str) -> Option<String> {
        if !self.values.contains_key(field) {
            self.note(format_args!("{field} is missing"));
            return None;
        }
        self.optional(field)
    }

    /// A text that may be missing.
    pub(super) fn optional(&mut self, field: &'static str) -> Option<String> {
        let value = self.values.remove(field)?;
        self.text(field, value)
    }

    /// A text that must be there and make a valid value.
    pub(super) fn valid<T>(
        &mut self,
        field: &'static str,
        make: impl Fn(String) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        let text = self.required(field)?;
        self.make(field, text, make)
    }

    /// A text that makes a valid value, or none.
    pub(super) fn valid_optional<T>(
        &mut self,
        field: &'static str,
        make: impl Fn(String) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        let text = self.optional(field)?;
        self.make(field, text, make)
    }

    /// `true` or `false`; missing is `false`.
    pub(super) fn flag(&mut self, field: &'static str) -> bool {
        match self.values.remove(field) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(Value::String(text)) => {
                self.note(format_args!("{field}: must be true or false, not {}", quoted(&text)));
                false
            }
            Some(other) => {
                self.note(format_args!("{field}: must be true or false, not {}", what(&other)));
                false
            }
        }
    }

    /// A day, or none.
    pub(super) fn day(&mut self, field: &'static str) -> Option<NaiveDate> {
        let text = self.optional(field)?;
        // Only one spelling: chrono alone would take `2027-1-5` too.
        let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok();
        let day = day.filter(|day| day.to_string() == text);
        if day.is_none() {
            let text = quoted(&text);
            self.note(format_args!("{field}: must be a day written as 2027-12-31, not {text}"));
        }
        day
    }

    /// Texts; missing is none.
    pub(super) fn list(&mut self, field: &'static str) -> Vec<String> {
        let values = match self.values.remove(field) {
            None => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(other) => {
                self.note(format_args!(
                    "{field}: must be a list in brackets, not {}",
                    what(&other)
                ));
                return Vec::new();
            }
        };
        if values.len() > MAX_LIST {
            let length = values.len();
            self.note(format_args!(
                "{field}: has {length} entries; at most {MAX_LIST} are allowed"
            ));
            return Vec::new();
        }
        let texts = values.into_iter().enumerate();
        texts
            .filter_map(|(at, value)| self.text(&format!("{field}[{at}]"), value))
            .collect()
    }

    /// Texts that make valid values, each once.
    pub(super) fn valid_list<T: PartialEq + std::hash::Hash + Eq + Clone + Display>(
        &mut self,
        field: &'static str,
        make: impl Fn(String) -> Result<T, InvalidValue>,
    ) -> Vec<T> {
        let texts = self.list(field);
        let mut seen = std::collections::HashSet::with_capacity(texts.len());
        let mut values = Vec::with_capacity(texts.len());
        for (at, text) in texts.into_iter().enumerate() {
            let field = format!("{field}[{at}]");
            let Some(value) = self.make(&field, text, &make) else {
                continue;
            };
            if !seen.insert(value.clone()) {
                self.note(format_args!("{field}: {} is listed twice", quoted(&value.to_string())));
            }
            values.push(value);
        }
        values
    }

    fn make<T>(&mut self, field: &str, text: String, make: impl Fn(String) -> Result<T, InvalidValue>) -> Option<T> {
        let shown = quoted(&text);
        make(text)
            .map_err(|problem| self.note(format_args!("{field}: {problem}, not {shown}")))
            .ok()
    }

    fn text(&mut self, field: &str, value: Value) -> Option<String> {
        match value {
            // PostgreSQL cannot keep it.
            Value::String(text) if text.contains('\0') => self.note(format_args!("{field}: holds a NUL character")),
            Value::String(text) if text.chars().count() > MAX_TEXT_CHARS => {
                self.note(format_args!("{field}: is longer than {MAX_TEXT_CHARS} characters"));
            }
            Value::String(text) => return Some(text),
            other => self.note(format_args!("{field}: must be a text in quotes, not {}", what(&other))),
        }
        None
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
