//! What the applicant reads in every state, in both languages: where it stands, who holds it, and what happens next.

use std::fmt::Write as _;

use enrolld_jobs::{
    decide::Decided,
    event::{Aside, Event, Synced},
    job::JobKind,
    registration::{Applicant, Registration, State},
    values::{Locale, RegistrationId},
    view::RegistrationSummary,
};
use uuid::Uuid;

use crate::road::{Road, da, everywhere, good};

/// What an applicant of this language reads, as if the profile were known from the beginning.
fn read(registration: &Registration, locale: Locale) -> RegistrationSummary {
    let mut registration = registration.clone();
    let account = registration.account.get_or_insert_with(|| Applicant {
        name: "newbie of ACME".to_owned(),
        email: None,
        locale,
    });
    account.locale = locale;
    RegistrationSummary::new(&registration)
}

fn refused() -> Road {
    let mut road = Road::granted(1);
    let sync = road.pending().remove(0);
    let outcome = Synced::Refused { status: 422 };
    let event = Event::Synced {
        grant_id: sync.grant_id,
        target: sync.target,
        outcome,
    };
    road.does(&event, &good(vec![]));
    road
}

fn superseded() -> Road {
    let mut road = Road::awaiting_email();
    let by = RegistrationId::new("reg-2").expect("an id");
    road.does(&Event::Superseded { by }, &good(vec![]));
    road
}

fn unresponsive() -> Road {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    while road.state().as_str() == "awaiting_da" {
        road.time_is_up(&present);
    }
    road
}

fn with_dead_job(mut road: Road) -> Road {
    let job = Uuid::from_u128(1 + u128::from(road.registration.version));
    let died = Aside::JobDied {
        job,
        kind: JobKind::Notification,
        class: "smtp_refused".to_owned(),
    };
    let decided = road.decide(&Event::Aside(died), &good(vec![]));
    let Decided::Decision(decision) = decided else {
        panic!("{decided:?}");
    };
    road.registration = decision.registration;
    road
}

/// Every state, and what within a state is told differently.
fn all() -> Vec<(String, Road)> {
    let mut all: Vec<_> = everywhere()
        .into_iter()
        .map(|road| (road.state().as_str().to_owned(), road))
        .collect();
    let mut overdue = Road::granted(1);
    overdue.time_is_up(&good(vec![]));
    for (name, road) in [
        ("active, appointed", Road::appointed(0)),
        ("in_review, the DAs were silent", unresponsive()),
        ("provisioning, overdue", overdue),
        ("provisioning, refused", refused()),
        ("withdrawn, superseded", superseded()),
        ("awaiting_da, a job of ours is dead", with_dead_job(all[6].1.clone())),
        ("active, a job of ours is dead", with_dead_job(Road::granted(0))),
    ] {
        all.push((name.to_owned(), road));
    }
    all
}

#[test]
fn every_state_is_told_in_both_languages() {
    let mut page = String::new();
    for (name, road) in all() {
        writeln!(page, "## {name}\n").expect("text");
        for locale in [Locale::En, Locale::Nl] {
            let view = read(&road.registration, locale);
            writeln!(page, "{}: {}\n    {}\n", locale.as_str(), view.title, view.message).expect("text");
        }
    }
    insta::assert_snapshot!(page);
}

#[test]
fn d17_no_text_is_left_out_or_unfilled_in_either_language() {
    for (name, road) in all() {
        let [en, nl] = [Locale::En, Locale::Nl].map(|locale| read(&road.registration, locale));
        assert!(en.message != nl.message && en.title != nl.title, "{name}");
        for text in [&en.title, &en.message, &nl.title, &nl.message] {
            assert!(!text.contains(['{', '}']) && !text.contains("  "), "{name}: {text}");
        }
    }
}

#[test]
fn r31_what_a_person_gave_as_the_reason_is_shown_as_it_is() {
    let mut road = everywhere().remove(12);
    road.registration.state = State::Rejected {
        reason: Some("see {da} and {newer}".to_owned()),
    };
    let view = read(&road.registration, Locale::En);
    assert!(
        view.message.contains("The reason given: see {da} and {newer}"),
        "{}",
        view.message
    );
}

#[test]
fn d22_our_own_problem_is_told_as_long_as_the_registration_is_open() {
    for (name, road) in all() {
        let is_open = !road.state().is_final();
        let dead = with_dead_job(road);
        let told = read(&dead.registration, Locale::En)
            .message
            .contains("technical problem of our own");
        assert_eq!(told, is_open, "{name}");
    }
}
