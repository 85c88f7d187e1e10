//! Mail that comes back (D2, D22).

use enrolld_jobs::{
    cloud_event::BounceKind,
    decide::Decided,
    effect::{Effect, MailKind, Recipient},
    event::{Aside, Bounce, Event},
    registration::{FieldErrorCode, StateName},
    values::EmailAddress,
};
use uuid::Uuid;

use crate::road::{Road, account_id, acts, da, everywhere, good, good_but, mail, mails, selected, with_email};

fn address(text: &str) -> EmailAddress {
    EmailAddress::new(text).expect("an address")
}

/// A mail to the applicant that came back hard.
fn bounce(kind: MailKind, step: u32) -> Bounce {
    Bounce {
        mail: Uuid::from_u128(7),
        kind,
        to: Recipient::Applicant,
        step,
        address: Some(address("newbie@acme.example")),
        severity: BounceKind::Hard,
        detail: Some("550 no such user".to_owned()),
    }
}

fn bounced(bounce: Bounce) -> Event {
    Event::Aside(Aside::MailBounced(bounce))
}

/// The verification mail of the present step.
fn verification(road: &Road) -> Bounce {
    bounce(MailKind::Verification, road.registration.step)
}

#[test]
fn d22_soft_bounces_and_complaints_are_recorded_and_nothing_else() {
    for road in everywhere() {
        for severity in [BounceKind::Soft, BounceKind::Complaint] {
            let mut road = road.clone();
            let before = road.registration.clone();
            let event = bounced(Bounce {
                severity,
                ..verification(&road)
            });
            let decision = road.does(&event, &good(vec![]));
            assert_eq!(decision.effects, []);
            assert_eq!(decision.entry.event, "mail.bounced");
            assert_eq!(decision.entry.detail["mail"], "verification");
            assert_eq!(decision.entry.detail["kind"], severity.as_str());
            assert_eq!(decision.entry.detail["detail"], "550 no such user");
            assert_eq!(
                (&before.state, before.step),
                (&road.registration.state, road.registration.step)
            );
        }
    }
}

#[test]
fn d22_a_hard_bounce_suppresses_the_address_in_every_state() {
    for mut road in everywhere() {
        let before = road.registration.clone();
        let decision = road.does(&bounced(verification(&road)), &good(vec![]));
        let suppressed = Effect::Suppress(address("newbie@acme.example"));
        // Whoever it went to may be a DA whom others wait for (D2).
        let recheck = Effect::RecheckDa(before.account_id.clone());
        assert_eq!(acts(&decision), [&suppressed, &recheck], "{:?}", before.state);
        if before.state.name() == StateName::AwaitingEmail {
            assert_eq!(road.field_errors(), [FieldErrorCode::EmailUndeliverable]);
            assert_eq!(
                mail(&decision),
                (MailKind::CorrectionNeeded, "the applicant".to_owned())
            );
        } else {
            let after = &road.registration;
            assert_eq!((&before.state, before.step), (&after.state, after.step));
            assert_eq!((before.since, before.deadline), (after.since, after.deadline));
            assert_eq!(mails(&decision), []);
        }
    }
}

#[test]
fn d22_another_mail_than_the_verification_does_not_stop_the_applicant() {
    let mut road = Road::awaiting_email();
    road.does(
        &bounced(bounce(MailKind::IdleReminder, road.registration.step)),
        &good(vec![]),
    );
    assert_eq!(road.state(), StateName::AwaitingEmail);
}

#[test]
fn d22_an_earlier_verification_mail_to_the_same_address_tells_as_much() {
    let mut road = Road::awaiting_email();
    let first = verification(&road);
    road.after(chrono::Duration::minutes(2))
        .does(&Event::ResendRequested, &good(vec![]));
    assert!(road.registration.step > first.step);
    let mut unknown = road.clone();
    road.does(&bounced(first.clone()), &good(vec![]));
    assert_eq!(road.field_errors(), [FieldErrorCode::EmailUndeliverable]);
    // Where it went is not known any more: only the mail of the present wait counts (D23).
    let lost = Bounce { address: None, ..first };
    let decision = unknown.does(&bounced(lost), &good(vec![]));
    assert_eq!(unknown.state(), StateName::AwaitingEmail);
    assert_eq!(decision.effects, [Effect::RecheckDa(account_id("newbie"))]);
}

