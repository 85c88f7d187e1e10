//! `docs/states.md`: which event is allowed in which state, and a diagram of what leads where. The diagram is explored: every
//! event is tried on every registration found so far, on facts of every kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use chrono::Duration;
use enrolld_jobs::{
    cloud_event::{BounceKind, ReviewDecision, UpstreamEvent},
    decide::{Decided, allowed},
    effect::{MailKind, Recipient},
    event::{Aside, Bounce, Event, Present, Synced},
    registration::{State, StateName},
    values::EmailAddress,
};
use uuid::Uuid;

use super::is_current;
use crate::road::{
    Road, account_id, answer, appoint, company, da, deny, good, good_but, grant, numbers, organization, question,
    reviewed, route_to, rules_with, selected, with_email,
};

/// A step of the diagram: from, event, to.
type Transition = (&'static str, &'static str, &'static str);

const HEAD: &str = "\
# States

<!-- Generated from the code: `UPDATE_DOCS=1 cargo test -p enrolld-jobs --test workflow published` -->

What a registration waits for, which events may be sent meanwhile, and where they lead. The [contract](contract.md) has the
events and their data. A view's `allowed` lists the same; any other event is refused as `not_allowed`.

";

const AFTER_TABLE: &str = "
● allowed · ○ allowed sometimes: `da_decided` if the `review_reason` is `da_unresponsive`, since whoever was asked may still decide;
`review_decided` with `reject` if it is `provisioning_overdue` or `provisioning_failed`

`registration.submitted` begins a registration. The daemon's own events cannot be sent: those of jobs (`verified`, `routed`,
`email_undeliverable`: a verification mail not sent, since mail to the address comes back), of provisioning targets (`provisioned`,
`provisioning_refused`), of timers (`time_is_up`, at the view's `deadline`), of the look at the DAs who are asked (`rechecked`: hourly, and
when one of them is removed or their mail comes back), and of a newer registration (`superseded`). A mail that came back (`mail.bounced`) and a
job of ours that is dead (`job_died`, `job_revived`) stand on the timeline of every state, and change no state but that of who waits for a
verification mail.

## What leads where

`registration.withdrawn` leads to `withdrawn` wherever the table has it, and a newer registration for the same company does so from every state that waits for
the applicant, or is being routed; for legibility neither is drawn. Without provisioning targets what leads to `provisioning` leads to `active` at once. An event that asks for
another wait of the same kind (a resend, a changed address, the next DA, another question) leads back to its own state, and so does the
time for a reminder, a status mail or an escalation, and a target's answer as long as another is awaited.

";

fn facts() -> Vec<Present> {
    let boss = || vec![da("boss", "root")];
    let mut unreachable = good(boss());
    unreachable.site.as_mut().expect("a site").administrators[0].reachable = false;
    vec![
        good(vec![]),
        good(boss()),
        good(vec![da("boss", "root"), da("second", "root")]),
        unreachable,
        good_but(boss(), |present| present.applicant.covered = false),
        with_email(Some("other@acme.example")),
        good_but(vec![], |present| {
            present.applicant.account.as_mut().expect("a profile").flagged = true;
        }),
        good_but(boss(), |present| {
            present.site.as_mut().expect("a site").chain[1] = organization("moved", Some("root"));
        }),
        good_but(vec![], |present| {
            present.site.as_mut().expect("a site").chain = vec![organization("moved", None)];
        }),
    ]
}

fn events(road: &Road) -> Vec<Event> {
    let step = road.registration.step;
    let mut events = vec![
        Event::Resubmitted(numbers("93988396", "FOC1436Y3XK")),
        Event::Confirmed,
        selected("root"),
        Event::OrganizationSelected(None),
        Event::ResendRequested,
        grant("boss"),
        deny("boss"),
        Event::GIVEN_UP,
        Event::Verify { step },
        Event::Route { step },
        appoint("root"),
        appoint("other"),
        route_to("other"),
        reviewed(ReviewDecision::Reject),
        question(),
        answer(),
        Event::TimeIsUp { step },
        Event::Recheck,
    ];
    match &road.registration.state {
        State::AwaitingEmail { link } => {
            events.push(Event::EmailVerified { link: Some(link.id) });
            events.push(Event::Undeliverable { step });
            events.push(hard_bounce(step));
        }
        State::Provisioning { pending, .. } => {
            let by = account_id("boss");
            for outcome in [
                Synced::Confirmed,
                Synced::Refused { status: 422 },
                Synced::TakenBack { by },
            ] {
                events.extend(pending.iter().map(|sync| Event::Synced {
                    grant_id: sync.grant_id,
                    target: sync.target.clone(),
                    outcome: outcome.clone(),
                }));
            }
        }
        _ => {}
    }
    events
}

/// The verification mail of the step came back.
fn hard_bounce(step: u32) -> Event {
    Event::Aside(Aside::MailBounced(Bounce {
        mail: Uuid::from_u128(1),
        kind: MailKind::Verification,
        to: Recipient::Applicant,
        step,
        address: None,
        severity: BounceKind::Hard,
        detail: None,
    }))
}

