//! Compares what was accepted with what has come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::roads::{Road, Roads, Walker};
use super::target::Target;
use crate::support::daemon::TestDaemon;
use crate::support::mail::Mail;

/// What the comparison has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    accepted: usize,
    registrations: usize,
    lost: Vec<String>,
    twice: Vec<String>,
    mails_twice: usize,
    told_twice: usize,
    longest_wait: Duration,
}

impl Found {
    pub(super) fn is_good(&self) -> bool {
        self.lost.is_empty() && self.twice.is_empty()
    }

    pub(super) const fn mails_twice(&self) -> usize {
        self.mails_twice
    }

    pub(super) fn details(&self) -> String {
        let all = self.lost.iter().map(|lost| format!("lost: {lost}"));
        let all = all.chain(self.twice.iter().map(|twice| format!("twice: {twice}")));
        all.take(50).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events of {} registrations accepted, {} lost, {} effects twice, {} mails twice, {} changes told twice, longest wait {:.1} s",
            self.accepted,
            self.registrations,
            self.lost.len(),
            self.twice.len(),
            self.mails_twice,
            self.told_twice,
            self.longest_wait.as_secs_f64()
        )
    }
}

/// The mails that a registration gets on its road.
fn mails_of(walker: &Walker) -> BTreeSet<&'static str> {
    match walker.road {
        Road::Founding | Road::Appointed => ["verification", "welcome", "customer_administrator", "da_terms"].into(),
        Road::Granted => ["access_approved"].into(),
        Road::Denied => ["access_denied"].into(),
        Road::Silent | Road::Rejected => ["rejected"].into(),
        Road::Withdrawn => BTreeSet::new(),
    }
}

/// How many mails of a kind there may be that are not sent any more once the registration has moved on, which may be before their
/// turn (D23).
fn at_the_time(road: Road, kind: &str) -> usize {
    match (road, kind) {
        // A case is one again after the answer.
        (Road::Appointed, "review_case") => 2,
        (Road::Appointed, "question")
        | (Road::Rejected | Road::Silent, "review_case")
        | (Road::Granted | Road::Denied | Road::Silent, "access_request")
        | (Road::Silent, "with_agent") => 1,
        _ => 0,
    }
}

const fn grants_of(walker: &Walker) -> usize {
    match walker.road {
        Road::Founding | Road::Appointed => 2,
        Road::Granted => 1,
        Road::Denied | Road::Silent | Road::Rejected | Road::Withdrawn => 0,
    }
}

pub(super) async fn compare(daemon: &TestDaemon, roads: &mut Roads, target: &Target, patience: Duration) -> Found {
    let mut found = Found {
        accepted: roads.accepted,
        registrations: roads.walkers.len(),
        longest_wait: roads.longest_wait,
        ..Found::default()
    };
    settle(daemon, patience).await;
    // What was told last.
    roads.go_on(daemon).await;
    let roads = &*roads;
    for (rows, what) in [
        ("inbox WHERE state = 'waiting'", "events that wait"),
        ("refused", "refused events"),
        ("notices", "changes that were not announced"),
        ("jobs WHERE state = 'dead'", "dead jobs"),
        (
            "jobs WHERE state IN ('queued', 'running', 'retrying')",
            "jobs that are not done",
        ),
        ("syncs WHERE phase <> 'present'", "access that is not there"),
    ] {
        let count = daemon.count(rows).await;
        if count > 0 {
            found.lost.push(format!("{count} {what}"));
        }
    }
    compare_rows(daemon, roads, target, &mut found).await;
    compare_mails(daemon, roads, &mut found);
    compare_told(daemon, roads, &mut found).await;
    found
}

/// Changes are told at least once, and in order of version (contract, section 2).
async fn compare_told(daemon: &TestDaemon, roads: &Roads, found: &mut Found) {
    for row in daemon.rows("SELECT id, version FROM registrations").await {
        let id = row["id"].as_str().unwrap_or_default();
        match roads.out.repeated(id, row["version"].as_u64().unwrap_or_default()) {
            Ok(repeated) => found.told_twice += repeated,
            Err(untold) => found.lost.push(untold),
        }
    }
}

