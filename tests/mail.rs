//! What mails say in each language, and how they leave: into files, and over SMTP to real servers on loopback.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

#[path = "mail/rules.rs"]
mod rules;
#[path = "mail/smtp.rs"]
mod smtp;
#[path = "mail/wordings.rs"]
mod wordings;

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use chrono::{DateTime, TimeZone, Utc};
use enrolld::mail::{Addressee, Letter, MailContext, Mailer, Portal, SendError, render, sample};
use enrolld_jobs::{
    effect::MailKind,
    values::{EmailAddress, Locale, RegistrationId},
};
use lettre::message::Mailbox;
use mail_parser::MessageParser;
use uuid::Uuid;

const LOCALES: [Locale; 2] = [Locale::En, Locale::Nl];
/// More than any test needs, so that a slow machine does not fail.
const TIMEOUT: Duration = Duration::from_secs(20);

fn from() -> Mailbox {
    "Support Portal <no-reply@portal.example>".parse().unwrap()
}

fn at(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, hour, 0, 0).unwrap()
}

fn portal() -> Portal {
    Portal {
        name: "Smart Net Total Care".to_owned(),
        url: "https://portal.example/".to_owned(),
        newcomers_url: "https://portal.example/newcomers".to_owned(),
        access_url: "https://access.example/".to_owned(),
        community_url: "https://community.example/".to_owned(),
    }
}

/// The sample that `enrolld mails preview` shows.
fn context(kind: MailKind, locale: Locale) -> MailContext {
    sample(kind, locale, portal())
}

fn letter(kind: MailKind, locale: Locale, to: &str) -> Letter {
    let context = context(kind, locale);
    Letter {
        id: Uuid::from_u128(0x1234_5678_9abc_5def_8123_4567_89ab_cdef),
        kind,
        registration_id: context
            .registration_id
            .clone()
            .map(|id| RegistrationId::new(id).unwrap()),
        to: Addressee::person("SNTC Newbie", &EmailAddress::new(to).unwrap()).unwrap(),
        rendered: render(kind, locale, &context).unwrap(),
        date: at(9),
    }
}

/// Sends `letter` into `dir`, and reads the only file there.
async fn written(dir: &Path, letter: &Letter) -> String {
    let mailer = Mailer::file(from(), dir.to_owned()).unwrap();
    mailer.send(letter).await.unwrap();
    let mut files = std::fs::read_dir(dir).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none(), "more than one file");
    std::fs::read_to_string(file).unwrap()
}

/// Every kind in every language.
fn every_mail() -> impl Iterator<Item = (MailKind, Locale)> {
    let kinds = MailKind::ALL.iter().copied();
    kinds.flat_map(|kind| LOCALES.map(|locale| (kind, locale)))
}

#[tokio::test]
async fn every_mail_in_every_language() {
    for (kind, locale) in every_mail() {
        let folder = tempfile::tempdir().unwrap();
        let letter = letter(kind, locale, "newbie@acme.example");
        let raw = written(folder.path(), &letter).await;
        let (headers, _) = raw.split_once("\r\n\r\n").unwrap();
        let shown = format!(
            "{}\n\n======== text ========\n{}\n======== html ========\n{}",
            headers.replace("\r\n", "\n"),
            letter.rendered.text,
            letter.rendered.html
        );
        insta::assert_snapshot!(format!("{}.{}", kind.as_str(), locale.as_str()), shown);
    }
}

#[test]
fn without_a_link_the_access_request_and_its_reminder_lead_to_the_portal() {
    for kind in [MailKind::AccessRequest, MailKind::AccessRequestReminder] {
        for locale in LOCALES {
            let mut context = context(kind, locale);
            context.decide_link = None;
            let mail = render(kind, locale, &context).unwrap();
            insta::assert_snapshot!(format!("{}_without_link.{}", kind.as_str(), locale.as_str()), mail.text);
        }
    }
}

#[test]
fn without_problems_the_idle_reminder_tells_the_steps_that_may_be_missing() {
    for locale in LOCALES {
        let mut context = context(MailKind::IdleReminder, locale);
        context.problems.clear();
        let mail = render(MailKind::IdleReminder, locale, &context).unwrap();
        insta::assert_snapshot!(format!("idle_reminder_without_problems.{}", locale.as_str()), mail.text);
    }
}

#[test]
fn a_receipt_of_a_denial_has_the_reason_if_one_was_given() {
    for locale in LOCALES {
        let mut context = context(MailKind::DecisionReceipt, locale);
        context.role = None;
        let mail = render(MailKind::DecisionReceipt, locale, &context).unwrap();
        insta::assert_snapshot!(format!("decision_receipt_denied.{}", locale.as_str()), mail.text);
    }
}

