//! The HTTP listeners and the keys that guard links.

use std::net::{IpAddr, SocketAddr};

use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use super::shape::quoted;
use super::values;

/// Shortest `http.api_token`, in characters.
const API_TOKEN_LEAST: usize = 16;
/// Shortest key in `security.link_key`, in characters.
const LINK_KEY_LEAST: usize = 32;

/// `http`.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The listener for health, metrics, API and console; port 0 is any free one.
    pub bind: SocketAddr,
    /// A second listener with the link pages and `/healthz` only.
    pub public_bind: Option<SocketAddr>,
    /// Start of the links in mails; see [`HttpSettings::link`].
    pub public_url: Url,
    /// What `POST /v1/events` demands, and `GET /v1` when it is set.
    pub api_token: Option<SecretString>,
    /// Values of the `Host` header taken besides those of `bind` and `public_url`; in lower case.
    pub allowed_hosts: Vec<String>,
    /// Proxies that say who asks for a link page, in `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpAddr>,
}

impl HttpSettings {
    /// The address in mails for `path`, below `http.public_url` and its own path if it has one.
    pub fn link(&self, path: &str) -> String {
        format!(
            "{}/{}",
            self.public_url.as_str().trim_end_matches('/'),
            path.trim_start_matches('/')
        )
    }

    pub(super) fn read(reader: &mut Reader, sends_mail: bool) -> Self {
        const ADDRESS: &str = "write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
        let address = |text: &str| {
            text.parse::<SocketAddr>()
                .map_err(|_| format!("{} is not an IP address with a port", quoted(text)))
        };
        let http = Self {
            bind: reader.text("http.bind", ADDRESS, address),
            public_bind: reader.optional_text("http.public_bind", ADDRESS, address),
            public_url: reader.text(
                "http.public_url",
                "write the address under which applicants reach the link pages, such as \"https://enrolld.example\", \
                 without query, fragment, user or password",
                values::base_url,
            ),
            api_token: reader.secret(
                "http.api_token",
                "write at least 16 characters that nobody can guess, such as the output of `openssl rand -hex 32`",
                |text| values::token(text, API_TOKEN_LEAST),
            ),
            allowed_hosts: reader.list(
                "http.allowed_hosts",
                "write host names, such as [\"enrolld.example\", \"enrolld.example:8443\"]",
                values::host,
            ),
            trusted_proxies: reader.list(
                "http.trusted_proxies",
                "write the IP addresses of proxies, such as [\"127.0.0.1\", \"10.0.0.7\"]",
                |text| {
                    let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
                    address.map_err(|_| format!("{} is not an IP address", quoted(text)))
                },
            ),
        };
        http.check(reader, sends_mail);
        http
    }

    fn check(&self, reader: &mut Reader, sends_mail: bool) {
        if !self.bind.ip().is_loopback() {
            if self.api_token.is_none() && reader.is_sound("http.api_token") {
                reader.problem(
                    "http.api_token",
                    format!(
                        "is not set, though http.bind ({}) is reachable from other hosts",
                        self.bind
                    ),
                    "set it to at least 16 characters that nobody can guess (`openssl rand -hex 32`), \
                     or bind to 127.0.0.1; for the link pages alone there is http.public_bind",
                );
            }
            reader.warn(format!(
                "http.bind is {}: the API is reachable from other hosts, and unencrypted; \
                 put a TLS proxy before it, or bind to 127.0.0.1",
                self.bind
            ));
        }
        if self.public_bind == Some(self.bind) && self.bind.port() != 0 {
            reader.problem(
                "http.public_bind",
                format!("is {}, the same as http.bind", self.bind),
                "choose another port, or leave it out to have the link pages on http.bind",
            );
        }
        let is_local = values::is_loopback(&self.public_url);
        if self.public_url.scheme() == "http" && !is_local {
            reader.warn(format!(
                "http.public_url is {}: links in mails lead over an unencrypted connection; use https://",
                self.public_url
            ));
        }
        if is_local && sends_mail {
            reader.warn(format!(
                "http.public_url is {}: links in mails open on this machine only; \
                 set it to the address under which applicants reach the link pages",
                self.public_url
            ));
        }
    }
}

/// `security`.
#[derive(Debug, Clone)]
pub struct SecuritySettings {
    /// `security.link_key`: keys of links (D7). The first signs, all verify. Empty: the key that `migrate` made and
    /// the database keeps.
    pub link_keys: Vec<SecretString>,
}

impl SecuritySettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let want = "write keys of at least 32 characters each (`openssl rand -hex 32`), the one that signs first";
        let link_keys = reader.secrets("security.link_key", want, |text| match text.chars().count() {
            count if count < LINK_KEY_LEAST => Err(format!("has a key of {count} characters")),
            _ => Ok(()),
        });
        Self { link_keys }
    }
}
