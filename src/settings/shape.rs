//! The merged layers as a tree: finding a value by its key, bringing it into shape, and naming it in messages.

use config::{Value, ValueKind};

use super::layers::source_of;
use super::problem::Source;

/// Longest text or key repeated in a message.
const LONGEST_ECHO: usize = 60;
/// Most items of a list.
const MOST_ITEMS: usize = 1000;

/// What a value must be before it is parsed further.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Integer,
    Flag,
    List,
}

/// `text` in quotes, cut to a length that suits a message, with control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= LONGEST_ECHO {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST_ECHO).collect();
    format!("{:?}", format!("{start}…"))
}

/// `key` for a message, cut and escaped.
pub(super) fn shortened(key: &str) -> String {
    let escaped: String = key.escape_debug().take(LONGEST_ECHO + 1).collect();
    if escaped.chars().count() <= LONGEST_ECHO {
        return escaped;
    }
    format!("{}…", escaped.chars().take(LONGEST_ECHO).collect::<String>())
}

/// `a[3].b` with every index left out: `a[].b`.
pub(super) fn pattern(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    let mut in_index = false;
    for character in key.chars() {
        in_index = (in_index || character == '[') && character != ']';
        if !in_index || character == '[' {
            name.push(character);
        }
    }
    name
}

/// The value at `key`; `None` where there is none, or where a section on the way is no table.
pub(super) fn find<'v>(root: &'v Value, key: &str) -> Option<&'v Value> {
    let mut value = root;
    for segment in key.split('.') {
        let (name, index) = segment
            .split_once('[')
            .map_or((segment, None), |(name, index)| (name, Some(index)));
        let ValueKind::Table(table) = &value.kind else {
            return None;
        };
        value = table.get(name)?;
        if let Some(index) = index {
            let ValueKind::Array(items) = &value.kind else {
                return None;
            };
            value = items.get(index.trim_end_matches(']').parse::<usize>().ok()?)?;
        }
    }
    (value.kind != ValueKind::Nil).then_some(value)
}

/// `value` as the wanted shape. Texts of the environment are read as numbers and flags; a list may be one text.
pub(super) fn shape_of(value: &Value, shape: Shape) -> Result<toml::Value, String> {
    let from_environment = matches!(source_of(value), Source::Environment | Source::Credential);
    match (shape, &value.kind) {
        (Shape::Text, ValueKind::String(text)) => Ok(toml::Value::from(text.as_str())),
        (Shape::Integer, ValueKind::I64(number)) => Ok(toml::Value::from(*number)),
        (Shape::Integer, ValueKind::String(text)) if from_environment => text
            .trim()
            .parse::<i64>()
            .map(toml::Value::from)
            .map_err(|_| format!("{} is not a whole number", quoted(text))),
        (Shape::Flag, ValueKind::Boolean(flag)) => Ok(toml::Value::from(*flag)),
        (Shape::Flag, ValueKind::String(text)) if from_environment => text
            .trim()
            .to_lowercase()
            .parse::<bool>()
            .map(toml::Value::from)
            .map_err(|_| format!("{} is not true or false", quoted(text))),
        (Shape::List, ValueKind::String(text)) => {
            let items: Vec<_> = match text.trim() {
                "" => Vec::new(),
                text => text.split(',').map(|item| toml::Value::from(item.trim())).collect(),
            };
            within_bounds(items)
        }
        (Shape::List, ValueKind::Array(items)) => {
            let texts = items.iter().map(|item| match &item.kind {
                ValueKind::String(text) => Ok(toml::Value::from(text.as_str())),
                _ => Err(format!("has an entry that is {}, not text", kind_of(item))),
            });
            within_bounds(texts.collect::<Result<Vec<_>, _>>()?)
        }
        (Shape::Text, _) => Err(format!("is {}, not text", kind_of(value))),
        (Shape::Integer, _) => Err(format!("is {}, not a whole number", kind_of(value))),
        (Shape::Flag, _) => Err(format!("is {}, not true or false", kind_of(value))),
        (Shape::List, _) => Err(format!("is {}, not a list", kind_of(value))),
    }
}

fn within_bounds(items: Vec<toml::Value>) -> Result<toml::Value, String> {
    if items.len() > MOST_ITEMS {
        return Err(format!("has {} entries, at most {MOST_ITEMS} are allowed", items.len()));
    }
    Ok(toml::Value::Array(items))
}

pub(super) fn is_table(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Table(_))
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match &value.kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
        ValueKind::Float(_) => "a decimal number",
        ValueKind::String(_) => "text",
        ValueKind::Table(_) => "a section",
        ValueKind::Array(_) => "a list",
    }
}

pub(super) fn text_of(value: &toml::Value) -> &str {
    value.as_str().expect("shaped as text")
}

pub(super) fn items_of(value: &toml::Value) -> impl Iterator<Item = &str> {
    value.as_array().expect("shaped as a list").iter().map(text_of)
}