#[test]
fn a_reason_that_was_not_given_is_told() {
    for (kind, locale, told) in [
        (MailKind::AccessDenied, Locale::En, "No reason was given."),
        (MailKind::AccessDenied, Locale::Nl, "Er is geen reden opgegeven."),
        (MailKind::DecisionReceipt, Locale::En, "You gave no reason."),
        (MailKind::DecisionReceipt, Locale::Nl, "U hebt geen reden opgegeven."),
        (MailKind::Rejected, Locale::En, "No reason was given."),
        (MailKind::Rejected, Locale::Nl, "Er is geen reden opgegeven."),
    ] {
        let mut context = context(kind, locale);
        context.reason = None;
        context.role = None;
        let mail = render(kind, locale, &context).unwrap();
        assert!(mail.text.contains(told) && mail.html.contains(told), "{}", mail.text);
    }
}

#[test]
fn links_stand_alone_and_html_needs_nothing_from_elsewhere() {
    for (kind, locale) in every_mail() {
        let what = format!("{} {}", kind.as_str(), locale.as_str());
        let mail = render(kind, locale, &context(kind, locale)).unwrap();
        for line in mail.text.lines() {
            let chars = line.chars().count();
            assert!(
                !line.contains("://") || (line.starts_with("https://") && !line.contains(' ')),
                "{what}: {line}"
            );
            assert!(chars <= 78, "{what}: {chars} characters: {line}");
            if line.starts_with("https://") {
                assert!(
                    mail.html.contains(&format!(">{line}</a>")),
                    "{what}: {line} is not shown"
                );
            }
        }
        assert_eq!(
            mail.html.matches("://").count(),
            2 * mail.text.matches("://").count(),
            "{what}: other links"
        );
        assert!(
            mail.html.contains(&format!("<html lang=\"{}\">", locale.as_str())),
            "{what}"
        );
        for tag in ["<img", "<script", "<style", "<link", "class="] {
            assert!(!mail.html.contains(tag), "{what} has {tag}");
        }
    }
}

#[tokio::test]
async fn nothing_that_people_typed_breaks_out() {
    let evil = "Eve<script>alert(1)</script>\"'&\r\nBcc: all@acme.example\r\n\r\n{{ portal.url }}\
        \u{2028}\u{202E}https://evil.example";
    for (kind, locale) in every_mail() {
        let mut context = context(kind, locale);
        context.applicant.as_mut().unwrap().name = evil.to_owned();
        context.recipient_name = Some(evil.to_owned());
        context.reason = Some(evil.to_owned());
        context.question = Some(evil.to_owned());
        context.contract_number = evil.to_owned();
        context.problems = vec![evil.to_owned()];
        context.administrator.as_mut().unwrap().name = evil.to_owned();
        context.administrator_address = vec![evil.to_owned()];
        let place = context.organization.as_mut().unwrap();
        place.name = evil.to_owned();
        place.address = vec![evil.to_owned(); 2];
        if let Some(delegation) = &mut context.delegation {
            delegation.company = Some(evil.to_owned());
        }
        if let Some(alert) = &mut context.alert {
            evil.clone_into(&mut alert.message);
            alert.account_id = Some(evil.to_owned());
        }
        let mut letter = letter(kind, locale, "newbie@acme.example");
        letter.rendered = render(kind, locale, &context).unwrap();
        letter.to = Addressee::person(evil, &EmailAddress::new("newbie@acme.example").unwrap()).unwrap();

        let what = format!("{} {}", kind.as_str(), locale.as_str());
        assert!(!letter.rendered.subject.contains(char::is_control), "{what}");
        assert!(
            !letter.rendered.html.contains("<script"),
            "{what}: {}",
            letter.rendered.html
        );
        for text in [&letter.rendered.text, &letter.rendered.html] {
            let broken_out = |line: &str| line.starts_with("Bcc:") || line.starts_with("https://evil");
            assert!(!text.lines().any(broken_out), "{what}: {text}");
            assert!(!text.contains(['\r', '\u{2028}', '\u{202E}']), "{what}");
        }

        let folder = tempfile::tempdir().unwrap();
        let raw = written(folder.path(), &letter).await;
        let message = MessageParser::default().parse(raw.as_bytes()).unwrap();
        assert!(message.bcc().is_none(), "{what}: {raw}");
        let to: Vec<_> = message.to().unwrap().iter().filter_map(|to| to.address()).collect();
        assert_eq!(to, ["newbie@acme.example"], "{what}: {raw}");
        assert_eq!(
            message.body_text(0).unwrap().replace("\r\n", "\n"),
            letter.rendered.text,
            "{what}"
        );
    }
}

