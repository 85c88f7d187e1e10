//! Reading JSON so that an error says where it is: `data.role: unknown variant …`.
//!
//! serde forgets the place in what is flattened and in tagged enums. Types that are written so are read in parts, each with the
//! fields that it names itself.

use std::fmt;

use serde::de::{self, DeserializeOwned};
use serde_json::Value;

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Fault {
    /// The path to it; empty where it is the whole, as when a field is missing.
    path: String,
    message: String,
}

impl Fault {
    /// As a sentence, of what stands in the member `outer`.
    pub(super) fn within(&self, outer: &str) -> String {
        if self.path.is_empty() {
            format!("{outer}: {}", self.message)
        } else {
            format!("{outer}.{}: {}", self.path, self.message)
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Between path and message in the error of a part. It can be nowhere else: an event with this character is refused before.
const MARK: char = '\0';

/// Reads the whole.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let message = error.inner().to_string();
        let path = error.path().to_string();
        match message.split_once(MARK) {
            Some((path, message)) => Fault {
                path: path.to_owned(),
                message: message.to_owned(),
            },
            None if path == "." => Fault {
                path: String::new(),
                message,
            },
            None => Fault { path, message },
        }
    })
}

/// Reads one part of a type whose fields stand side by side in `value`.
pub(super) fn part<T: DeserializeOwned, E: de::Error>(value: &Value) -> Result<T, E> {
    read(value).map_err(|Fault { path, message }: Fault| E::custom(format_args!("{path}{MARK}{message}")))
}
