//! What upstream and people do: each registration is led along its road, one event at a time, each sent until Redis has taken it, and
//! never again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sea_orm::{
    ConnectOptions, Database as Orm, DatabaseConnection, DbBackend, FromQueryResult as _, JsonValue, Statement,
};
use serde_json::Value;

use super::events_out::EventsOut;
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::events;
use crate::support::mail::Mail;

/// How long a question to a server may take; it may be dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Where a registration's road is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    /// Its applicant becomes DA.
    Founding,
    /// A DA grants.
    Granted,
    /// A DA denies.
    Denied,
    /// A DA does not answer, and an agent rejects.
    Silent,
    /// None of the organizations is theirs: an agent asks, and appoints them.
    Appointed,
    /// None of the organizations is theirs: an agent rejects.
    Rejected,
    /// Its applicant withdraws.
    Withdrawn,
}

/// Which roads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Map {
    /// All of them.
    Whole,
    /// All but those on which time has to pass.
    Quick,
}

impl Map {
    fn road(self, n: usize) -> Road {
        match n % 10 {
            0 | 1 => Road::Founding,
            4 => Road::Denied,
            5 => Road::Appointed,
            6 => Road::Rejected,
            7 => Road::Withdrawn,
            8 if self == Self::Whole => Road::Silent,
            // 2, 3, 9, and 8 on the quick map.
            _ => Road::Granted,
        }
    }
}

/// For how long a DA may be silent: longer than an answer takes through any outage.
pub(super) const SILENT_FOR: &str = "90s";

/// One registration.
#[derive(Debug)]
pub(super) struct Walker {
    pub(super) number: usize,
    pub(super) road: Road,
    /// The event that its state asks for next, until Redis has taken it.
    next: Option<Value>,
    /// The turns whose event Redis has taken.
    answered: Vec<String>,
    pub(super) state: String,
    /// When Redis took the last event, or the state changed.
    moved: Instant,
}

impl Walker {
    pub(super) fn id(&self) -> String {
        format!("reg-{}", self.number)
    }

    pub(super) fn end(&self) -> &'static str {
        match self.road {
            Road::Founding | Road::Granted | Road::Appointed => "active",
            Road::Denied => "denied",
            Road::Silent | Road::Rejected => "rejected",
            Road::Withdrawn => "withdrawn",
        }
    }

    /// A state, and how often it was come to by an answer: with an agent a registration may be twice.
    fn turn(&self) -> String {
        if self.state == "in_review" && self.has_answered("awaiting_information") {
            return "in_review, again".to_owned();
        }
        self.state.clone()
    }

    fn has_answered(&self, turn: &str) -> bool {
        self.answered.iter().any(|answered| answered == turn)
    }

    fn is_done(&self) -> bool {
        self.state == self.end()
    }

    /// What its state asks for; `None` if it is somebody else's turn.
    fn event(&self, token: Option<&String>) -> Option<Value> {
        let id = self.id();
        let n = self.number;
        let da = format!("c{n}-da");
        Some(match (self.state.as_str(), self.road) {
            ("needs_correction", _) => events::resubmitted(&id, &format!("5{n}"), &format!("DEV{n}")),
            ("awaiting_organization", Road::Appointed | Road::Rejected) => events::organization_selected(&id, None),
            ("awaiting_organization", _) => events::organization_selected(&id, Some(&format!("c{n}"))),
            ("awaiting_email", _) => events::email_verified(&id, token?),
            ("awaiting_confirmation", Road::Withdrawn) => events::withdrawn(&id),
            ("awaiting_confirmation", _) => events::confirmed(&id),
            ("in_review", Road::Appointed) if !self.has_answered("awaiting_information") => {
                events::asked(&id, "Where?")
            }
            ("in_review", Road::Appointed) => events::appointed(&id, &format!("c{n}")),
            ("in_review", Road::Silent | Road::Rejected) => events::rejected(&id, "not one of ours"),
            ("awaiting_information", _) => events::information_provided(&id, "here"),
            ("awaiting_da", Road::Silent) => return None,
            ("awaiting_da", Road::Denied) => events::da_denied(&id, &da, "not one of ours"),
            ("awaiting_da", _) => events::da_granted(&id, &da, "customer_user"),
            _ => return None,
        })
    }
}

/// All registrations, and upstream's connections.
pub(super) struct Roads {
    pub(super) walkers: Vec<Walker>,
    most: usize,
    map: Map,
    pub(super) out: EventsOut,
    intake: String,
    redis_url: String,
    database_url: String,
    redis: Option<redis::aio::MultiplexedConnection>,
    database: Option<DatabaseConnection>,
    tokens: BTreeMap<String, String>,
    mails_read: usize,
    pub(super) accepted: usize,
    pub(super) longest_wait: Duration,
}

/// Companies for so many registrations, one each; where a DA is to decide there is one.
pub(super) fn directory(most: usize, map: Map) -> Value {
    let mut directory = companies(most, 1, true);
    let has_da = |administrator: &Value| {
        let of = administrator["organization_id"].as_str().unwrap_or_default();
        let founds = |n| matches!(map.road(n), Road::Founding | Road::Appointed | Road::Rejected);
        of[1..].parse().is_ok_and(|n| !founds(n))
    };
    if let Some(administrators) = directory["administrators"].as_array_mut() {
        administrators.retain(has_da);
    }
    directory
}

impl Roads {
    pub(super) fn new(daemon: &TestDaemon, most: usize, map: Map) -> Self {
        Self {
            walkers: Vec::new(),
            most,
            map,
            out: EventsOut::new(daemon.key("events")),
            intake: daemon.key("intake"),
            redis_url: daemon.redis.url(),
            database_url: daemon.database.url(),
            redis: None,
            database: None,
            tokens: BTreeMap::new(),
            mails_read: 0,
            accepted: 0,
            longest_wait: Duration::ZERO,
        }
    }

