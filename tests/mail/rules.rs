//! What the rules ask a mail to say, in both languages, and in text and HTML alike.

use enrolld::mail::render;
use enrolld_jobs::{effect::MailKind, values::Locale};

use super::{LOCALES, context, portal};

/// The mail must have this subject, and say all of these, as text and as HTML.
fn says(kind: MailKind, locale: Locale, subject: &str, phrases: &[&str]) {
    let mail = render(kind, locale, &context(kind, locale)).unwrap();
    assert_eq!(mail.subject, subject);
    // The text breaks its lines; what is said is the same.
    let text = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let html = mail.html.split_whitespace().collect::<Vec<_>>().join(" ");
    for phrase in phrases {
        assert!(text.contains(phrase), "{phrase:?} is not in {text}");
        assert!(html.contains(phrase), "{phrase:?} is not in {html}");
    }
}

/// The link stands alone on its line of the text, and can be followed in the HTML.
fn links(kind: MailKind, to: &str) {
    for locale in LOCALES {
        let mail = render(kind, locale, &context(kind, locale)).unwrap();
        assert!(mail.text.lines().any(|line| line == to), "{to}: {}", mail.text);
        assert!(mail.html.contains(&format!("href=\"{to}\"")), "{to}: {}", mail.html);
    }
}

#[test]
fn r5_r60_who_gets_access_is_told_of_the_24_hours() {
    for kind in [
        MailKind::Welcome,
        MailKind::CustomerAdministrator,
        MailKind::AccessApproved,
        MailKind::DelegationChanged,
    ] {
        for (locale, hours) in [(Locale::En, "up to 24 hours"), (Locale::Nl, "tot 24 uur")] {
            let mail = render(kind, locale, &context(kind, locale)).unwrap();
            for part in [&mail.text, &mail.html] {
                let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(part.contains(hours), "{}: {part}", kind.as_str());
            }
        }
    }
}

#[test]
fn r52_the_address_is_the_one_for_all_notices() {
    says(
        MailKind::Verification,
        Locale::En,
        "Verify your e-mail address",
        &[
            "All messages about this registration, and later about your duties as Delegated Administrator, go to this address.",
            "If it is not the right one, correct your account profile and start the registration again.",
            "look in your spam folder",
        ],
    );
    says(
        MailKind::Verification,
        Locale::Nl,
        "Bevestig uw e-mailadres",
        &[
            "Alle berichten over deze registratie, en later over uw taken als Delegated Administrator, gaan naar dit adres.",
            "verbeter dan uw accountprofiel en begin de registratie opnieuw.",
            "map met ongewenste e-mail",
        ],
    );
}

#[test]
fn r67_welcome_tells_of_success_links_to_the_portal_and_how_to_upload_device_data() {
    says(
        MailKind::Welcome,
        Locale::En,
        "Welcome to the portal",
        &[
            "Your registration is complete.",
            "To see your devices in the portal, upload their data:",
            "upload an inventory file",
        ],
    );
    says(
        MailKind::Welcome,
        Locale::Nl,
        "Welkom op de portal",
        &[
            "Uw registratie is voltooid.",
            "Om uw apparaten in de portal te zien, uploadt u de gegevens ervan:",
            "upload een inventarisbestand",
        ],
    );
    links(MailKind::Welcome, &portal().url);
    links(MailKind::Welcome, &portal().newcomers_url);
}

#[test]
fn r68_the_role_of_customer_administrator_was_granted() {
    says(
        MailKind::CustomerAdministrator,
        Locale::En,
        "Portal access as Customer Administrator",
        &["You have been given the role of Customer Administrator of ACME INC"],
    );
    says(
        MailKind::CustomerAdministrator,
        Locale::Nl,
        "Toegang tot de portal als Customer Administrator",
        &["de rol van klantbeheerder (Customer Administrator) van ACME INC gekregen"],
    );
    links(MailKind::CustomerAdministrator, &portal().url);
}

#[test]
fn r69_the_terms_are_to_be_accepted_in_the_access_management_tool() {
    says(
        MailKind::DaTerms,
        Locale::En,
        "Accept the Delegated Administrator terms and conditions",
        &[
            "You are now a Delegated Administrator of:",
            "Please accept the terms and conditions for Delegated Administrators in the access-management tool:",
        ],
    );
    says(
        MailKind::DaTerms,
        Locale::Nl,
        "Accepteer de voorwaarden voor Delegated Administrators",
        &[
            "U bent nu Delegated Administrator",
            "Accepteer de voorwaarden voor Delegated Administrators in het programma voor toegangsbeheer:",
        ],
    );
    links(MailKind::DaTerms, &portal().access_url);
}
