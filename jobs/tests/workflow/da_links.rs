//! A DA's link to decide by (contract, section 6).

use std::sync::Arc;

use enrolld_jobs::{
    decide::Decision,
    effect::{Effect, LinkPurpose, MailKind, effect_id},
    event::Event,
    registration::State,
    rules::Rules,
};
use uuid::Uuid;

use crate::road::{Road, account_id, da, deny, good, grant, mails};

/// The links to decide by that are made, with whom they are for.
fn made(decision: &Decision) -> Vec<(Uuid, String)> {
    let registration = &decision.registration;
    let links = decision.effects.iter().enumerate().filter_map(|(index, effect)| {
        let Effect::IssueLink {
            purpose: LinkPurpose::Decision(whom),
            valid_until,
        } = effect
        else {
            return None;
        };
        assert_eq!(*valid_until, None, "valid as long as that DA may decide");
        Some((
            effect_id(&registration.id, registration.version, index),
            whom.to_string(),
        ))
    });
    links.collect()
}

fn links(road: &Road) -> Vec<Option<Uuid>> {
    let State::AwaitingDa { asked } = &road.registration.state else {
        panic!("nobody is asked in {:?}", road.state());
    };
    asked.iter().map(|asked| asked.link).collect()
}

#[test]
fn each_da_who_is_asked_has_a_link_and_reminders_carry_the_same() {
    let present = good(vec![da("boss", "root"), da("second", "root")]);
    let mut road = Road::routed(&present);
    let first = made(&road.does(&Event::Confirmed, &present));
    assert_eq!(first[0].1, "boss", "those who get a notice have none");
    assert_eq!(links(&road), [Some(first[0].0)]);
    for _ in 0..2 {
        assert_eq!(made(&road.time_is_up(&present)), []);
    }
    let second = made(&road.time_is_up(&present));
    assert_eq!(second[0].1, "second");
    assert_eq!(links(&road), [Some(first[0].0), Some(second[0].0)]);
}

#[test]
fn without_decisions_by_link_none_is_made() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::routed(&present);
    road.rules = Arc::new(Rules {
        decisions_by_link: false,
        ..Rules::default()
    });
    assert_eq!(made(&road.does(&Event::Confirmed, &present)), []);
    assert_eq!(links(&road), [None]);
}

#[test]
fn a_decision_by_link_is_receipted_and_says_so_on_the_timeline() {
    let present = good(vec![da("boss", "root")]);
    for (event, result) in [
        (grant("boss"), MailKind::AccessApproved),
        (deny("boss"), MailKind::AccessDenied),
    ] {
        let Event::DaDecided { decision, reason, .. } = event.clone() else {
            panic!("{event:?}");
        };
        let by_link = Event::DaDecided {
            by: account_id("boss"),
            decision,
            reason,
            via_link: true,
        };
        let plain = Road::awaiting_da(&present).does(&event, &present);
        assert!(!plain.entry.detail.contains_key("via"));
        let decision = Road::awaiting_da(&present).does(&by_link, &present);
        assert_eq!(decision.entry.detail["via"], "link");
        assert_eq!(
            mails(&decision),
            [
                (MailKind::DecisionReceipt, "boss".to_owned()),
                (result, "the applicant".to_owned()),
            ]
        );
    }
}
