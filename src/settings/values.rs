//! Parsers of single values. Each error says what is wrong; the remedy stands with the key.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use lettre::message::Mailbox;
use url::{Host, Url};

use super::shape::quoted;

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// The longest wait that can be set: ten years, far from what dates can hold.
pub(super) const LONGEST: Duration = Duration::from_secs(3650 * DAY_SECONDS);
/// Any wait that is not nothing.
pub(super) const ANY_WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=LONGEST;

pub(super) fn duration(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{} is not a duration: {error}", quoted(text)))?;
    if range.contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("{} is out of range", quoted(text)))
    }
}

pub(super) fn duration_wanted(range: &RangeInclusive<Duration>) -> String {
    let (least, most) = (
        humantime::format_duration(*range.start()),
        humantime::format_duration(*range.end()),
    );
    if *range.end() == LONGEST {
        return format!(
            "write a number and its unit in quotes, such as \"500ms\", \"2s\" or \"72h\"; at least {least}"
        );
    }
    format!("write a number and its unit in quotes, such as \"500ms\", \"2s\" or \"72h\"; from {least} to {most}")
}

/// The remedy for [`web_url`].
pub(super) const WEB_URL: &str =
    "write an absolute address such as \"https://portal.example/\", without user or password";

/// An `http` or `https` URL without credentials. The text is never repeated: it may hold what it must not.
pub(super) fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong_scheme(url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password".to_owned());
    }
    Ok(url)
}

/// Names a URL's scheme, but for one so long that it is more likely a credential without its URL.
pub(super) fn wrong_scheme(scheme: &str) -> String {
    if scheme.len() > 16 {
        "has an unknown scheme".to_owned()
    } else {
        format!("has the scheme {}", quoted(scheme))
    }
}

/// A web URL to which paths can be added.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let url = web_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment".to_owned());
    }
    Ok(url)
}

/// Whether `url` leads to this machine itself.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_local_name(name),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn is_local_name(name: &str) -> bool {
    // Schemes other than http leave addresses as names.
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

/// The remedy for [`mailbox`].
pub(super) const MAILBOX: &str = "write an address such as \"agents@acme.example\" or \"Agents <agents@acme.example>\"";

pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    if text.chars().any(char::is_control) {
        return Err(format!("{} holds a control character", quoted(text)));
    }
    text.parse()
        .map_err(|_| format!("{} is not a mail address", quoted(text)))
}

/// A mail domain, in lower case.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let lower = text.trim().to_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .chars()
                .all(|character| character.is_alphanumeric() || character == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if lower.len() <= 253 && lower.contains('.') && lower.split('.').all(is_label) {
        Ok(lower)
    } else {
        Err(format!("{} is not a domain", quoted(text)))
    }
}

/// A value of the `Host` header: name or address, with or without port; in lower case.
pub(super) fn host(text: &str) -> Result<String, String> {
    let unusable = || format!("{} is not a host name, with or without port", quoted(text));
    if text.is_empty()
        || text.contains(['/', '@', '?', '#', '\\'])
        || text.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err(unusable());
    }
    Url::parse(&format!("http://{text}/")).map_err(|_| unusable())?;
    Ok(text.to_lowercase())
}

/// A name or title that goes into mails: one line, not blank, at most 100 characters.
pub(super) fn title(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if text.chars().count() > 100 || text.chars().any(char::is_control) {
        return Err(format!("{} is too long or holds a control character", quoted(text)));
    }
    Ok(text.to_owned())
}

/// A path that is not empty.
pub(super) fn path(text: &str) -> Result<std::path::PathBuf, String> {
    if text.trim().is_empty() || text.contains('\0') {
        return Err("is empty, or no path".to_owned());
    }
    Ok(text.into())
}

/// A credential sent in an HTTP header: visible ASCII, at least `least` characters. Never repeated in the error.
pub(super) fn token(text: &str, least: usize) -> Result<(), String> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds a space or a character outside ASCII".to_owned());
    }
    if text.len() < least {
        return Err(format!("has {} characters, which is too easy to guess", text.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,200}") {
            let _ = duration(&text, &ANY_WAIT);
            let _ = (web_url(&text), mailbox(&text), domain(&text), host(&text), title(&text), token(&text, 16));
        }

        #[test]
        fn what_is_written_out_reads_back(milliseconds in 1..=LONGEST.as_millis()) {
            let wait = Duration::from_millis(u64::try_from(milliseconds).unwrap());
            prop_assert_eq!(duration(&humantime::format_duration(wait).to_string(), &ANY_WAIT), Ok(wait));
        }
    }

    #[test]
    fn a_web_url_never_carries_credentials() {
        for text in [
            "https://user:s3ntinel@host/",
            "https://s3ntinel@host/",
            "ftp://s3ntinel@host/",
            "https://s3ntinel host",
        ] {
            assert!(!web_url(text).unwrap_err().contains("s3ntinel"), "{text}");
        }
    }

    #[test]
    fn hosts_and_domains() {
        for good in ["portal.example", "Portal.Example:8443", "10.0.0.1", "[::1]:8080"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in ["", "http://portal.example", "portal.example/", "a b", "host:port"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert_eq!(domain("Mail.Example"), Ok("mail.example".to_owned()));
        for bad in ["example", ".example.org", "a..b", "-a.org", "user@a.org", ""] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_told_from_public() {
        for (url, loopback) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("smtp://127.0.0.1:2525", true),
            ("smtp://[::1]:2525", true),
            ("http://portal.example/", false),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), loopback, "{url}");
        }
    }
}
