//! A URL that may carry a password. Only its masked form is ever shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Names of query parameters whose value is hidden, when the name holds one of these.
const SECRET_PARAMETERS: [&str; 5] = ["pass", "pwd", "secret", "token", "key"];

/// A URL whose password stays hidden in `Debug` and `Display`; [`SecretUrl::expose`] gives it whole.
#[derive(Clone)]
pub struct SecretUrl {
    whole: SecretString,
    masked: String,
}

impl SecretUrl {
    /// Takes `text` for a URL. What does not parse is masked altogether.
    pub fn new(text: &str) -> Self {
        Self {
            whole: SecretString::from(text),
            masked: masked(text),
        }
    }

    /// The URL with its password, for connecting only.
    pub fn expose(&self) -> &str {
        self.whole.expose_secret()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({})", self.masked)
    }
}

fn masked(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return "***".to_owned();
    };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    if url.query().is_some() {
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let mut query = url.query_pairs_mut();
        query.clear();
        for (name, value) in pairs {
            let lower = name.to_lowercase();
            let is_secret = SECRET_PARAMETERS.iter().any(|part| lower.contains(part));
            query.append_pair(&name, if is_secret { "***" } else { &value });
        }
    }
    if url.fragment().is_some() {
        url.set_fragment(Some("***"));
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        for url in [
            "postgres://enrolld:s3ntinel@db.example/enrolld",
            "postgres://db.example/enrolld?user=enrolld&password=s3ntinel",
            "redis://:s3ntinel@cache.example:6379/0",
            "unix:///run/redis.sock?pass=s3ntinel",
            "smtps://user%40acme:s3ntinel@mail.example",
            "no url s3ntinel",
            "redis://host/#s3ntinel",
        ] {
            let secret = SecretUrl::new(url);
            assert!(!format!("{secret} {secret:?}").contains("s3ntinel"), "{secret}");
            assert_eq!(secret.expose(), url);
        }
        let shown = SecretUrl::new("postgres://enrolld:s3ntinel@db.example/enrolld").to_string();
        assert_eq!(shown, "postgres://enrolld:***@db.example/enrolld");
    }
}