/// The last mails and notices may still be on their way.
async fn settle(daemon: &TestDaemon, patience: Duration) {
    let start = Instant::now();
    let open = "jobs WHERE state IN ('queued', 'running', 'retrying')";
    while start.elapsed() < patience && (daemon.count(open).await > 0 || daemon.count("notices").await > 0) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn compare_rows(daemon: &TestDaemon, roads: &Roads, target: &Target, found: &mut Found) {
    let mut appointments: BTreeMap<String, usize> = BTreeMap::new();
    for row in daemon.rows("SELECT registration_id FROM appointments").await {
        let id = row["registration_id"].as_str().unwrap_or_default().to_owned();
        *appointments.entry(id).or_default() += 1;
    }
    let mut grants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in daemon.rows("SELECT id, registration_id FROM grants").await {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        grants.entry(text("registration_id")).or_default().push(text("id"));
    }
    let put = target.grants();
    for walker in &roads.walkers {
        let id = walker.id();
        let mut expect = |what: &str, is: usize, wanted: usize| match is.cmp(&wanted) {
            std::cmp::Ordering::Less => found.lost.push(format!("{id}: {is} of {wanted} {what}")),
            std::cmp::Ordering::Greater => found.twice.push(format!("{id}: {is} instead of {wanted} {what}")),
            std::cmp::Ordering::Equal => {}
        };
        let appointed = usize::from(matches!(walker.road, Road::Founding | Road::Appointed));
        expect("appointments", appointments.get(&id).copied().unwrap_or(0), appointed);
        let theirs = grants.remove(&id).unwrap_or_default();
        expect("grants", theirs.len(), grants_of(walker));
        for grant in theirs {
            expect(
                "keys of a grant at the target",
                put.get(&grant).map_or(0, BTreeSet::len),
                1,
            );
        }
    }
    let known = daemon.count("grants").await;
    if put.len() != known {
        found
            .twice
            .push(format!("the target has {} grants, and {known} were made", put.len()));
    }
    let gaps = "(SELECT registration_id FROM timeline GROUP BY registration_id HAVING COUNT(*) <> MAX(version)) AS g";
    let gaps = daemon.count(gaps).await;
    if gaps > 0 {
        found.lost.push(format!("{gaps} timelines have gaps"));
    }
}

/// Each mail has one Message-ID; the same one twice is what SMTP leaves open, another one is not.
fn compare_mails(daemon: &TestDaemon, roads: &Roads, found: &mut Found) {
    let mut mails: BTreeMap<(String, String), BTreeMap<String, usize>> = BTreeMap::new();
    for message in daemon.smtp.as_ref().expect("the builder was told so").messages() {
        let mail = Mail::parse(&message.raw).expect("a mail taken is whole");
        let id = mail.header("Message-ID").unwrap_or_default().to_owned();
        let of = (mail.registration().to_owned(), mail.kind().to_owned());
        *mails.entry(of).or_default().entry(id).or_default() += 1;
    }
    for walker in &roads.walkers {
        let id = walker.id();
        for kind in mails_of(walker) {
            match mails.remove(&(id.clone(), kind.to_owned())) {
                None => found.lost.push(format!("{id}: {kind}")),
                Some(ids) => {
                    if ids.len() > 1 {
                        found.twice.push(format!("{id}: {} different {kind}", ids.len()));
                    }
                    found.mails_twice += ids.values().map(|count| count - 1).sum::<usize>();
                }
            }
        }
    }
    let roads: BTreeMap<_, _> = roads.walkers.iter().map(|walker| (walker.id(), walker.road)).collect();
    for ((id, kind), ids) in mails {
        if ids.len() > roads.get(&id).map_or(0, |road| at_the_time(*road, &kind)) {
            found.twice.push(format!("{id}: {} different {kind}", ids.len()));
        }
        found.mails_twice += ids.values().map(|count| count - 1).sum::<usize>();
    }
}
