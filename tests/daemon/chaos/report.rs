//! Compares what was accepted with what has come of it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::roads::Roads;
use super::target::Target;
use super::walker::{Road, Walker};
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

/// Whose applicant has become DA here.
type Appointed = BTreeMap<String, usize>;

/// Whether the road's applicant is to be DA at its end; of two rivals whoever was first is.
fn is_appointed(walker: &Walker, appointed: &Appointed) -> bool {
    match walker.road {
        Road::Founding | Road::Appointed => true,
        Road::Rival => appointed.contains_key(&walker.id()),
        _ => false,
    }
}

/// The mails that a registration gets on its road.
fn mails_of(walker: &Walker, appointed: &Appointed) -> BTreeSet<&'static str> {
    let mut mails: BTreeSet<_> = match walker.road {
        _ if is_appointed(walker, appointed) => {
            ["verification", "welcome", "customer_administrator", "da_terms"].into()
        }
        Road::Founding
        | Road::Appointed
        | Road::Rival
        | Road::Granted
        | Road::Delegated
        | Road::Passed
        | Road::Bounced => ["access_approved"].into(),
        Road::Denied => ["access_denied"].into(),
        Road::Silent | Road::Rejected => ["rejected"].into(),
        Road::Unanswered => ["expired"].into(),
        Road::Withdrawn => BTreeSet::new(),
    };
    if walker.has_decided_by_link {
        mails.insert("decision_receipt");
    }
    mails
}

/// How many mails of a kind there may be beside those: they are not sent any more once the registration has moved on, which may be before
/// their turn (D23); and servers may be away until a DA has not answered in time.
fn at_the_time(road: Road, kind: &str) -> usize {
    let administrators = road.administrators();
    let waits_for_da = road == Road::Rival || administrators > 0 && road != Road::Withdrawn;
    match kind {
        "access_request" if waits_for_da => administrators.max(1),
        "access_request_notice" if administrators > 1 => 1,
        "with_agent" if waits_for_da => 1,
        "verification" | "rerouted" if matches!(road, Road::Rival) => 1,
        "question" if matches!(road, Road::Appointed | Road::Unanswered) => 1,
        // A case is one again after the answer.
        "review_case" if matches!(road, Road::Appointed) => 2,
        "review_case" if waits_for_da || matches!(road, Road::Rejected | Road::Unanswered) => 1,
        _ => 0,
    }
}

