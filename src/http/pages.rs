//! The link pages as HTML: minijinja over the embedded `config/pages`, in English and Dutch (D17).

mod decision;

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use enrolld_jobs::values::{Locale, Role};
use minijinja::{
    Environment, Error, State, UndefinedBehavior, context,
    syntax::SyntaxConfig,
    value::{Serde, Value},
};
use rust_embed::RustEmbed;
use serde::Serialize;

pub(super) use decision::{DecisionPage, Entered, Over, Wrong};

use crate::mail::{Place, Portal, date, role_label};

/// When to try again what failed only for now.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("60");

/// Headers of every link page (contract, section 6); framing, and guessing of types, are refused besides.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'self'; form-action 'self'"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

#[derive(RustEmbed)]
#[folder = "config/pages"]
struct Sources;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// A page, with what it tells. About the reader it holds no whole e-mail address: who has the link need not be who it was
/// sent to.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Page {
    /// The button that uses the link (D7).
    Ask {
        /// The address to be verified, masked.
        address: String,
        /// Until when the link is valid.
        valid_until: DateTime<Utc>,
        /// The organization selected (R41).
        organization: Option<Place>,
    },
    /// The link has been used (D7).
    Used {
        /// Where the registration stands, as a headline.
        standing: String,
    },
    /// Its time is over (D8).
    Expired,
    /// A newer mail has another (D7).
    Replaced,
    /// The registration waits for it no more (D23).
    Over,
    /// There is no such link.
    Unknown,
    /// It cannot be answered now.
    Later,
    /// There are too many requests.
    TooMany,
    /// The applicant is DA (R55, R57): what they may do (R58, R59), that it may take 24 hours (R60), and where to go next (R61).
    Appointed {
        /// Where.
        organization: Option<Place>,
    },
    /// Somebody else became DA meanwhile (D5).
    Rerouted {
        /// Who decides.
        administrator: String,
    },
    /// It is with an agent (R63).
    InReview,
    /// Something is wrong by now (D21).
    Correction {
        /// What, one sentence each.
        problems: Vec<String>,
    },
    /// The profile has another address by now: it got a mail (D21).
    AddressChanged {
        /// The new address, masked.
        address: String,
    },
    /// The contract belongs elsewhere by now: the organization is to be selected again.
    ChooseAgain,
    /// A page of a DA's link.
    Decision(DecisionPage),
}

impl Page {
    /// The template's name, and the status that the page is sent with.
    const fn kind(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Ask { .. } => ("ask", StatusCode::OK),
            Self::Used { .. } => ("used", StatusCode::OK),
            Self::Expired => ("expired", StatusCode::GONE),
            Self::Replaced => ("replaced", StatusCode::GONE),
            Self::Over => ("over", StatusCode::GONE),
            Self::Unknown => ("unknown", StatusCode::NOT_FOUND),
            Self::Later => ("later", StatusCode::SERVICE_UNAVAILABLE),
            Self::TooMany => ("too_many", StatusCode::TOO_MANY_REQUESTS),
            Self::Appointed { .. } => ("appointed", StatusCode::OK),
            Self::Rerouted { .. } => ("rerouted", StatusCode::OK),
            Self::InReview => ("in_review", StatusCode::OK),
            Self::Correction { .. } => ("correction", StatusCode::OK),
            Self::AddressChanged { .. } => ("address_changed", StatusCode::OK),
            Self::ChooseAgain => ("choose_again", StatusCode::OK),
            Self::Decision(page) => page.kind(),
        }
    }
}

/// The page in the language `locale`.
pub(super) fn respond(page: &Page, locale: Locale, portal: &Portal) -> Response {
    let (name, mut status) = page.kind();
    let html = render(name, page, locale, portal).unwrap_or_else(|error| {
        // Its name and line only: the error's chain may quote a value.
        tracing::error!(page = name, line = error.line(), kind = %error.kind(), "a page cannot be rendered");
        status = StatusCode::INTERNAL_SERVER_ERROR;
        "<!DOCTYPE html><title>Error</title><p>Sorry, this page cannot be shown.".to_owned()
    });
    let mut response = (status, HeaderMap::from_iter(HEADERS), html).into_response();
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    response
}