    /// Has so many begun by now.
    pub(super) fn begin(&mut self, wanted: usize) {
        while self.walkers.len() < wanted && self.walkers.len() < self.most {
            let number = self.walkers.len();
            let mut submitted = submitted_at(&format!("reg-{number}"), number, "a");
            // Wrong at first.
            if number % 7 == 3 {
                submitted["data"]["serial_number"] = "NOT-COVERED".into();
            }
            self.walkers.push(Walker {
                number,
                road: self.map.road(number),
                next: Some(submitted),
                answered: Vec::new(),
                state: String::new(),
                moved: Instant::now(),
            });
        }
    }

    pub(super) fn are_done(&self) -> bool {
        self.walkers.iter().all(Walker::is_done)
    }

    /// Those that have not come to their end, for a message.
    pub(super) fn open(&self) -> String {
        let open: Vec<_> = self.walkers.iter().filter(|walker| !walker.is_done()).collect();
        let told = open
            .iter()
            .take(20)
            .map(|walker| format!("{} ({})", walker.id(), walker.state));
        format!("{} registrations: {}", open.len(), told.collect::<Vec<_>>().join(", "))
    }

    /// Looks at where they stand, and sends what comes next.
    pub(super) async fn go_on(&mut self, daemon: &TestDaemon) {
        self.read_mails(daemon);
        self.look().await;
        self.send().await;
    }

    fn read_mails(&mut self, daemon: &TestDaemon) {
        let messages = daemon.smtp.as_ref().expect("the builder was told so").messages();
        for message in &messages[self.mails_read..] {
            let mail = Mail::parse(&message.raw).expect("a mail taken is whole");
            if let (true, Some(token)) = (mail.is("verification"), mail.token()) {
                self.tokens.insert(mail.registration().to_owned(), token.to_owned());
            }
        }
        self.mails_read = messages.len();
    }

    async fn look(&mut self) {
        let Ok(states) = tokio::time::timeout(ANSWER_WITHIN, self.states()).await else {
            self.database = None;
            return;
        };
        let Some(states) = states else { return };
        for walker in &mut self.walkers {
            let id = format!("reg-{}", walker.number);
            let Some(state) = states.get(&id) else { continue };
            if walker.state != *state {
                // A DA who is silent is waited for, as it should be.
                if !(walker.road == Road::Silent && walker.state == "awaiting_da") {
                    self.longest_wait = self.longest_wait.max(walker.moved.elapsed());
                }
                walker.state.clone_from(state);
                walker.moved = Instant::now();
            }
            if walker.next.is_none() && !walker.has_answered(&walker.turn()) {
                walker.next = walker.event(self.tokens.get(&id));
            }
        }
    }

    /// The state of each registration that is not at its end; `None` while the database is away.
    async fn states(&mut self) -> Option<BTreeMap<String, String>> {
        if self.database.is_none() {
            let mut options = ConnectOptions::new(&self.database_url);
            options
                .max_connections(1)
                .connect_timeout(ANSWER_WITHIN)
                .sqlx_logging(false);
            self.database = Orm::connect(options).await.ok();
        }
        let sql = "SELECT id, state FROM registrations";
        let ask = JsonValue::find_by_statement(Statement::from_string(DbBackend::Postgres, sql));
        let Ok(rows) = ask.all(self.database.as_ref()?).await else {
            self.database = None;
            return None;
        };
        let text = |row: &JsonValue, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        Some(rows.iter().map(|row| (text(row, "id"), text(row, "state"))).collect())
    }

    /// Sends each event until Redis says that it has it: only then it counts as accepted.
    async fn send(&mut self) {
        if self.redis.is_none() {
            let client = redis::Client::open(self.redis_url.as_str()).expect("the address is well-formed");
            let connect = client.get_multiplexed_async_connection();
            self.redis = tokio::time::timeout(ANSWER_WITHIN, connect)
                .await
                .ok()
                .and_then(Result::ok);
        }
        let Some(connection) = &mut self.redis else { return };
        let read = tokio::time::timeout(ANSWER_WITHIN, self.out.read(connection)).await;
        if !matches!(read, Ok(Ok(()))) {
            self.redis = None;
            return;
        }
        for walker in &mut self.walkers {
            let Some(event) = &walker.next else { continue };
            let mut add = redis::cmd("XADD");
            add.arg(&self.intake).arg("*").arg("event").arg(event.to_string());
            let added = tokio::time::timeout(ANSWER_WITHIN, add.query_async::<String>(connection)).await;
            if !matches!(added, Ok(Ok(_))) {
                // It may have been taken all the same: the same event is sent again, and counts once.
                self.redis = None;
                return;
            }
            self.accepted += 1;
            walker.next = None;
            walker.answered.push(walker.turn());
            walker.moved = Instant::now();
        }
    }

    /// Waits until all that Redis has taken is in the database: what is lost before lies outside of the promise.
    pub(super) async fn wait_taken_in(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            let client = redis::Client::open(self.redis_url.as_str()).expect("the address is well-formed");
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                let length = redis::cmd("XLEN")
                    .arg(&self.intake)
                    .query_async::<u64>(&mut connection)
                    .await;
                if length.is_ok_and(|length| length == 0) {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Empties Redis, once what it tells upstream has been read.
    pub(super) async fn flush(&mut self) {
        let client = redis::Client::open(self.redis_url.as_str()).expect("the address is well-formed");
        if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
            let flushed = self.out.read_and_flush(&mut connection).await;
            flushed.expect("Redis is well when it is emptied");
        }
    }
}