#[test]
fn d23_a_verification_mail_to_an_address_of_before_does_not_stop_the_applicant() {
    let mut road = Road::awaiting_email();
    let first = verification(&road);
    let changed = with_email(Some("other@acme.example"));
    road.does(&road.link_used(), &changed);
    let decision = road.does(&bounced(first), &changed);
    assert_eq!(road.state(), StateName::AwaitingEmail);
    let suppressed = Effect::Suppress(address("newbie@acme.example"));
    assert_eq!(acts(&decision), [&suppressed, &Effect::RecheckDa(account_id("newbie"))]);
}

#[test]
fn d22_a_verification_mail_that_is_not_sent_asks_for_a_correction() {
    let mut road = Road::awaiting_email();
    let step = road.registration.step;
    let stale = Event::Undeliverable { step: step - 1 };
    assert_eq!(road.decide(&stale, &good(vec![])), Decided::Ignored, "D23");
    let decision = road.does(&Event::Undeliverable { step }, &good(vec![]));
    assert_eq!(decision.entry.event, "registration.email_undeliverable");
    assert_eq!(road.field_errors(), [FieldErrorCode::EmailUndeliverable]);
    assert_eq!(
        mail(&decision),
        (MailKind::CorrectionNeeded, "the applicant".to_owned())
    );
    for road in everywhere()
        .iter()
        .filter(|road| road.state() != StateName::AwaitingEmail)
    {
        let step = road.registration.step;
        let decided = road.decide(&Event::Undeliverable { step }, &good(vec![]));
        assert_eq!(decided, Decided::Ignored, "{:?}", road.state());
    }
}

#[test]
fn d22_suppression_ends_with_a_changed_address() {
    let suppressed = good_but(vec![], |present| present.undeliverable = true);
    let mut road = Road::awaiting_email();
    road.does(&bounced(verification(&road)), &suppressed);
    let again = Event::Resubmitted(crate::road::numbers("93988396", "FOC1436Y3XK"));
    road.does(&again, &suppressed);
    road.verify(&suppressed);
    assert_eq!(road.field_errors(), [FieldErrorCode::EmailUndeliverable]);
    road.does(&again, &good(vec![]));
    road.verify(&good(vec![]));
    road.route(&good(vec![]));
    road.does(&selected("root"), &good(vec![]));
    assert_eq!(road.state(), StateName::AwaitingEmail);
}

#[test]
fn d2_a_da_whose_mail_comes_back_is_looked_at_at_once() {
    let present = good(vec![da("boss", "root"), da("second", "root")]);
    let mut road = Road::awaiting_da(&present);
    let event = bounced(Bounce {
        to: Recipient::Account(account_id("boss")),
        address: Some(address("boss@acme.example")),
        ..bounce(MailKind::AccessRequest, road.registration.step)
    });
    let decision = road.does(&event, &present);
    assert_eq!(
        acts(&decision),
        [
            &Effect::Suppress(address("boss@acme.example")),
            &Effect::RecheckDa(account_id("boss")),
        ]
    );
    assert_eq!(road.asked(), ["boss"]);
    // The look finds that they cannot be reached, and the request moves on.
    let mut unreachable = present;
    unreachable.site.as_mut().expect("a site").administrators[0].reachable = false;
    road.does(&Event::Recheck, &unreachable);
    assert_eq!(road.asked(), ["boss", "second"]);
}

#[test]
fn d2_without_a_known_address_only_the_da_is_looked_at() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    let event = bounced(Bounce {
        to: Recipient::Account(account_id("boss")),
        address: None,
        detail: None,
        ..bounce(MailKind::AccessRequest, road.registration.step)
    });
    let decision = road.does(&event, &present);
    assert_eq!(acts(&decision), [&Effect::RecheckDa(account_id("boss"))]);
    assert!(!decision.entry.detail.contains_key("detail"));
}
