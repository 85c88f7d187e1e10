//! Texts of bounded length: what the schemas say of `minLength` and `maxLength` is what is read.

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a text of `MIN` to `MAX` characters.
pub(super) fn text<'de, D: Deserializer<'de>, const MIN: usize, const MAX: usize>(
    deserializer: D,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check(&text, MIN, MAX)?;
    Ok(text)
}

/// Reads a text of at most `MAX` characters, or `null`.
pub(super) fn optional_text<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    if let Some(text) = &text {
        check(text, 0, MAX)?;
    }
    Ok(text)
}

/// Reads a text of at most `MAX` characters; anything else is nothing.
pub(super) fn text_if_it_is_one<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let text = value.as_str().filter(|text| check::<D::Error>(text, 0, MAX).is_ok());
    Ok(text.map(str::to_owned))
}

fn check<E: Error>(text: &str, min: usize, max: usize) -> Result<(), E> {
    let chars = text.chars().count();
    if (min..=max).contains(&chars) {
        return Ok(());
    }
    Err(E::custom(format_args!(
        "a text of {chars} characters, where {min} to {max} may stand"
    )))
}
