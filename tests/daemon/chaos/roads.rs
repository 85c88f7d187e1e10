//! All registrations, and those who lead them on: upstream adds events until Redis says that it has them, people press the buttons of link
//! pages until they are answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sea_orm::{
    ConnectOptions, Database as Orm, DatabaseConnection, DbBackend, FromQueryResult as _, JsonValue, Statement,
};
use serde_json::{Value, json};

use super::events_out::EventsOut;
use super::walker::{self, Post, Road, Step, Walker};
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::mail::Mail;

/// How long a question to a server may take; it may be dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// For how long a DA is waited for. In an outage it is over for those, too, who would have answered.
const DA_TIMEOUT: &str = "8s";

/// All registrations, and upstream's connections.
pub(super) struct Roads {
    pub(super) walkers: Vec<Walker>,
    /// Companies that have begun.
    begun: usize,
    most: usize,
    pub(super) out: EventsOut,
    intake: String,
    redis_url: String,
    database_url: String,
    redis: Option<redis::aio::MultiplexedConnection>,
    database: Option<DatabaseConnection>,
    post: Post,
    mails_read: usize,
    pub(super) accepted: usize,
    pub(super) longest_wait: Duration,
}

/// What a daemon needs for the roads of `most` companies, of which one has an answer awaited for as long as `answer_within`.
pub(super) fn settings(builder: Builder, most: usize, answer_within: &str) -> Builder {
    builder
        .directory(&directory(most))
        .setting("provisioning.poll", "200ms")
        .setting("review.mailbox", "agents@vendor.example")
        .setting("review.answer_within", answer_within)
        .setting("da_response.timeout", DA_TIMEOUT)
        .setting("da_response.reminders", toml::Value::Array(vec![]))
        .setting("da_response.recheck", "1s")
}

/// So many companies, each with two people, and with as many DAs as its road takes.
fn directory(most: usize) -> Value {
    let mut directory = companies(most, 2, true);
    let mut appointed = Vec::new();
    for n in 0..most {
        for name in ["da", "da2"].iter().take(Road::of(n).administrators()) {
            appointed.push(json!({"account_id": format!("c{n}-{name}"), "organization_id": format!("c{n}")}));
        }
        let second = json!({"id": format!("c{n}-da2"), "name": format!("da2 of c{n}"), "email": format!("da2@c{n}.example"),
            "status": "active", "locale": "en", "flagged": false, "contracts": []});
        directory["accounts"].as_array_mut().expect("a list").push(second);
    }
    directory["administrators"] = appointed.into();
    directory
}

impl Roads {
    pub(super) fn new(daemon: &TestDaemon, most: usize) -> Self {
        Self {
            walkers: Vec::new(),
            begun: 0,
            most,
            out: EventsOut::new(daemon.key("events")),
            intake: daemon.key("intake"),
            redis_url: daemon.redis.url(),
            database_url: daemon.database.url(),
            redis: None,
            database: None,
            post: Post::default(),
            mails_read: 0,
            accepted: 0,
            longest_wait: Duration::ZERO,
        }
    }

    /// Has so many companies begun by now.
    pub(super) fn begin(&mut self, wanted: usize) {
        while self.begun < wanted.min(self.most) {
            let number = self.begun;
            let applicants: &[_] = if Road::of(number) == Road::Rival {
                &["a", "b"]
            } else {
                &["a"]
            };
            for applicant in applicants {
                let mut submitted = submitted_at(&walker::id(number, applicant), number, applicant);
                // Wrong at first.
                if number % 7 == 3 {
                    submitted["data"]["serial_number"] = "NOT-COVERED".into();
                }
                self.walkers.push(Walker::new(number, applicant, submitted));
            }
            self.begun += 1;
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
        self.press(daemon).await;
        self.send().await;
    }

    fn read_mails(&mut self, daemon: &TestDaemon) {
        let messages = daemon.smtp.as_ref().expect("the builder was told so").messages();
        for message in &messages[self.mails_read..] {
            self.post
                .take(&Mail::parse(&message.raw).expect("a mail taken is whole"));
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
            if let Some(waited) = states
                .get(&walker.id())
                .and_then(|state| walker.stands(state, &self.post))
            {
                self.longest_wait = self.longest_wait.max(waited);
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

    /// Presses each button until the page says that it is done; that the answer is lost changes nothing.
    async fn press(&mut self, daemon: &TestDaemon) {
        for walker in &mut self.walkers {
            let Some(Step::Press { path, fields }) = &walker.next else {
                continue;
            };
            let page = daemon.http().post(daemon.at(path)).form(fields).timeout(ANSWER_WITHIN);
            let Ok(answer) = page.send().await else { return };
            match answer.status().as_u16() {
                // A second click is told that it is done already.
                200 | 410 => {
                    self.accepted += 1;
                    walker.accepted();
                }
                429 | 503 => return,
                other => panic!("{}: the page answers {other}", walker.id()),
            }
        }
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
            let Some(Step::Event(event)) = &walker.next else {
                continue;
            };
            let mut add = redis::cmd("XADD");
            add.arg(&self.intake).arg("*").arg("event").arg(event.to_string());
            let added = tokio::time::timeout(ANSWER_WITHIN, add.query_async::<String>(connection)).await;
            if !matches!(added, Ok(Ok(_))) {
                // It may have been taken all the same: the same event is sent again, and counts once.
                self.redis = None;
                return;
            }
            self.accepted += 1;
            walker.accepted();
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
