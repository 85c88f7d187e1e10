//! Who may use the API, and under which name the daemon answers.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Parts, problem::Problem};
use crate::settings::HttpSettings;

/// For reading: the token when it is set. Without one the API is open to this machine only, and pages of other sites that
/// have a browser on it ask (DNS rebinding) are told by the name they use.
pub(super) fn may_read(state: &Parts, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if state.settings.api_token.is_some() {
        has_token(&state.settings, headers)
    } else {
        is_meant(state, uri, headers)
    }
}

/// For changing: closed until there is a token, on loopback too.
pub(super) fn may_change(state: &Parts, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if state.settings.api_token.is_none() {
        let detail = "this is closed until http.api_token is set; set it, and send it as `Authorization: Bearer …`";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    has_token(&state.settings, headers)?;
    is_meant(state, uri, headers)
}

fn has_token(settings: &HttpSettings, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, token)| token.trim_ascii());
    let wanted = settings
        .api_token
        .as_ref()
        .map(|token| token.expose_secret().as_bytes());
    match (given, wanted) {
        // Digests have one length, so that comparing tells nothing of the token's either.
        (Some(given), Some(wanted)) if bool::from(Sha256::digest(given)[..].ct_eq(&Sha256::digest(wanted)[..])) => {
            Ok(())
        }
        _ => {
            let detail = "send the value of http.api_token as `Authorization: Bearer …`";
            let realm = HeaderValue::from_static("Bearer realm=\"enrolld\"");
            Err(Problem::new(StatusCode::UNAUTHORIZED, detail).header(header::WWW_AUTHENTICATE, realm))
        }
    }
}

/// Whether the request names this daemon: a page of another site reaches it by that site's name only.
fn is_meant(state: &Parts, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (uri.authority(), hosts.next(), hosts.next()) {
        // The target's own authority outdoes the header (RFC 9112, 3.2.2).
        (Some(authority), ..) => Some(authority.as_str().to_ascii_lowercase()),
        (None, Some(host), None) => host.to_str().ok().map(str::to_ascii_lowercase),
        (None, ..) => None,
    };
    if host.is_some_and(|host| is_ours(&host, &state.settings, state.bound)) {
        return Ok(());
    }
    let detail = "the header Host does not name this daemon; use the address of http.bind or http.public_url, \
                  or add the name to http.allowed_hosts";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

fn is_ours(host: &str, settings: &HttpSettings, bound: SocketAddr) -> bool {
    if settings.allowed_hosts.iter().any(|allowed| allowed == host) {
        return true;
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    let public = &settings.public_url;
    if public.host_str() == Some(name) && (port == public.port_or_known_default() || host == name) {
        return true;
    }
    if port.unwrap_or(80) != bound.port() {
        return false;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        // A listener on all addresses is reached under any of them; an address cannot be rebound as a name can.
        Ok(address) => address.is_loopback() || address == bound.ip() || bound.ip().is_unspecified(),
        Err(_) => name == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(public_url: &str) -> HttpSettings {
        HttpSettings {
            bind: ([127, 0, 0, 1], 0).into(),
            public_bind: None,
            public_url: public_url.parse().expect("a URL"),
            api_token: None,
            allowed_hosts: vec!["enrolld.example".to_owned(), "other.example:8443".to_owned()],
            trusted_proxies: vec![],
        }
    }

    #[test]
    fn only_names_of_the_daemon_are_taken() {
        let settings = settings("https://portal.example/enrolld");
        let bound = "127.0.0.1:4711".parse().expect("an address");
        for ours in [
            "127.0.0.1:4711",
            "localhost:4711",
            "[::1]:4711",
            "portal.example",
            "portal.example:443",
            "enrolld.example",
            "other.example:8443",
        ] {
            assert!(is_ours(ours, &settings, bound), "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:4711",
            "localhost",
            "localhost:80",
            "127.0.0.1:4712",
            "10.0.0.1:4711",
            "portal.example:8443",
            "portal.example.evil.example",
            "other.example",
            "localhost.evil.example:4711",
            "portal.example:",
            "portal.example:x",
        ] {
            assert!(!is_ours(foreign, &settings, bound), "{foreign}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_under_any() {
        let settings = settings("http://portal.example:8080");
        let bound = "0.0.0.0:80".parse().expect("an address");
        for ours in ["10.0.0.1", "[2001:db8::1]:80", "localhost", "portal.example:8080"] {
            assert!(is_ours(ours, &settings, bound), "{ours}");
        }
        assert!(!is_ours("evil.example", &settings, bound));
    }
}
