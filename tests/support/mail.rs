//! Mails as a reader sees them, and as snapshots.

use std::fmt::Write as _;

use mail_parser::{Address, HeaderName, MessageParser, MessagePart, MimeHeaders as _};

/// Where a link with a token leads.
const LINK_PATHS: [&str; 2] = ["/verify/", "/decide/"];

/// A mail, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// The author, as `Name <address>` or `address`.
    pub(crate) from: String,
    /// The recipients' addresses, without names.
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// Empty when the mail has no HTML part.
    pub(crate) html: String,
    /// All headers but those of the fields above and of MIME, as written, in order.
    pub(crate) headers: Vec<(String, String)>,
}

impl Mail {
    /// Parses a mail; `None` while it is not whole (a file still being written).
    pub(crate) fn parse(raw: &[u8]) -> Option<Self> {
        let message = MessageParser::default().parse(raw)?;
        if let Some(boundary) = message
            .content_type()
            .and_then(|content_type| content_type.attribute("boundary"))
        {
            let end = format!("--{boundary}--");
            raw.windows(end.len()).find(|window| *window == end.as_bytes())?;
        }
        let headers = message
            .headers_raw()
            .filter(|(name, _)| !is_told_elsewhere(name))
            .map(|(name, value)| (name.to_owned(), unfold(value)))
            .collect();
        let has_html = message.html_bodies().any(MessagePart::is_text_html);
        Some(Self {
            from: message.from().map(with_name).unwrap_or_default(),
            to: message.to().map(addresses).unwrap_or_default(),
            subject: message.subject().unwrap_or_default().to_owned(),
            text: message.body_text(0)?.replace("\r\n", "\n"),
            html: if has_html {
                message.body_html(0)?.replace("\r\n", "\n")
            } else {
                String::new()
            },
            headers,
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Which mail of the contract's section 7 it is.
    pub(crate) fn kind(&self) -> &str {
        self.header("X-Enrolld-Kind").unwrap_or_default()
    }

    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind() == kind
    }

    /// The registration it is about.
    pub(crate) fn registration(&self) -> &str {
        self.header("X-Enrolld-Registration").unwrap_or_default()
    }

    /// The path of the mail's link with a token (`/verify/…`, `/decide/…`), wherever its host is.
    pub(crate) fn link_path(&self) -> Option<&str> {
        // Contract, section 7: each link stands alone on its line.
        self.text.lines().map(str::trim).find_map(|line| {
            let start = LINK_PATHS.iter().find_map(|path| line.find(path))?;
            line.starts_with("http").then(|| &line[start..])
        })
    }

    /// The token of the mail's link.
    pub(crate) fn token(&self) -> Option<&str> {
        self.link_path()?.rsplit('/').next()
    }

    /// The mail as stable text: tokens, ids, dates, times of day and ports are replaced.
    pub(crate) fn snapshot(&self) -> String {
        let mut shown = format!(
            "From: {}\nTo: {}\nSubject: {}\n",
            self.from,
            self.to.join(", "),
            self.subject
        );
        for (name, value) in &self.headers {
            let value = match HeaderName::parse(name.as_str()) {
                Some(HeaderName::Date) => "[date]".to_owned(),
                Some(HeaderName::MessageId | HeaderName::InReplyTo | HeaderName::References) => {
                    let domain = value.rsplit_once('@').map_or(">", |(_, domain)| domain);
                    format!("<[id]@{domain}")
                }
                _ => value.clone(),
            };
            writeln!(shown, "{name}: {value}").expect("a string takes all text");
        }
        write!(
            shown,
            "\n--- text ---\n{}\n--- html ---\n{}\n",
            self.text.trim_end(),
            self.html.trim_end()
        )
        .expect("a string takes all text");
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for path in LINK_PATHS {
            shown = replace_after(&shown, path, is_token, "[token]");
        }
        for host in ["127.0.0.1:", "localhost:"] {
            shown = replace_after(&shown, host, |c| c.is_ascii_digit(), "[port]");
        }
        replace_moments(&shown)
    }
}

/// Headers that are fields of [`Mail`], or say how it is encoded.
fn is_told_elsewhere(name: &str) -> bool {
    ["from", "to", "subject", "mime-version"].contains(&name.to_ascii_lowercase().as_str())
        || name.to_ascii_lowercase().starts_with("content-t")
}

fn unfold(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn with_name(from: &Address<'_>) -> String {
    let Some(author) = from.first() else {
        return String::new();
    };
    let address = author.address().unwrap_or_default();
    author
        .name()
        .map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"))
}

fn addresses(to: &Address<'_>) -> Vec<String> {
    to.iter()
        .filter_map(|recipient| recipient.address())
        .map(str::to_owned)
        .collect()
}

/// Replaces what follows each `marker` as long as `matches` holds, if anything does.
fn replace_after(text: &str, marker: &str, matches: impl Fn(char) -> bool, replacement: &str) -> String {
    let mut parts = text.split(marker);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(&matches);
        result.push_str(marker);
        if rest.len() < part.len() {
            result.push_str(replacement);
        }
        result.push_str(rest);
    }
    result
}

/// Replaces `22 November 2026, 09:00 UTC`, in any language.
fn replace_moments(text: &str) -> String {
    const END: &str = " UTC";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(END) {
        let (before, after) = rest.split_at(at);
        // Backwards: time of day, year with its comma, month, day. A line may be broken among them.
        let mut words = before.rsplitn(4, char::is_whitespace);
        let (time, year, month, day) = (words.next(), words.next(), words.next(), words.next());
        if let (Some(time), Some(year), Some(_), Some(day)) = (time, year, month, day)
            && time.contains(':')
            && year.ends_with(',')
        {
            shown.push_str(day.trim_end_matches(|c: char| c.is_ascii_digit()));
            shown.push_str("[moment]");
        } else {
            shown.push_str(before);
            shown.push_str(END);
        }
        rest = &after[END.len()..];
    }
    shown + rest
}
