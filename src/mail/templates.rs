//! Templates to text: minijinja over the embedded `config/mail`.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    effect::{AlertCode, MailKind},
    registration::ReviewReason,
    values::{Locale, Role},
};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, context,
    syntax::SyntaxConfig,
    value::{Serde, Value},
};
use rust_embed::RustEmbed;

use super::{
    context::MailContext,
    plain_text::single_line,
    wording::{alert_label, date, review_reason_label, role_label},
};

/// Longest subject, in characters.
const MAX_SUBJECT_CHARS: usize = 200;

#[derive(RustEmbed)]
#[folder = "config/mail"]
struct Sources;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// A mail's three texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The plain part.
    pub text: String,
    /// The HTML part: a whole document.
    pub html: String,
}

/// A mail that cannot be rendered: the context lacks what its kind needs. Names kind, language and place, and no
/// value of the context.
#[derive(Debug, thiserror::Error)]
#[error(
    "mail {kind} ({language}) cannot be rendered: {problem}; give its template what it asks for, or mend the template"
)]
pub struct RenderError {
    kind: &'static str,
    language: &'static str,
    problem: String,
}

/// The mail `kind` in the language `locale` (D17).
///
/// The text has a link alone on its line (contract, section 7); the HTML says the same and shows each URL.
pub fn render(kind: MailKind, locale: Locale, context: &MailContext) -> Result<Rendered, RenderError> {
    let (name, language) = (kind.as_str(), locale.as_str());
    let failed = |problem: String| RenderError {
        kind: name,
        language,
        problem,
    };
    let text = expand(&format!("{language}/{name}.txt"), language, "", context).map_err(|e| failed(describe(&e)))?;
    let (subject, text) = text
        .strip_prefix("Subject: ")
        .and_then(|rest| rest.split_once("\n\n"))
        .filter(|(subject, _)| !subject.contains('\n'))
        .ok_or_else(|| failed("the text does not begin with `Subject: …` and an empty line".to_owned()))?;
    let subject: String = single_line(subject).chars().take(MAX_SUBJECT_CHARS).collect();
    let html =
        expand(&format!("{language}/{name}.html"), language, &subject, context).map_err(|e| failed(describe(&e)))?;
    Ok(Rendered {
        text: format!("{}\n", text.trim_end()),
        html: format!("{}\n", html.trim_end()),
        subject,
    })
}

fn expand(template: &str, language: &str, subject: &str, mail: &MailContext) -> Result<String, Error> {
    let values = context! { locale => language, subject, ..Value::from(Serde(mail)) };
    TEMPLATES.get_template(template)?.render(values)
}

/// What went wrong and where. The error's own chain is left out: it may quote a value.
fn describe(error: &Error) -> String {
    let place = error.name().unwrap_or("template");
    match (error.line(), error.detail()) {
        (Some(line), Some(detail)) => format!("{place}:{line}: {detail}"),
        (Some(line), None) => format!("{place}:{line}: {}", error.kind()),
        (None, _) => format!("{place}: {}", error.kind()),
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("the default delimiters are valid");
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| {
        if has_html(name) {
            AutoEscape::Html
        } else {
            AutoEscape::None
        }
    });
    environment.set_formatter(write_value);
    environment.add_filter("date", |state: &State, at: Serde<DateTime<Utc>>| {
        date(*at, locale_of(state))
    });
    environment.add_filter("role", |state: &State, role: Serde<Role>| {
        role_label(*role, locale_of(state))
    });
    environment.add_filter("review_reason", |state: &State, reason: Serde<ReviewReason>| {
        review_reason_label(*reason, locale_of(state))
    });
    environment.add_filter("alert", |state: &State, code: Serde<AlertCode>| {
        alert_label(*code, locale_of(state))
    });
    for name in Sources::iter() {
        let source = Sources::get(&name)
            .map(|file| file.data.into_owned())
            .unwrap_or_default();
        let source = String::from_utf8(source).expect("embedded templates are UTF-8");
        environment
            .add_template_owned(name.into_owned(), source)
            .expect("embedded templates parse: tests/mail.rs renders each");
    }
    environment
}

fn has_html(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "html")
}

fn locale_of(state: &State) -> Locale {
    let tag = state.lookup("locale");
    Locale::from_tag(tag.as_ref().and_then(Value::as_str).unwrap_or_default())
}

/// Writes what stands in `{{ }}`: on one line, escaped in HTML. An absent value is an error, as `none` in a mail is
/// always a mistake.
fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Err(Error::new(ErrorKind::UndefinedError, "a value is missing"));
    }
    let text = value.to_string();
    if value.is_safe() {
        return Ok(out.write_str(&text)?);
    }
    let line = single_line(&text);
    match state.auto_escape() {
        AutoEscape::None => out.write_str(&line)?,
        // `/` is left alone, so that URLs stay readable in the source.
        _ => {
            for c in line.chars() {
                match c {
                    '&' => out.write_str("&amp;")?,
                    '<' => out.write_str("&lt;")?,
                    '>' => out.write_str("&gt;")?,
                    '"' => out.write_str("&quot;")?,
                    '\'' => out.write_str("&#39;")?,
                    _ => out.write_str(c.encode_utf8(&mut [0; 4]))?,
                }
            }
        }
    }
    Ok(())
}
