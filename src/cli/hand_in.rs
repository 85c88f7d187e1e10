//! Events that commands add to the intake for a registration, as upstream would; and what comes of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use enrolld_jobs::{
    cloud_event, decide::allowed_in, registration::Registration, values::RegistrationId, view::RegistrationView,
};
use serde_json::{Map, Value, json};

use super::{
    intake,
    output::{self, Format},
    refusals,
};
use crate::{
    environment::{Environment as _, System},
    intake::replay::put_back,
    settings::Settings,
    store::Store,
};

/// The source of events that come from commands.
const SOURCE: &str = "/enrolld/command";

/// How often it is asked what has come of an event.
const POLL: Duration = Duration::from_millis(100);

/// Options of commands that hand in an event.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Wait {
    /// How long to wait for what comes of it
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Only hand it in, and print the id of its entry in the intake
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

/// An event about a registration.
#[derive(Debug)]
pub(super) struct HandIn<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: &'a Store,
    pub(super) kind: &'static str,
    pub(super) data: Value,
}

/// The registration, if it is there and takes an event of this `kind` now.
///
/// What has changed by the time that the event is applied is decided then: this is for a quick answer.
pub(super) async fn open(store: &Store, id: &RegistrationId, kind: &str) -> anyhow::Result<Registration> {
    let found = store.registration(id).await?;
    let registration = found.ok_or_else(|| unknown(id.as_str()))?;
    let allowed = allowed_in(&registration.state);
    if allowed.contains(&kind) {
        return Ok(registration);
    }
    let state = registration.state.name().as_str();
    if allowed.is_empty() {
        bail!("registration {id} is {state}: nothing is possible now");
    }
    bail!("registration {id} is {state}: possible are now {}", allowed.join(", "))
}

/// What is said of an id that no registration has.
pub(super) fn unknown(id: &str) -> anyhow::Error {
    anyhow!("no registration has the id {id:?}; `enrolld registrations list` shows those there are")
}

impl HandIn<'_> {
    /// Adds the event to the intake, waits for what comes of it, and writes that.
    pub(super) async fn run(self, id: &RegistrationId, wait: Wait, form: Format) -> anyhow::Result<()> {
        let event_id = System.random_id().to_string();
        let event = json!({
            "specversion": "1.0",
            "id": event_id,
            "source": SOURCE,
            "type": self.kind,
            "subject": id,
            "time": System.now(),
            "data": self.data,
        })
        .to_string();
        cloud_event::parse(event.as_bytes())
            .map_err(|refusal| anyhow!(refusals::told(refusal.reason.as_str(), &refusal.detail)))?;
        let (redis, remedy) = intake::redis(self.settings)?;
        let added = put_back(&redis, &self.settings.redis.prefix, &[event.as_bytes()]).await;
        let added = added.with_context(|| {
            format!(
                "it is not known whether Redis has taken the event; look at the registration, and try again{remedy}"
            )
        })?;
        let entry = added.first().context("Redis does not tell the id of the entry")?;
        if wait.no_wait {
            return output::text(entry);
        }
        self.wait_for(entry, &event_id, id, wait.wait).await?;
        self.tell(id, form).await
    }

    /// Returns once the event has been applied; an error says why it has not.
    async fn wait_for(&self, entry: &str, event_id: &str, id: &RegistrationId, within: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            match self.store.event_state(entry, SOURCE, event_id).await?.as_deref() {
                Some("applied" | "repeated") => return Ok(()),
                Some("refused") => return Err(self.refusal(entry, id).await?),
                _ => {}
            }
            if start.elapsed() >= within {
                bail!(
                    "no outcome within {}: entry {entry} waits in the intake, and counts as soon as a daemon takes it in; \
                     see `enrolld status`, and later `enrolld registrations show {id}`",
                    humantime::format_duration(within)
                );
            }
            tokio::time::sleep(POLL.min(within)).await;
        }
    }

    async fn refusal(&self, entry: &str, id: &RegistrationId) -> anyhow::Result<anyhow::Error> {
        let refused = self.store.refused_at(entry).await?;
        let why = refused.map_or_else(String::new, |refused| {
            let detail: Map<String, Value> = serde_json::from_str(&refused.detail).unwrap_or_default();
            format!(": {}", refusals::explained(&refused.reason, &detail))
        });
        Ok(anyhow!("refused for registration {id}{why}"))
    }

    /// What the registration has become.
    async fn tell(&self, id: &RegistrationId, form: Format) -> anyhow::Result<()> {
        let found = self.store.registration(id).await?;
        let registration = found.ok_or_else(|| unknown(id.as_str()))?;
        let timeline = self.store.timelines(&[id]).await?;
        let view = RegistrationView::new(&registration, timeline.into_iter().map(|(_, line)| line).collect());
        match form {
            Format::Json => output::json(&view),
            Format::Table => {
                let mut lines = vec![format!("{id}: {}", view.summary.state.as_str())];
                let wrong = view.summary.field_errors.iter();
                lines.extend(wrong.map(|error| format!("  {}", error.message)));
                output::text(&lines.join("\n"))
            }
        }
    }
}
