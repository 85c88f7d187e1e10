//! The mail server, as far as one gets without sending a mail.

use super::{Finding, split_advice};
use crate::{
    mail::Mailer,
    settings::{MailTransport, Settings},
};

const CHECK: &str = "mail";

pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let mailer = match Mailer::new(&settings.mail) {
        Ok(mailer) => mailer,
        Err(error) => {
            let error = error.to_string();
            let (seen, remedy) = split_advice(&error, "set mail.from and mail.smtp.url right");
            return vec![Finding::problem(CHECK, seen, remedy)];
        }
    };
    if let MailTransport::File { .. } = settings.mail.transport {
        return vec![Finding::warning(
            CHECK,
            "mail.transport is file: mails are written to a folder, and reach nobody",
            "set mail.transport to smtp, unless another program sends them from there",
        )];
    }
    vec![match mailer.check().await {
        Ok(session) => Finding::ok(
            CHECK,
            format!(
                "{} takes mail from our sender ({}, {})",
                session.server,
                if session.encrypted {
                    "encrypted"
                } else {
                    "not encrypted"
                },
                if session.logged_in {
                    "logged in"
                } else {
                    "without login"
                },
            ),
        ),
        Err(error) => Finding::problem(
            CHECK,
            error.to_string(),
            "see mail.smtp.url and mail.from, and the log of the mail server",
        ),
    }]
}
