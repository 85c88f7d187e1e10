//! Mails: what each says ([`render`]) and how it leaves ([`Mailer`]).
//!
//! The templates of `config/mail` are embedded: for each kind of the contract's section 7 and each language (D17) a
//! `KIND.txt`, whose first line is the subject, and a `KIND.html` with the same text. Nothing that a person typed can
//! break out of its place: values are put on one line, escaped in HTML, and encoded in headers.

mod context;
mod file;
mod mailer;
mod message;
mod plain_text;
mod sample;
mod smtp;
mod smtp_url;
mod templates;
mod wording;

pub use context::{Alarm, DecideLink, Delegated, Link, MailContext, Person, Place, Portal};
pub use mailer::{Mailer, SendError, Session, SetupError};
pub use message::{Addressee, Letter};
pub(crate) use plain_text::loggable;
pub use sample::sample;
pub use templates::{RenderError, Rendered, render};
pub use wording::{date, review_reason_label, role_label};
