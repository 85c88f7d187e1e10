//! The daemon's doors, as the portal, its users and their mailboxes see them: Redis, HTTP, mails.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{POLL, TestDaemon};
use crate::support::child::PATIENCE;
use crate::support::mail::Mail;
use crate::support::smtp::ReceivedMail;

/// Redis, seen from the portal's side.
impl TestDaemon {
    /// The Redis key of `name` (`intake`, `events`, `jobs:notification`).
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    pub(crate) async fn redis_connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.redis.url()).expect("the address is well-formed");
        client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis takes connections")
    }

    /// Adds a CloudEvent to the intake. Returns the entry's id.
    pub(crate) async fn send(&self, event: &Value) -> String {
        self.send_raw(event.to_string().as_bytes()).await
    }

    /// Adds any bytes in the field `event`.
    pub(crate) async fn send_raw(&self, event: &[u8]) -> String {
        self.send_fields(&[("event", event)]).await
    }

    /// Adds CloudEvents in one go, in this order.
    pub(crate) async fn send_all(&self, events: &[Value]) {
        let mut pipeline = redis::pipe();
        for event in events {
            pipeline.cmd("XADD").arg(self.key("intake")).arg("*");
            pipeline.arg("event").arg(event.to_string()).ignore();
        }
        let mut connection = self.redis_connection().await;
        let sent: redis::RedisResult<()> = pipeline.query_async(&mut connection).await;
        sent.expect("Redis takes the entries");
    }

    /// Adds an entry with any fields.
    pub(crate) async fn send_fields(&self, fields: &[(&str, &[u8])]) -> String {
        let mut command = redis::cmd("XADD");
        command.arg(self.key("intake")).arg("*");
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        let mut connection = self.redis_connection().await;
        command
            .query_async(&mut connection)
            .await
            .expect("Redis takes the entry")
    }

    /// The entries of `rejected` so far, oldest first, by field; `event` may hold any bytes.
    pub(crate) async fn rejected(&self) -> Vec<BTreeMap<String, Vec<u8>>> {
        let mut connection = self.redis_connection().await;
        let entries: Vec<(String, BTreeMap<String, Vec<u8>>)> = redis::cmd("XRANGE")
            .arg(self.key("rejected"))
            .arg("-")
            .arg("+")
            .query_async(&mut connection)
            .await
            .expect("Redis answers");
        entries.into_iter().map(|(_, fields)| fields).collect()
    }

    /// The entries of `rejected`, once there are `count` or more.
    pub(crate) async fn wait_rejected(&self, count: usize) -> Vec<BTreeMap<String, Vec<u8>>> {
        let start = Instant::now();
        loop {
            let rejected = self.rejected().await;
            if rejected.len() >= count {
                return rejected;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{} of {count} events were rejected",
                rejected.len()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// The CloudEvents of `events` so far, oldest first.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let mut connection = self.redis_connection().await;
        let entries: Vec<(String, BTreeMap<String, String>)> = redis::cmd("XRANGE")
            .arg(self.key("events"))
            .arg("-")
            .arg("+")
            .query_async(&mut connection)
            .await
            .expect("Redis answers");
        let parse = |fields: BTreeMap<String, String>| {
            let event = fields.get("event").expect("every entry has the field `event`");
            serde_json::from_str(event).expect("every event is JSON")
        };
        entries.into_iter().map(|(_, fields)| parse(fields)).collect()
    }
}

/// HTTP.
impl TestDaemon {
    /// A client that sends the API's token and follows no redirect.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.client
    }

    /// The address of a path of the daemon.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// The registration's view; `None` while the daemon does not know it.
    pub(crate) async fn find_view(&self, registration: &str) -> Option<Value> {
        let url = self.at(&format!("/v1/registrations/{registration}"));
        let answer = self.client.get(url).send().await.expect("the daemon answers");
        let status = answer.status();
        if status == reqwest::StatusCode::NOT_FOUND {
            return None;
        }
        let body = answer.text().await.expect("the answer has a body");
        assert!(status.is_success(), "the view of {registration}: {status}: {body}");
        Some(serde_json::from_str(&body).expect("a view is JSON"))
    }

    /// The registration's view, which must exist.
    pub(crate) async fn view(&self, registration: &str) -> Value {
        let view = self.find_view(registration).await;
        view.unwrap_or_else(|| panic!("the daemon does not know {registration}"))
    }

    /// The view, once the registration is in `state`. A panic shows where it is instead.
    pub(crate) async fn wait_state(&self, registration: &str, state: &str) -> Value {
        let in_state = |view: &Value| view["state"] == state;
        self.wait_view(registration, &format!("in state {state}"), in_state)
            .await
    }

    /// The view, once `holds`; `wanted` says what that is, for the message.
    pub(crate) async fn wait_view(&self, registration: &str, wanted: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.wait_view_for(PATIENCE, registration, wanted, holds).await
    }

    /// The same with a `patience` of its own.
    pub(crate) async fn wait_view_for(
        &self,
        patience: Duration,
        registration: &str,
        wanted: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let view = self.find_view(registration).await;
            if let Some(view) = view.as_ref().filter(|view| holds(view)) {
                return view.clone();
            }
            assert!(
                start.elapsed() < patience,
                "{registration} is not {wanted} after {patience:?}, but {:#}\nrejected: {:?}",
                view.unwrap_or_default(),
                self.rejected().await.iter().map(shown).collect::<Vec<_>>()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The link pages.
impl TestDaemon {
    /// Presses the button of the page that a mail's link leads to. Returns the answer's status and page.
    pub(crate) async fn press(&self, link_path: &str) -> (u16, String) {
        let answer = self
            .client
            .post(self.at(link_path))
            .send()
            .await
            .expect("the daemon answers");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("the answer has a body"))
    }
}

/// Mails.
impl TestDaemon {
    /// Every mail sent so far, in order.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        if let Some(smtp) = &self.smtp {
            let received = smtp.messages();
            let parse = |mail: &ReceivedMail| Mail::parse(&mail.raw).expect("a mail taken is whole");
            return received.iter().map(parse).collect();
        }
        let mut files: Vec<_> = fs::read_dir(self.path("mails"))
            .expect("the folder of mails exists")
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let is_mail = entry.path().extension().is_some_and(|extension| extension == "eml");
                let written = entry.metadata().ok()?.modified().ok()?;
                is_mail.then(|| (written, entry.path()))
            })
            .collect();
        files.sort();
        // A file still being written is not a mail yet, and one renamed meanwhile comes with the next look.
        files
            .iter()
            .filter_map(|(_, file)| Mail::parse(&fs::read(file).ok()?))
            .collect()
    }

    /// The first mail to `to` whose subject contains `subject`, once it was sent.
    pub(crate) async fn wait_mail(&self, subject: &str, to: &str) -> Mail {
        let mails = self.wait_mails(subject, to, 1).await;
        mails.into_iter().next().expect("one was waited for")
    }

    /// The mails of `kind` (contract, section 7) about a registration, once there are `count` or more.
    pub(crate) async fn wait_kind(&self, kind: &str, registration: &str, count: usize) -> Vec<Mail> {
        let wanted = |mail: &Mail| mail.is(kind) && mail.registration() == registration;
        self.wait_mails_where(&format!("{kind} about {registration}"), wanted, count)
            .await
    }

    /// The kinds of the mails about a registration so far, in order of their names.
    pub(crate) fn kinds_about(&self, registration: &str) -> Vec<String> {
        let mails = self.mails();
        let about = mails.iter().filter(|mail| mail.registration() == registration);
        let mut kinds: Vec<_> = about.map(|mail| mail.kind().to_owned()).collect();
        kinds.sort();
        kinds
    }

    /// All mails to `to` whose subject contains `subject`, once there are `count` or more.
    pub(crate) async fn wait_mails(&self, subject: &str, to: &str, count: usize) -> Vec<Mail> {
        let wanted = |mail: &Mail| mail.subject.contains(subject) && mail.to.iter().any(|address| address == to);
        self.wait_mails_where(&format!("\"{subject}\" to {to}"), wanted, count)
            .await
    }

    async fn wait_mails_where(&self, wanted: &str, holds: impl Fn(&Mail) -> bool, count: usize) -> Vec<Mail> {
        let start = Instant::now();
        loop {
            let (found, others): (Vec<_>, Vec<_>) = self.mails().into_iter().partition(&holds);
            if found.len() >= count {
                return found;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{} of {count} mails {wanted} came; others: {:?}",
                found.len(),
                others.iter().map(|mail| (&mail.subject, &mail.to)).collect::<Vec<_>>()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

fn shown(fields: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&str, String> {
    fields
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}