/// `GET /assets/page.css`.
pub(super) async fn style_sheet() -> Response {
    let css = Sources::get("page.css")
        .map(|file| file.data.into_owned())
        .unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, css).into_response()
}

fn render(name: &str, page: &Page, locale: Locale, portal: &Portal) -> Result<String, Error> {
    let language = locale.as_str();
    let values =
        context! { locale => language, page => Value::from(Serde(page)), portal => Value::from(Serde(portal)) };
    TEMPLATES
        .get_template(&format!("{language}/{name}.html"))?
        .render(values)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("date", |state: &State, at: Serde<DateTime<Utc>>| {
        date(*at, locale_of(state))
    });
    environment.add_filter("role", |state: &State, role: Serde<Role>| {
        role_label(*role, locale_of(state))
    });
    // Escaped here, as the engine would escape the slashes too; the URLs come from configuration.
    environment.add_filter("href", |url: &str| {
        let escaped = url
            .replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        Value::from_safe_string(escaped)
    });
    for name in Sources::iter().filter(|name| !name.ends_with("page.css")) {
        let source = Sources::get(&name)
            .map(|file| file.data.into_owned())
            .unwrap_or_default();
        let source = String::from_utf8(source).expect("embedded templates are UTF-8");
        environment
            .add_template_owned(name.into_owned(), source)
            .expect("embedded templates parse: tests render each");
    }
    environment
}

fn locale_of(state: &State) -> Locale {
    let tag = state.lookup("locale");
    Locale::from_tag(tag.as_ref().and_then(Value::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_renders_in_every_language() {
        let place = || Place {
            name: "A & <B>".to_owned(),
            address: vec!["1 MAIN ST".to_owned()],
            country: "US".to_owned(),
        };
        let pages = [
            Page::Ask {
                address: "n…@acme.example".to_owned(),
                valid_until: DateTime::default(),
                organization: None,
            },
            Page::Ask {
                address: "n…@acme.example".to_owned(),
                valid_until: DateTime::default(),
                organization: Some(place()),
            },
            Page::Used {
                standing: "Done".to_owned(),
            },
            Page::Expired,
            Page::Replaced,
            Page::Over,
            Page::Unknown,
            Page::Later,
            Page::TooMany,
            Page::Appointed { organization: None },
            Page::Appointed {
                organization: Some(place()),
            },
            Page::Rerouted {
                administrator: "<script>".to_owned(),
            },
            Page::InReview,
            Page::Correction {
                problems: vec!["Wrong.".to_owned()],
            },
            Page::AddressChanged {
                address: "n…@acme.example".to_owned(),
            },
            Page::ChooseAgain,
        ];
        let decisions = decision::tests::pages().into_iter().map(Page::Decision);
        let pages: Vec<_> = pages.into_iter().chain(decisions).collect();
        let portal = Portal {
            name: "Portal".to_owned(),
            url: "https://portal.example/?a=1&b=2".to_owned(),
            newcomers_url: "https://portal.example/newcomers".to_owned(),
            access_url: "https://access.example/".to_owned(),
            community_url: "https://community.example/".to_owned(),
        };
        for locale in [Locale::En, Locale::Nl] {
            for page in &pages {
                let (name, _) = page.kind();
                let html = render(name, page, locale, &portal).unwrap_or_else(|error| panic!("{name}: {error:#}"));
                assert!(html.starts_with("<!DOCTYPE html>\n"), "{name}");
                assert!(html.contains(&format!("<html lang=\"{}\">", locale.as_str())), "{name}");
                assert_eq!(html.matches("<h1>").count(), 1, "{name}");
                for absent in ["<script", "style=", "<B>", "https:&#x2f;", "?a=1&b"] {
                    assert!(!html.contains(absent), "{name}: {absent}");
                }
            }
        }
    }
}
