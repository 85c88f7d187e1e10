//! Opens what the daemon stands on, and says what is in the way.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use enrolld_jobs::{rules::Rules, verification::PersonalDomains};
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::Notify};

use super::{HTTP_ADDRESS, systemd::Systemd};
use crate::{
    directory::EmbeddedDirectory,
    dispatcher::{Dispatch, Fullness},
    doctor::{self, Finding},
    environment::{Environment, System},
    executor::{Executor, Parts, PublicUrl},
    links::{LinkKeys, hex},
    mail::{Mailer, Portal},
    patience::Patience,
    private_redis::PrivateRedis,
    provisioning::{HttpTargets, Limits},
    queue::{self, Redis},
    services::Services,
    settings::{DatabaseUrl, Settings},
    spans::Spans,
    store::{Store, error::StoreError},
};

/// A PostgreSQL that is away is waited for; any other trouble is for a person.
pub(super) async fn open_store(settings: &Settings, systemd: &Systemd) -> anyhow::Result<Store> {
    if let DatabaseUrl::Sqlite(path) = &settings.database.url
        && !path.exists()
    {
        bail!("there is no database {}; run `enrolld migrate` first", path.display());
    }
    let url = settings.database.url.connect_url();
    let mut patience = Patience::default();
    loop {
        systemd.waits_for("the database");
        match Store::open(&url, settings.database.max_connections).await {
            Err(error @ StoreError::Unavailable(_)) if matches!(settings.database.url, DatabaseUrl::Postgres(_)) => {
                tracing::warn!(%error, url = %settings.database.url, "the start waits for the database");
                patience.rest().await;
            }
            opened => {
                return opened.with_context(|| {
                    format!(
                        "the database cannot be opened (database.url = {})",
                        settings.database.url
                    )
                });
            }
        }
    }
}

/// The keys of `security.link_key`; unset, the one that the database keeps.
pub(super) async fn link_keys(
    settings: &Settings,
    store: &Store,
    environment: &dyn Environment,
) -> anyhow::Result<LinkKeys> {
    if let Some(keys) = LinkKeys::new(settings.security.link_keys.clone()) {
        return Ok(keys);
    }
    let kept = store.link_key(&hex(&environment.random()), environment.now()).await?;
    LinkKeys::new(vec![SecretString::from(kept)]).context("the database keeps an empty link key; set security.link_key")
}

pub(super) async fn open_redis(
    settings: &Settings,
    systemd: &Systemd,
) -> anyhow::Result<(Redis, Option<PrivateRedis>)> {
    if let Some(redis) = Redis::of(&settings.redis)? {
        if settings.redis.require_durable {
            durable(settings, &redis, systemd).await?;
        }
        if let Err(error) = redis.ping().await {
            tracing::warn!(%error, address = redis.address(), "Redis cannot be reached yet; work waits for it");
        }
        return Ok((redis, None));
    }
    let private = PrivateRedis::start(&settings.data_dir, &settings.private_redis_dir()).await?;
    Ok((Redis::open(private.url())?, Some(private)))
}

/// Refuses a Redis that may lose what upstream was told is taken (`redis.require_durable`).
async fn durable(settings: &Settings, redis: &Redis, systemd: &Systemd) -> anyhow::Result<()> {
    let mut patience = Patience::default();
    while let Err(error @ queue::Error::Away { .. }) = redis.ping().await {
        systemd.waits_for(&format!("Redis at {}", redis.address()));
        tracing::warn!(%error, "the start waits for Redis, which is to be asked whether it keeps what it takes");
        patience.rest().await;
    }
    let asked = doctor::refusal(settings, redis).await;
    let refusal =
        asked.context("redis.require_durable is set, and Redis cannot be asked whether it keeps what it takes")?;
    match refusal {
        None => Ok(()),
        Some(Finding { seen, remedy, .. }) => bail!(
            "redis.require_durable is set, and this Redis may lose requests: {seen}; {}",
            remedy.unwrap_or_default()
        ),
    }
}

pub(super) async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({key}); is another daemon running there?"))
}

