//! `mail.smtp.url`, taken apart.

use lettre::transport::smtp::{authentication::Credentials, extension::ClientId};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::mailer::SetupError;

/// Where and how to speak SMTP.
#[derive(Debug)]
pub(super) struct SmtpUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) hello: ClientId,
    /// Its `Debug` shows neither name nor password.
    pub(super) credentials: Option<Credentials>,
}

/// Whether and when TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// Never.
    None,
    /// `STARTTLS` when the server offers it.
    Opportunistic,
    /// `STARTTLS`, or no mail.
    Required,
    /// From the first byte.
    Wrapped,
}

impl SmtpUrl {
    pub(super) fn parse(text: &str) -> Result<Self, SetupError> {
        let url = Url::parse(text).map_err(|_| SetupError::SmtpUrl("is not a URL"))?;
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(SetupError::SmtpUrl("names no host")),
        };
        let tls = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value);
        let (security, default_port) = match (url.scheme(), tls.as_deref()) {
            ("smtp", None) => (Security::None, 25),
            ("smtp", Some("opportunistic")) => (Security::Opportunistic, 587),
            ("smtp", Some("required")) => (Security::Required, 587),
            // TLS is there from the start, whatever `tls` asks for.
            ("smtps", _) => (Security::Wrapped, 465),
            ("smtp", Some(_)) => {
                return Err(SetupError::SmtpUrl(
                    "has a `tls` that is neither required nor opportunistic",
                ));
            }
            _ => return Err(SetupError::SmtpUrl("is neither smtp nor smtps")),
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(default_port),
            security,
            hello,
            credentials: credentials(&url)?,
        })
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, SetupError> {
    let Some(password) = url.password() else {
        return if url.username().is_empty() {
            Ok(None)
        } else {
            Err(SetupError::SmtpUrl("has a user but no password"))
        };
    };
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from)
            .map_err(|_| SetupError::SmtpUrl("has credentials that are not UTF-8"))
    };
    Ok(Some(Credentials::new(decode(url.username())?, decode(password)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_security_follow_the_scheme() {
        let parse = |text| {
            SmtpUrl::parse(text)
                .map(|url| (url.host, url.port, url.security))
                .unwrap()
        };
        assert_eq!(parse("smtp://relay"), ("relay".to_owned(), 25, Security::None));
        assert_eq!(
            parse("smtp://relay?tls=required"),
            ("relay".to_owned(), 587, Security::Required)
        );
        assert_eq!(
            parse("smtp://relay:26/?tls=opportunistic"),
            ("relay".to_owned(), 26, Security::Opportunistic)
        );
        assert_eq!(parse("smtps://[::1]"), ("::1".to_owned(), 465, Security::Wrapped));
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let url = SmtpUrl::parse("smtp://us%40er:p%2Bss+@relay/daemon.example").unwrap();
        assert_eq!(url.hello, ClientId::Domain("daemon.example".to_owned()));
        assert_eq!(
            url.credentials,
            Some(Credentials::new("us@er".to_owned(), "p+ss+".to_owned()))
        );
        let shown = format!("{url:?}");
        assert!(!shown.contains("p+ss") && !shown.contains("us@er"), "{shown}");
    }

    #[test]
    fn mistakes_are_named_without_the_password() {
        for text in [
            "relay:25",
            "smtp://",
            "http://u:secret@relay",
            "smtp://relay?tls=yes",
            "smtp://u@relay",
        ] {
            let error = SmtpUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
