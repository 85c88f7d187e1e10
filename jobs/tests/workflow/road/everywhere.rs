//! One registration in each state.

use enrolld_jobs::{cloud_event::ReviewDecision, event::Event, registration::StateName};

use super::{Road, da, deny, good, good_but, question, reviewed};

/// One registration in every state, in the order of the contract.
pub(crate) fn everywhere() -> Vec<Road> {
    let none = good(vec![]);
    let boss = good(vec![da("boss", "root")]);
    let wrong = good_but(vec![], |present| present.applicant.covered = false);
    let mut corrected = Road::submitted();
    corrected.verify(&wrong);
    let mut routing = Road::submitted();
    routing.verify(&none);
    let mut asked = Road::in_review();
    asked.does(&question(), &none);
    let mut denied = Road::awaiting_da(&boss);
    denied.does(&deny("boss"), &boss);
    let mut rejected = Road::in_review();
    rejected.does(&reviewed(ReviewDecision::Reject), &none);
    let mut withdrawn = Road::submitted();
    withdrawn.does(&Event::GIVEN_UP, &none);
    let mut expired = corrected.clone();
    expired.time_is_up(&wrong);
    expired.time_is_up(&wrong);
    let all = vec![
        Road::submitted(),
        corrected,
        routing,
        Road::routed(&boss),
        Road::routed(&none),
        Road::awaiting_email(),
        Road::awaiting_da(&boss),
        Road::in_review(),
        asked,
        Road::granted(1),
        Road::granted(0),
        denied,
        rejected,
        withdrawn,
        expired,
    ];
    let states: Vec<_> = all.iter().map(Road::state).collect();
    assert_eq!(states, StateName::ALL);
    all
}