/// Tells scripts and tests where HTTP listens, since the port may have been chosen by the system.
pub(super) fn publish_address(data_dir: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let (file, fresh) = (
        data_dir.join(HTTP_ADDRESS),
        data_dir.join(format!("{HTTP_ADDRESS}.new")),
    );
    std::fs::write(&fresh, format!("{address}\n"))
        .and_then(|()| std::fs::rename(&fresh, &file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Where an executor hands on what it has done, and in whose name.
pub(super) struct Outlets {
    pub(super) dispatch: Dispatch,
    pub(super) committed: Arc<Notify>,
    pub(super) spans: Spans,
    pub(super) daemon_id: String,
}

/// The executor, with all that it stands on.
pub(super) fn executor(
    settings: &Settings,
    store: &Store,
    environment: &Arc<dyn Environment>,
    link_keys: LinkKeys,
    outlets: Outlets,
) -> anyhow::Result<Executor> {
    let supervisor = settings.review.supervisor.clone();
    Ok(Executor::new(Parts {
        directory: EmbeddedDirectory::new(store.reader().clone()),
        mailer: Mailer::new(&settings.mail).context("mail cannot be sent")?,
        targets: targets(settings, environment)?,
        provisioning_poll: settings.provisioning.poll,
        environment: Arc::clone(environment),
        rules: rules(settings),
        link_keys,
        public_url: PublicUrl::new(settings.http.public_url.as_str()),
        portal: Portal::from(&settings.portal),
        agents: settings.review.mailbox.clone(),
        supervisor: supervisor.or_else(|| settings.ops.mailbox.clone()),
        ops: settings.ops.mailbox.clone(),
        dispatch: outlets.dispatch,
        committed: outlets.committed,
        spans: outlets.spans,
        services: Services::default(),
        daemon_id: outlets.daemon_id,
        workers: settings.workers.clone(),
        store: store.clone(),
    }))
}

/// An executor for a command, which runs no jobs: what it commits is found by the daemons.
pub(crate) async fn executor_of_a_command(settings: &Settings, store: &Store) -> anyhow::Result<Executor> {
    let environment: Arc<dyn Environment> = Arc::new(System);
    let keys = link_keys(settings, store, &*environment).await?;
    let (dispatch, _) = Dispatch::channel(Fullness::default());
    let outlets = Outlets {
        dispatch,
        committed: Arc::default(),
        spans: Spans::default(),
        daemon_id: "command".to_owned(),
    };
    executor(settings, store, &environment, keys, outlets)
}

/// The targets, each with its share of the workers.
fn targets(settings: &Settings, environment: &Arc<dyn Environment>) -> anyhow::Result<HttpTargets> {
    let targets = &settings.provisioning.targets;
    let limits = Limits::shared(settings.workers.provisioning_sync.concurrency, targets.len());
    HttpTargets::new(targets, limits, Arc::clone(environment)).context("provisioning.targets cannot be called")
}

pub(crate) fn rules(settings: &Settings) -> Rules {
    let domains = &settings.personal_domains;
    Rules {
        link_valid_for: settings.email_verification.valid_for,
        resend_cooldown: settings.email_verification.cooldown,
        da_reminders: settings.da_response.reminders.clone(),
        da_timeout: settings.da_response.timeout,
        max_das: usize::try_from(settings.da_response.max_das).unwrap_or(usize::MAX),
        decisions_by_link: settings.decisions.by_link,
        applicant_reminder: settings.applicant.reminder,
        applicant_expiry: settings.applicant.expiry,
        review_sla: settings.review.sla,
        answer_within: settings.review.answer_within,
        max_failed_attempts: settings.review.max_failed_attempts,
        targets: settings.provisioning.target_names(),
        provisioning_within: settings.provisioning.within,
        terms_reminders: settings.terms.reminders.clone(),
        resends_per_day: usize::try_from(settings.email_verification.per_day).unwrap_or(usize::MAX),
        personal_domains: PersonalDomains::new(
            domains.add.iter().map(String::as_str),
            domains.remove.iter().map(String::as_str),
        ),
    }
}

pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() {
        "unknown".to_owned()
    } else {
        name.trim().to_owned()
    }
}
