//! What the rules ask the applicant to be told: titles, messages and lists of the view, in English and Dutch (D17).

use std::sync::Arc;

use chrono::Duration;
use enrolld_jobs::{
    effect::MailKind,
    event::{Event, Present},
    registration::StateName,
    rules::Rules,
    values::Locale,
    view::{RegistrationSummary, RegistrationView},
};

use crate::road::{Road, da, good, good_but, grant, mails};

/// What is read of the registration in one language.
fn read_in(locale: Locale, road: &Road) -> RegistrationSummary {
    let mut registration = road.registration.clone();
    registration.account.as_mut().expect("the profile").locale = locale;
    RegistrationSummary::new(&registration)
}

/// The message must say all of these, in English and in Dutch.
fn says(road: &Road, english: &[&str], dutch: &[&str]) {
    for (locale, phrases) in [(Locale::En, english), (Locale::Nl, dutch)] {
        let message = read_in(locale, road).message;
        for phrase in phrases {
            assert!(message.contains(phrase), "{phrase:?} is not in {message:?}");
        }
    }
}

/// A request with something wrong.
fn to_correct() -> Road {
    let mut road = Road::submitted();
    road.verify(&good_but(vec![], |present| present.applicant.covered = false));
    assert_eq!(road.state(), StateName::NeedsCorrection);
    road
}

/// Appointed, on these rules.
fn appointed(rules: Rules) -> Road {
    let mut road = Road::awaiting_email();
    road.rules = Arc::new(rules);
    road.does(&road.link_used(), &good(vec![]));
    road
}

#[test]
fn r5_r60_access_may_take_24_hours_and_that_is_told() {
    let present = good(vec![da("boss", "root")]);
    let mut granted = Road::awaiting_da(&present);
    granted.does(&grant("boss"), &present);
    assert_eq!(granted.state(), StateName::Active);
    let new_da = appointed(Rules::default());
    assert_eq!(new_da.state(), StateName::Active);
    let set_up = appointed(Rules {
        targets: vec!["tool".to_owned()],
        ..Rules::default()
    });
    assert_eq!(set_up.state(), StateName::Provisioning);
    for road in [granted, new_da, set_up] {
        says(&road, &["up to 24 hours"], &["tot 24 uur"]);
    }
}

#[test]
fn r23_a_wrong_name_or_address_is_corrected_in_the_profile() {
    says(
        &to_correct(),
        &["If your name or e-mail address is wrong, correct your profile first."],
        &["Zijn uw naam of e-mailadres onjuist, verbeter dan eerst uw profiel."],
    );
}

#[test]
fn r26_the_tip_is_to_take_a_device_of_the_site_that_fits() {
    says(
        &to_correct(),
        &["Tip: take a device installed at the site that best represents your scope of authority."],
        &["Tip: neem een apparaat op de locatie die uw bevoegdheid het best weergeeft."],
    );
}

#[test]
fn r30_without_da_the_applicant_can_become_it_or_leave_it_to_the_right_person() {
    let mut road = Road::routed(&good(vec![]));
    assert_eq!(road.state(), StateName::AwaitingOrganization);
    says(
        &road,
        &[
            "has no Delegated Administrator yet, so you can become it",
            "If someone else manages access for your company, withdraw, and have that person register.",
        ],
        &[
            "nog geen Delegated Administrator",
            "u kunt het worden",
            "Beheert iemand anders de toegang voor uw bedrijf, trek dan terug en laat die persoon zich registreren.",
        ],
    );
    let allowed = read_in(Locale::En, &road).allowed;
    assert!(allowed.contains(&"registration.withdrawn".to_owned()), "{allowed:?}");
    road.does(&Event::GIVEN_UP, &good(vec![]));
    assert_eq!(road.state(), StateName::Withdrawn);
}

#[test]
fn r35_r36_once_submitted_the_da_is_named_as_the_one_to_ask() {
    let road = Road::awaiting_da(&good(vec![da("boss", "root"), da("second", "site")]));
    for (locale, title) in [
        (Locale::En, "Your request has been submitted"),
        (Locale::Nl, "Uw aanvraag is ingediend"),
    ] {
        let view = read_in(locale, &road);
        assert_eq!(view.title, title);
        let shown = view.delegated_administrator.expect("the DA's details");
        assert_eq!(
            (shown.name.as_str(), shown.email.as_deref()),
            ("boss of ACME", Some("boss@acme.example"))
        );
        assert_eq!(shown.address, ["1 root ST"]);
    }
    says(
        &road,
        &[
            "boss of ACME is responsible for granting or denying it.",
            "With questions, turn to them.",
        ],
        &[
            "boss of ACME beslist over uw aanvraag.",
            "Met vragen kunt u bij deze persoon terecht.",
        ],
    );
}

#[test]
fn r43_r44_what_to_do_if_the_organization_is_not_listed() {
    says(
        &Road::routed(&good(vec![])),
        &[
            "Is yours not listed? Go back and try another contract and serial number, or choose none of them",
            "an agent takes over",
        ],
        &[
            "Staat de uwe er niet bij? Ga terug en probeer een ander contract en serienummer, of kies er geen",
            "een medewerker neemt het over",
        ],
    );
}

#[test]
fn r49_the_first_listed_has_full_authority_and_the_last_the_least() {
    let road = Road::routed(&good(vec![]));
    let offered = RegistrationView::new(&road.registration, vec![]).organizations;
    let ids: Vec<_> = offered.iter().map(|organization| organization.id.as_str()).collect();
    assert_eq!(ids, ["root", "site"]);
    says(
        &road,
        &["the first has full authority, the last the least"],
        &["de eerste heeft volledige bevoegdheid, de laatste de minste"],
    );
}

#[test]
fn r50_the_address_tells_equal_names_apart() {
    let road = Road::routed(&good(vec![]));
    let offered = RegistrationView::new(&road.registration, vec![]).organizations;
    let [root, site] = &offered[..] else {
        panic!("{offered:?}");
    };
    assert_eq!(root.name, site.name);
    assert_eq!(
        (root.address.as_slice(), site.address.as_slice()),
        (&["1 root ST".to_owned()][..], &["1 site ST".to_owned()][..])
    );
}

#[test]
fn r53_without_a_mail_the_applicant_looks_for_spam_or_has_it_sent_again() {
    let present: Present = good(vec![]);
    let mut road = Road::awaiting_email();
    says(
        &road,
        &["Look in your spam folder, or have it sent again."],
        &["Kijk in uw map met ongewenste e-mail, of laat hem opnieuw sturen."],
    );
    let allowed = read_in(Locale::En, &road).allowed;
    let resend = "registration.verification_resend_requested".to_owned();
    assert!(allowed.contains(&resend), "{allowed:?}");
    let decision = road.after(Duration::minutes(1)).does(&Event::ResendRequested, &present);
    assert_eq!(mails(&decision), [(MailKind::Verification, "the applicant".to_owned())]);
}