fn grants_of(walker: &Walker, appointed: &Appointed) -> usize {
    match walker.road {
        _ if is_appointed(walker, appointed) => 2,
        Road::Founding
        | Road::Appointed
        | Road::Rival
        | Road::Granted
        | Road::Delegated
        | Road::Passed
        | Road::Bounced => 1,
        Road::Denied | Road::Silent | Road::Unanswered | Road::Rejected | Road::Withdrawn => 0,
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
        (
            "syncs WHERE phase NOT IN ('present', 'absent')",
            "calls of the target that are not done",
        ),
    ] {
        let count = daemon.count(rows).await;
        if count > 0 {
            found.lost.push(format!("{count} {what}"));
        }
    }
    let mut appointed = Appointed::new();
    for row in daemon.rows("SELECT registration_id FROM appointments").await {
        *appointed.entry(text(&row, "registration_id")).or_default() += 1;
    }
    compare_rows(daemon, roads, &appointed, target, &mut found).await;
    compare_delegations(daemon, roads, target, &mut found).await;
    compare_mails(daemon, roads, &appointed, &mut found);
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

/// What the database has of some that have not come to their end, for a message.
pub(super) async fn of_open(daemon: &TestDaemon, roads: &Roads) -> String {
    let mut told = Vec::new();
    for walker in roads.walkers.iter().filter(|walker| !walker.is_done()).take(3) {
        let (id, account) = (walker.id(), walker.account());
        told.push(format!("{walker:?}"));
        for sql in [
            format!("SELECT data FROM registrations WHERE id = '{id}'"),
            format!(
                "SELECT version, at_ms, event, actor, detail FROM timeline WHERE registration_id = '{id}' ORDER BY version"
            ),
            format!(
                "SELECT kind, state, run_no, run_at_ms, error_class, error, note FROM jobs WHERE registration_id = '{id}'"
            ),
            format!(
                "SELECT seq, entry, type, body, state, received_ms, done_ms FROM inbox WHERE subject IN ('{id}', '{account}') ORDER BY seq"
            ),
            format!("SELECT type, reason, detail, refused_ms FROM refused WHERE subject IN ('{id}', '{account}')"),
        ] {
            let rows = daemon.rows(&sql).await;
            told.extend(rows.iter().map(ToString::to_string));
        }
    }
    told.join("\n")
}

/// The last mails and notices may still be on their way.
async fn settle(daemon: &TestDaemon, patience: Duration) {
    let start = Instant::now();
    let open = "jobs WHERE state IN ('queued', 'running', 'retrying')";
    while start.elapsed() < patience && (daemon.count(open).await > 0 || daemon.count("notices").await > 0) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Found {
    fn expect(&mut self, who: &str, what: &str, is: usize, wanted: usize) {
        match is.cmp(&wanted) {
            Ordering::Less => self.lost.push(format!("{who}: {is} of {wanted} {what}")),
            Ordering::Greater => self.twice.push(format!("{who}: {is} instead of {wanted} {what}")),
            Ordering::Equal => {}
        }
    }
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

async fn compare_rows(daemon: &TestDaemon, roads: &Roads, appointed: &Appointed, target: &Target, found: &mut Found) {
    let mut grants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in daemon
        .rows("SELECT id, registration_id FROM grants WHERE registration_id IS NOT NULL")
        .await
    {
        grants
            .entry(text(&row, "registration_id"))
            .or_default()
            .push(text(&row, "id"));
    }
    let put = target.grants();
    for walker in &roads.walkers {
        let id = walker.id();
        let wanted = usize::from(is_appointed(walker, appointed));
        found.expect(&id, "appointments", appointed.get(&id).copied().unwrap_or(0), wanted);
        let theirs = grants.remove(&id).unwrap_or_default();
        found.expect(&id, "grants", theirs.len(), grants_of(walker, appointed));
        for grant in theirs {
            let keys = put.get(&grant).map_or(0, BTreeSet::len);
            found.expect(&id, "keys of a grant at the target", keys, 1);
        }
    }
    // D5: of two rivals one is DA.
    let mut rivals: BTreeMap<usize, usize> = BTreeMap::new();
    for walker in roads.walkers.iter().filter(|walker| walker.road == Road::Rival) {
        *rivals.entry(walker.number).or_default() += appointed.get(&walker.id()).copied().unwrap_or(0);
    }
    for (company, appointed) in rivals {
        found.expect(&format!("company {company}"), "DAs of two rivals", appointed, 1);
    }
    let known = daemon.count("grants WHERE ended_ms IS NULL").await;
    found.expect("the target", "grants", put.len(), known);
    let gaps = "(SELECT registration_id FROM timeline GROUP BY registration_id HAVING COUNT(*) <> MAX(version)) AS g";
    let gaps = daemon.count(gaps).await;
    if gaps > 0 {
        found.lost.push(format!("{gaps} timelines have gaps"));
    }
}

/// What a DA has given is there, and what they have taken back is not.
async fn compare_delegations(daemon: &TestDaemon, roads: &Roads, target: &Target, found: &mut Found) {
    let delegated: Vec<_> = roads.walkers.iter().filter(|w| w.road == Road::Delegated).collect();
    let mut recorded: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in daemon
        .rows("SELECT account_id, event FROM delegations ORDER BY at_ms")
        .await
    {
        recorded
            .entry(text(&row, "account_id"))
            .or_default()
            .push(text(&row, "event"));
    }
    let mut ended: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in daemon
        .rows("SELECT id, account_id FROM grants WHERE registration_id IS NULL AND ended_ms IS NOT NULL")
        .await
    {
        ended
            .entry(text(&row, "account_id"))
            .or_default()
            .push(text(&row, "id"));
    }
    let put = target.grants();
    for walker in delegated {
        let account = walker.account();
        let events = recorded.remove(&account).unwrap_or_default();
        if events != ["delegation.role_assigned", "delegation.role_removed"] {
            found.lost.push(format!("{account}: recorded were {events:?}"));
        }
        let theirs = ended.remove(&account).unwrap_or_default();
        found.expect(&account, "roles taken back", theirs.len(), 1);
        let still = theirs.iter().filter(|grant| put.contains_key(*grant)).count();
        found.expect(&account, "roles at the target that were taken back", still, 0);
    }
    found.expect("all accounts", "delegations of others", recorded.len(), 0);
    let open = "grants WHERE registration_id IS NULL AND ended_ms IS NULL";
    found.expect(
        "all accounts",
        "roles that were taken back",
        daemon.count(open).await,
        0,
    );
}

/// Each mail has one Message-ID; the same one twice is what SMTP leaves open, another one is not.
fn compare_mails(daemon: &TestDaemon, roads: &Roads, appointed: &Appointed, found: &mut Found) {
    let mut mails: BTreeMap<(String, String), BTreeMap<String, usize>> = BTreeMap::new();
    for message in daemon.smtp.as_ref().expect("the builder was told so").messages() {
        let mail = Mail::parse(&message.raw).expect("a mail taken is whole");
        let id = mail.header("Message-ID").unwrap_or_default().to_owned();
        // What a DA does with somebody's access belongs to no registration.
        let about = match mail.registration() {
            "" => mail.to.concat(),
            registration => registration.to_owned(),
        };
        let of = (about, mail.kind().to_owned());
        *mails.entry(of).or_default().entry(id).or_default() += 1;
    }
    let mut take = |who: &str, kind: &str, wanted: usize| {
        let ids = mails.remove(&(who.to_owned(), kind.to_owned())).unwrap_or_default();
        found.expect(who, &format!("different {kind}"), ids.len(), wanted);
        found.mails_twice += ids.values().map(|count| count - 1).sum::<usize>();
    };
    for walker in &roads.walkers {
        for kind in mails_of(walker, appointed) {
            take(&walker.id(), kind, 1);
        }
        if walker.road == Road::Delegated {
            take(&walker.address(), "delegation_changed", 2);
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