#[test]
fn a_mail_with_a_hole_is_not_rendered() {
    let mut context = context(MailKind::Verification, Locale::Nl);
    context.link = None;
    let error = render(MailKind::Verification, Locale::Nl, &context)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("nl/verification.txt") && !error.contains("Newbie"),
        "{error}"
    );
    context.role = None;
    assert!(render(MailKind::AccessApproved, Locale::En, &context).is_err());
    context.review_reason = None;
    assert!(render(MailKind::ReviewCase, Locale::En, &context).is_err());
    assert!(render(MailKind::WithAgent, Locale::En, &context).is_ok());
}

#[test]
fn every_kind_names_what_it_cannot_do_without() {
    type Hole = (MailKind, fn(&mut MailContext));
    let holes: [Hole; 17] = [
        (MailKind::DecisionReceipt, |mail| mail.decided_at = None),
        (MailKind::AccessRequestReminder, |mail| mail.waiting_since = None),
        (MailKind::AccessRequestReminder, |mail| mail.decide_by = None),
        (MailKind::ReviewOverdue, |mail| mail.review_reason = None),
        (MailKind::ReviewOverdue, |mail| mail.decide_by = None),
        (MailKind::Question, |mail| mail.question = None),
        (MailKind::Question, |mail| mail.answer_by = None),
        (MailKind::IdleReminder, |mail| mail.expires_on = None),
        (MailKind::AccessRequestNotice, |mail| mail.administrator = None),
        (MailKind::AccessRequest, |mail| mail.applicant = None),
        (MailKind::ReviewCase, |mail| mail.registration_id = None),
        (MailKind::ProvisioningOverdue, |mail| mail.role = None),
        (MailKind::TermsReminder, |mail| mail.organization = None),
        (MailKind::SecondDaAdvised, |mail| mail.delegation = None),
        (MailKind::DelegationChanged, |mail| mail.delegation = None),
        (MailKind::DelegationChanged, |mail| {
            mail.delegation.as_mut().unwrap().change = None;
        }),
        (MailKind::OpsAlert, |mail| mail.alert = None),
    ];
    for (kind, take_out) in holes {
        for locale in LOCALES {
            let mut context = context(kind, locale);
            take_out(&mut context);
            let error = render(kind, locale, &context).err();
            let error = error.unwrap_or_else(|| panic!("{} {}", kind.as_str(), locale.as_str()));
            assert!(error.to_string().contains(kind.as_str()), "{error}");
        }
    }
}

#[tokio::test]
async fn a_letter_is_one_file_however_often_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("made/when/needed");
    let letter = letter(MailKind::Verification, Locale::Nl, "newbie@acme.example");
    let first = written(&dir, &letter).await;
    let second = written(&dir, &letter).await;
    assert_eq!(first, second);

    let file = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap();
    let name = "20261122T090000.000Z-12345678-9abc-5def-8123-456789abcdef.eml";
    assert_eq!(file.file_name().to_str(), Some(name));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let message = MessageParser::default().parse(first.as_bytes()).unwrap();
    assert_eq!(
        message.message_id(),
        Some("12345678-9abc-5def-8123-456789abcdef@portal.example")
    );
    assert_eq!(message.date().unwrap().to_timestamp(), at(9).timestamp());
    assert_eq!(message.subject(), Some("Bevestig uw e-mailadres"));
    assert_eq!(
        message.body_html(0).unwrap().replace("\r\n", "\n"),
        letter.rendered.html
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_no_fault_of_the_letter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mailer = Mailer::file(from(), file).unwrap();
    let letter = letter(MailKind::Welcome, Locale::En, "newbie@acme.example");
    let error = mailer.send(&letter).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error}");
}

#[test]
fn a_wrong_configuration_is_told_without_its_password() {
    let error = Mailer::smtp("nöbody@portal.example".parse().unwrap(), "smtp://relay", TIMEOUT).unwrap_err();
    assert!(error.to_string().contains("sender"), "{error}");
    let error = Mailer::smtp(from(), "http://user:secret@relay", TIMEOUT).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    let mailer = Mailer::smtp(from(), "smtps://user:secret@relay.example/daemon.example", TIMEOUT).unwrap();
    assert!(!format!("{mailer:?}").contains("secret"), "{mailer:?}");
}
