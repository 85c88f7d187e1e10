//! The people of the demo: the portal, which adds events and reads views, and those who read mail and open links.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use mail_parser::MessageParser;
use serde_json::{Value, json};

use super::roads::Step;
use crate::{daemon::Daemon, queue::Redis};

/// How often somebody looks whether what they wait for is there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// They know the daemon only from outside.
pub(super) struct People {
    redis: Redis,
    http: reqwest::Client,
    base: String,
    mail_dir: PathBuf,
    sent: AtomicU32,
}

/// A mail as its reader sees it.
pub(super) struct Letter {
    pub(super) to: String,
    pub(super) subject: String,
    /// The registration that it is about.
    pub(super) registration: Option<String>,
    pub(super) text: String,
}

impl People {
    pub(super) fn new(daemon: &Daemon, mail_dir: PathBuf) -> anyhow::Result<Self> {
        // They only go to loopback: no proxy, and no need of the system's certificates, which may not be there.
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Self {
            redis: daemon.redis().clone(),
            http,
            base: format!("http://{}", daemon.http_address()),
            mail_dir,
            sent: AtomicU32::new(0),
        })
    }

    /// Takes one step, and waits for what it waits for.
    pub(super) async fn take(&self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Send { kind, subject, data } => self.send(kind, subject, data).await,
            Step::SendBroken(text) => self.add(text).await,
            Step::Await { subject, state } => self.wait_for_state(subject, state).await,
            Step::OpenLink { address, mail } => self.open_link(address, mail).await,
            Step::Mail { address, mail } => self.wait_for_mail(address, mail).await.map(drop),
            Step::Refused(number) => self.wait_for_refusals(*number).await,
        }
    }

    async fn send(&self, kind: &str, subject: &str, data: &Value) -> anyhow::Result<()> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let event = json!({
            "specversion": "1.0", "id": format!("demo-{number}"), "source": "/demo", "type": kind,
            "subject": subject, "data": data,
        });
        self.add(&event.to_string()).await
    }

    async fn add(&self, event: &str) -> anyhow::Result<()> {
        let command = redis::cmd("XADD")
            .arg("enrolld:intake")
            .arg("*")
            .arg("event")
            .arg(event)
            .to_owned();
        let _: String = self.redis.query(&command).await?;
        Ok(())
    }

    async fn wait_for_state(&self, subject: &str, state: &str) -> anyhow::Result<()> {
        let url = format!("{}/v1/registrations/{subject}", self.base);
        loop {
            let response = self.http.get(&url).send().await?;
            if response.status().is_success() {
                let view: Value = response.json().await?;
                if view["state"] == state {
                    return Ok(());
                }
                let is_elsewhere = ["active", "denied", "withdrawn", "in_review"]
                    .iter()
                    .any(|end| view["state"] == *end);
                if is_elsewhere {
                    bail!("it is {} instead", view["state"]);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// As a person would: `GET` shows the page, its button posts.
    async fn open_link(&self, address: &str, mail: &str) -> anyhow::Result<()> {
        let letter = self.wait_for_mail(address, mail).await?;
        let link = letter
            .text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("http") && line.contains("/verify/"))
            .context("the mail holds no link")?;
        // Errors do without the URL: it holds the token.
        let bare = reqwest::Error::without_url;
        let page = self
            .http
            .get(link)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        page.map_err(bare).context("the link's page")?;
        let pressed = self.http.post(link).form(&[("", ""); 0]).send().await;
        pressed
            .and_then(reqwest::Response::error_for_status)
            .map_err(bare)
            .context("the page's button")?;
        Ok(())
    }

    async fn wait_for_mail(&self, address: &str, mail: &str) -> anyhow::Result<Letter> {
        loop {
            let found = letters(&self.mail_dir)?
                .into_iter()
                .find(|letter| letter.to == address && letter.subject.starts_with(mail));
            if let Some(letter) = found {
                return Ok(letter);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn wait_for_refusals(&self, number: usize) -> anyhow::Result<()> {
        loop {
            let command = redis::cmd("XLEN").arg("enrolld:rejected").to_owned();
            let refused: usize = self.redis.query(&command).await?;
            if refused >= number {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The mails of `dir`, in the order in which they were sent.
pub(super) fn letters(dir: &Path) -> anyhow::Result<Vec<Letter>> {
    let Ok(files) = dir.read_dir() else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    let mut letters = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let Some(message) = MessageParser::default().parse(&bytes) else {
            bail!("{} is no mail", path.display());
        };
        let to = message
            .to()
            .and_then(|to| to.first())
            .and_then(|to| to.address.as_deref());
        letters.push(Letter {
            to: to.unwrap_or_default().to_owned(),
            subject: message.subject().unwrap_or_default().to_owned(),
            registration: message
                .header("X-Enrolld-Registration")
                .and_then(|header| header.as_text())
                .map(str::to_owned),
            text: message.body_text(0).unwrap_or_default().into_owned(),
        });
    }
    Ok(letters)
}