/// Registrations that behave alike are explored once.
fn kind_of(road: &Road) -> String {
    let r = &road.registration;
    let site = r.site.as_ref().map(|site| site.organization_id.as_str());
    let da = r.administrators.first().map(|da| da.reachable);
    let email = r
        .account
        .as_ref()
        .and_then(|account| account.email.as_ref().map(EmailAddress::expose));
    let state = match &r.state {
        State::InReview { reason, .. } | State::AwaitingInformation { reason, .. } => reason.as_str().to_owned(),
        State::AwaitingDa { asked } if asked.len() > 1 => "not the first".to_owned(),
        State::Provisioning {
            granted, pending, case, ..
        } => {
            let refused = pending.iter().filter(|sync| sync.refused).count();
            let reason = case.map(|case| case.reason);
            format!("{} {} {refused} {reason:?}", granted.appointed, pending.len())
        }
        _ => String::new(),
    };
    format!(
        "{} {:?} {state} {} {site:?} {da:?} {email:?} {:?} {} {}",
        road.rules.targets.len(),
        r.state.name(),
        r.notices,
        r.selected,
        r.assessed,
        r.verified_email.is_some()
    )
}

fn transitions() -> BTreeSet<Transition> {
    let facts = facts();
    let mut found = BTreeSet::new();
    let mut known = BTreeSet::new();
    let mut first = Road::submitted();
    first.companies = vec![company("other", vec![da("chief", "other")])];
    let mut with_target = first.clone();
    with_target.rules = rules_with(1);
    let mut ahead = vec![first, with_target];
    while let Some(mut road) = ahead.pop() {
        if !known.insert(kind_of(&road)) {
            continue;
        }
        // Long enough for another mail, and not for the link to expire.
        road.after(Duration::hours(5));
        for event in events(&road) {
            let mut then = road.clone();
            if let (Event::TimeIsUp { .. }, Some(deadline)) = (&event, road.registration.deadline) {
                then.now = then.now.max(deadline);
            }
            for present in &facts {
                if let Decided::Decision(decision) = then.decide(&event, present) {
                    let to = decision.registration.state.name();
                    found.insert((road.state().as_str(), event.name(), to.as_str()));
                    ahead.push(Road {
                        registration: decision.registration,
                        ..then.clone()
                    });
                }
            }
        }
    }
    found
}

/// Whether it is an event of upstream about a registration.
fn is_upstream(event: &str) -> bool {
    event.starts_with("registration.") && UpstreamEvent::TYPES.contains(&event)
}

fn short(event: &str) -> &str {
    event.strip_prefix("registration.").unwrap_or(event)
}

fn table(page: &mut String, transitions: &BTreeSet<Transition>) {
    let in_use = |event: &&&str| StateName::ALL.iter().any(|&state| allowed(state).contains(event));
    let columns: Vec<_> = UpstreamEvent::TYPES.iter().filter(in_use).collect();
    page.push_str("| state |");
    for event in &columns {
        write!(page, " {} |", short(event)).expect("text");
    }
    page.push_str("\n| --- |");
    page.push_str(&" :-: |".repeat(columns.len()));
    for state in StateName::ALL {
        write!(
            page,
            "\n| `{}`{} |",
            state.as_str(),
            if state.is_final() { " (final)" } else { "" }
        )
        .expect("text");
        for event in &columns {
            let is_taken = transitions
                .iter()
                .any(|(from, taken, _)| *from == state.as_str() && taken == *event);
            page.push_str(match (allowed(state).contains(event), is_taken) {
                (true, _) => " ● |",
                (false, true) => " ○ |",
                (false, false) => " |",
            });
        }
    }
    page.push('\n');
}

fn diagram(page: &mut String, transitions: &BTreeSet<Transition>) {
    let mut labels: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    let order = |name: &str| {
        StateName::ALL
            .iter()
            .position(|state| state.as_str() == name)
            .expect("a state")
    };
    for (from, event, to) in transitions.iter().filter(|(_, _, to)| *to != "withdrawn") {
        labels.entry((order(from), order(to))).or_default().push(short(event));
    }
    page.push_str("```mermaid\nstateDiagram-v2\n    [*] --> verifying: submitted\n");
    for ((from, to), events) in &labels {
        let (from, to) = (StateName::ALL[*from].as_str(), StateName::ALL[*to].as_str());
        writeln!(page, "    {from} --> {to}: {}", events.join(", ")).expect("text");
    }
    let reached: BTreeSet<_> = labels.keys().map(|(_, to)| *to).collect();
    for to in reached.into_iter().filter(|to| StateName::ALL[*to].is_final()) {
        writeln!(page, "    {} --> [*]", StateName::ALL[to].as_str()).expect("text");
    }
    page.push_str("```\n");
}

#[test]
fn the_table_and_the_diagram_of_states_are_current() {
    let mut page = HEAD.to_owned();
    let transitions = transitions();
    table(&mut page, &transitions);
    page.push_str(AFTER_TABLE);
    diagram(&mut page, &transitions);
    is_current("states.md", &page);
}

#[test]
fn what_is_allowed_leads_somewhere_and_nothing_else_does() {
    let transitions = transitions();
    for state in StateName::ALL {
        let taken: BTreeSet<_> = transitions
            .iter()
            .filter(|(from, event, _)| *from == state.as_str() && is_upstream(event))
            .map(|(_, event, _)| *event)
            .collect();
        let reached = state == StateName::Verifying || transitions.iter().any(|(_, _, to)| *to == state.as_str());
        assert!(reached, "nothing leads to {state:?}");
        let mut listed: BTreeSet<_> = allowed(state).iter().copied().collect();
        match state {
            StateName::InReview => listed.insert("registration.da_decided"),
            StateName::Provisioning => listed.insert("registration.review_decided"),
            _ => false,
        };
        assert_eq!(taken, listed, "{state:?}");
    }
}
