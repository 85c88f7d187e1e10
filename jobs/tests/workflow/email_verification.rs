//! The verification link and *Resend verification*.

use chrono::{Duration, SecondsFormat};
use enrolld_jobs::{effect::MailKind, event::Event, refusal::Reason, registration::StateName};
use uuid::Uuid;

use crate::road::{Road, good, mails, selected, with_email};

const RESEND: Event = Event::ResendRequested;

#[test]
fn d7_a_link_that_was_never_made_is_unknown() {
    let road = Road::awaiting_email();
    let refusal = road.refused(&Event::EmailVerified { link: None }, &good(vec![]));
    assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "unknown_token"));
}

#[test]
fn d7_a_new_link_voids_the_old_one() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    let old = road.link_used();
    road.after(Duration::seconds(60)).does(&RESEND, &present);
    let refusal = road.refused(&old, &present);
    assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "replaced_token"));
    road.does(&road.link_used(), &present);
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d21_a_resend_goes_to_the_address_that_the_profile_has_by_now() {
    let mut road = Road::awaiting_email();
    let old = road.link_used();
    let moved = with_email(Some("other@acme.example"));
    road.after(Duration::seconds(60)).does(&RESEND, &moved);
    assert_eq!(road.refused(&old, &moved).code(), "replaced_token");
    road.does(&road.link_used(), &moved);
    assert_eq!(road.state(), StateName::Active);
    let proved = road.registration.verified_email.as_ref().expect("an address is proved");
    assert_eq!(proved.address.expose(), "other@acme.example");

    // Without any address the old one has to do; what is wrong is told when the link is used.
    let mut road = Road::awaiting_email();
    road.after(Duration::seconds(60)).does(&RESEND, &with_email(None));
    assert_eq!(road.state(), StateName::AwaitingEmail);
}

#[test]
fn d7_a_used_link_says_so() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    let used = road.link_used();
    road.does(&used, &present);
    assert_eq!(road.refused(&used, &present).code(), "used_token");
    let unknown = Event::EmailVerified { link: None };
    assert_eq!(road.refused(&unknown, &present).code(), "unknown_token");
    let of_another = Event::EmailVerified {
        link: Some(Uuid::from_u128(1)),
    };
    assert_eq!(road.refused(&of_another, &present).code(), "replaced_token");
}

#[test]
fn d8_an_expired_link_leaves_the_state_as_it_is() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    road.after(Duration::hours(24));
    assert_eq!(road.refused(&road.link_used(), &present).code(), "expired_token");
    assert_eq!(road.state(), StateName::AwaitingEmail);
    let decision = road.does(&RESEND, &present);
    assert_eq!(mails(&decision), [(MailKind::Verification, "the applicant".to_owned())]);
}

#[test]
fn d7_a_link_is_valid_until_the_last_second() {
    let mut road = Road::awaiting_email();
    road.after(Duration::hours(24) - Duration::seconds(1));
    road.does(&road.link_used(), &good(vec![]));
    assert_eq!(road.state(), StateName::Active);
}

#[test]
fn d8_a_resend_within_the_cooldown_says_when() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    road.after(Duration::seconds(59));
    let refusal = road.refused(&RESEND, &present);
    assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "cooldown"));
    assert_eq!(refusal.detail["retry_at"], "2026-11-22T09:01:00Z");
    road.after(Duration::seconds(1)).does(&RESEND, &present);
}

#[test]
fn d8_five_resends_a_day_and_then_when_the_first_mail_is_a_day_old() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    let first = road.now;
    for _ in 0..5 {
        road.after(Duration::hours(1)).does(&RESEND, &present);
    }
    road.after(Duration::hours(1));
    for _ in 0..3 {
        let refusal = road.refused(&RESEND, &present);
        assert_eq!((refusal.reason, refusal.code()), (Reason::NotAllowed, "daily_limit"));
        let next = (first + Duration::hours(24)).to_rfc3339_opts(SecondsFormat::Secs, true);
        assert_eq!(refusal.detail["retry_at"], next);
    }
    road.now = first + Duration::hours(24);
    road.does(&RESEND, &present);
}

#[test]
fn d8_going_back_does_not_give_more_mails() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    for _ in 0..5 {
        road.after(Duration::minutes(2)).does(&RESEND, &present);
    }
    let numbers = crate::road::numbers("93988396", "FOC1436Y3XK");
    road.does(&Event::Resubmitted(numbers), &present);
    road.verify(&present);
    road.route(&present);
    let refusal = road.refused(&selected("root"), &present);
    assert_eq!(refusal.code(), "daily_limit");
    assert!(refusal.detail.contains_key("retry_at"));
}
