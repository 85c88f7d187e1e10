//! The composition root, and the life of the daemon: start, ready, drain, end.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use apalis::{layers::WorkerBuilderExt as _, prelude::*};
use enrolld_jobs::{job::JobKind, rules::Rules, verification::PersonalDomains};
use secrecy::SecretString;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    directory::EmbeddedDirectory,
    dispatcher::{Dispatch, Dispatcher},
    environment::{Environment, System},
    executor::{Executor, Parts, PublicUrl},
    http,
    intake::Intake,
    links::{LinkKeys, hex},
    mail::{Mailer, Portal},
    notices::Notices,
    private_redis::PrivateRedis,
    queue::{JobRef, Redis, StreamBackend, StreamOptions, stream_name},
    recovery::Recovery,
    settings::Settings,
    store::{Store, daemons::Daemon as Identity},
};

/// How long saying goodbye to the database may take, after `shutdown.grace`.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// Entries read ahead of each handler.
const PREFETCH_FACTOR: usize = 2;

/// Runs the daemon until it is told to stop (SIGTERM or SIGINT), then drains it within `shutdown.grace`. A second signal ends it
/// at once.
///
/// # Errors
/// When it cannot start: the message says what is in the way, and the remedy.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = stop.clone();
    tokio::spawn(async move {
        for times in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if times > 0 {
                tracing::warn!("told to stop again: ending at once");
                std::process::exit(1);
            }
            told.cancel();
        }
    });
    Daemon::start(settings, Arc::new(System)).await?.run(stop).await;
    Ok(())
}

/// A daemon that has started: it listens, and is about to work.
#[derive(Debug)]
pub struct Daemon {
    settings: Settings,
    environment: Arc<dyn Environment>,
    identity: Identity,
    store: Store,
    redis: Redis,
    private_redis: Option<PrivateRedis>,
    executor: Executor,
    dispatched: tokio::sync::mpsc::Receiver<(JobKind, JobRef)>,
    committed: Arc<Notify>,
    http: TcpListener,
    public_http: Option<TcpListener>,
    http_address: SocketAddr,
}

impl Daemon {
    /// Opens everything that the daemon needs.
    ///
    /// # Errors
    /// When something cannot be opened.
    pub async fn start(settings: Settings, environment: Arc<dyn Environment>) -> anyhow::Result<Self> {
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        if !settings.provisioning.targets.is_empty() {
            bail!(
                "provisioning.targets is set, but this release does not provision yet; remove the targets, and access is active \
                 as soon as it is granted"
            );
        }
        std::fs::create_dir_all(&settings.data_dir)
            .with_context(|| format!("cannot make data_dir {}", settings.data_dir.display()))?;
        let store = open_store(&settings).await?;
        let missing = store
            .missing_migrations()
            .await
            .context("the database cannot be asked for its migrations")?;
        if missing > 0 {
            bail!("the database lacks {missing} migration(s); run `enrolld migrate` first");
        }
        let link_keys = link_keys(&settings, &store, &*environment).await?;
        let (redis, private_redis) = open_redis(&settings).await?;
        let identity = Identity {
            id: environment.random_id().to_string(),
            host: host_name(),
            pid: std::process::id(),
        };
        let (dispatch, dispatched) = Dispatch::channel();
        let committed = Arc::new(Notify::new());
        let executor = Executor::new(Parts {
            directory: EmbeddedDirectory::new(store.reader().clone()),
            mailer: Mailer::new(&settings.mail).context("mail cannot be sent")?,
            environment: Arc::clone(&environment),
            rules: rules(&settings),
            link_keys,
            public_url: PublicUrl::new(settings.http.public_url.as_str()),
            portal: Portal::from(&settings.portal),
            agents: settings.review.mailbox.clone(),
            dispatch,
            committed: Arc::clone(&committed),
            daemon_id: identity.id.clone(),
            workers: settings.workers.clone(),
            store: store.clone(),
        });
        let http = listen("http.bind", settings.http.bind).await?;
        let public_http = match settings.http.public_bind {
            Some(address) => Some(listen("http.public_bind", address).await?),
            None => None,
        };
        let http_address = http.local_addr()?;
        publish_address(&settings.data_dir, http_address)?;
        store.heartbeat(&identity, environment.now()).await?;
        Ok(Self {
            settings,
            environment,
            identity,
            store,
            redis,
            private_redis,
            executor,
            dispatched,
            committed,
            http,
            public_http,
            http_address,
        })
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The streams.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Where it listens (`http.bind`).
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Works until `stop`, then drains: it takes no more work, finishes what runs within `shutdown.grace`, and brings out what is
    /// committed.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            settings,
            environment,
            identity,
            store,
            redis,
            private_redis,
            executor,
            dispatched,
            committed,
            http,
            public_http,
            http_address,
        } = self;
        let prefix = settings.redis.prefix.clone();
        // Cancelled once the workers are through: what they commit still has to be brought on its way.
        let drained = CancellationToken::new();
        let mut services = JoinSet::new();
        let mut tail = JoinSet::new();

        let dispatcher = Arc::new(Dispatcher {
            store: store.clone(),
            redis: redis.clone(),
            prefix: prefix.clone(),
            environment: Arc::clone(&environment),
            poll: settings.dispatcher.poll,
        });
        tail.spawn(Arc::clone(&dispatcher).add_committed(dispatched, drained.clone()));
        services.spawn(Arc::clone(&dispatcher).add_due(stop.clone()));
        services.spawn(dispatcher.audit(stop.clone()));

        let recovery = Arc::new(Recovery {
            store: store.clone(),
            redis: redis.clone(),
            prefix: prefix.clone(),
            environment: Arc::clone(&environment),
            daemon: identity.clone(),
            every: settings.heartbeat.every,
            dead_after: settings.heartbeat.dead_after,
        });
        tail.spawn(Arc::clone(&recovery).beat(drained.clone()));
        services.spawn(recovery.take_over(executor.clone(), stop.clone()));

        let notices = Arc::new(Notices {
            store: store.clone(),
            redis: redis.clone(),
            prefix: prefix.clone(),
            events_max_len: settings.redis.events_max_len,
            rejected_max_len: settings.redis.rejected_max_len,
            environment: Arc::clone(&environment),
            daemon_id: identity.id.clone(),
            dead_after: settings.heartbeat.dead_after,
            committed,
        });
        tail.spawn(notices.run(drained.clone()));

        let intake = Arc::new(Intake {
            executor: executor.clone(),
            redis: redis.clone(),
            prefix: prefix.clone(),
            batch: settings.intake.batch,
            daemon_id: identity.id.clone(),
            dead_after: settings.heartbeat.dead_after,
        });
        services.spawn(intake.run(stop.clone()));

        let ready = http::ReadinessFlag::default();
        let state = http::HttpState {
            executor: executor.clone(),
            redis: redis.clone(),
            prefix,
            settings: settings.http.clone(),
            bound: http_address,
            portal: Portal::from(&settings.portal),
            ready: ready.clone(),
        };
        services.spawn(listen_to(http, http::private_router(state.clone()), stop.clone()));
        if let Some(listener) = public_http {
            services.spawn(listen_to(listener, http::public_router(state), stop.clone()));
        }

        let workers = tokio::spawn(work(
            settings.clone(),
            redis.clone(),
            identity.id.clone(),
            executor,
            stop.clone(),
        ));
        tracing::info!(daemon = identity.id, version = env!("CARGO_PKG_VERSION"), "ready");
        ready.serving();
        notify(&[sd_notify::NotifyState::Ready]);

        stop.cancelled().await;
        tracing::info!(grace = ?settings.shutdown.grace, "stopping: finishing what runs");
        ready.draining();
        notify(&[sd_notify::NotifyState::Stopping]);
        let in_time = tokio::time::timeout(settings.shutdown.grace, async {
            let _ = workers.await;
            while services.join_next().await.is_some() {}
            drained.cancel();
            while tail.join_next().await.is_some() {}
        });
        if in_time.await.is_err() {
            tracing::warn!("not everything that ran has ended in time; it is taken over, and no attempt is spent");
        }
        let farewell = async {
            store.give_leases_back(&identity.id).await?;
            store.stopped(&identity.id, environment.now()).await
        };
        if !matches!(tokio::time::timeout(FAREWELL_WITHIN, farewell).await, Ok(Ok(()))) {
            tracing::warn!("the database does not know that this daemon has stopped; others find out by themselves");
        }
        if let Some(private) = private_redis {
            private.stop().await;
        }
        let _ = std::fs::remove_file(settings.data_dir.join(HTTP_ADDRESS));
        tracing::info!("stopped");
    }
}

/// Where `data_dir` tells on which address HTTP listens.
pub const HTTP_ADDRESS: &str = "http.addr";

/// The workers, one for each kind of job.
async fn work(settings: Settings, redis: Redis, daemon_id: String, executor: Executor, stop: CancellationToken) {
    // Queues are paused by a later release's command; the readers know how already.
    let (_resume, paused) = watch::channel(false);
    let mut monitor = Monitor::new();
    for kind in JobKind::ALL.iter().copied() {
        let concurrency = settings
            .workers
            .get(kind.as_str())
            .map_or(8, |worker| worker.concurrency);
        let (redis, executor, paused, stop) = (redis.clone(), executor.clone(), paused.clone(), stop.clone());
        let options = StreamOptions::new(stream_name(&settings.redis.prefix, kind.as_str()), daemon_id.as_str())
            .prefetch(concurrency * PREFETCH_FACTOR);
        monitor = monitor.register(move |_restarts| {
            let executor = executor.clone();
            WorkerBuilder::new(kind.as_str())
                .backend(StreamBackend::new(
                    redis.clone(),
                    options.clone(),
                    paused.clone(),
                    &stop,
                ))
                .concurrency(concurrency)
                .parallelize(tokio::spawn)
                .build(move |job: JobRef| {
                    let executor = executor.clone();
                    async move {
                        executor.run_job(kind, job).await;
                        Ok::<(), BoxDynError>(())
                    }
                })
        });
    }
    let told = async move {
        stop.cancelled().await;
        Ok(())
    };
    if let Err(error) = monitor.run_with_signal(told).await {
        tracing::error!(%error, "the workers have ended");
    }
}

async fn listen_to(listener: TcpListener, router: axum::Router, stop: CancellationToken) {
    if let Err(error) = http::serve(listener, router, stop).await {
        tracing::error!(%error, "HTTP has ended");
    }
}

async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let url = settings.database.url.connect_url();
    let store = Store::open(&url, settings.database.max_connections).await;
    store.with_context(|| {
        format!(
            "the database cannot be opened (database.url = {})",
            settings.database.url
        )
    })
}

/// The keys of `security.link_key`; unset, the one that the database keeps.
async fn link_keys(settings: &Settings, store: &Store, environment: &dyn Environment) -> anyhow::Result<LinkKeys> {
    if let Some(keys) = LinkKeys::new(settings.security.link_keys.clone()) {
        return Ok(keys);
    }
    let kept = store.link_key(&hex(&environment.random()), environment.now()).await?;
    LinkKeys::new(vec![SecretString::from(kept)]).context("the database keeps no link key; run `enrolld migrate`")
}

async fn open_redis(settings: &Settings) -> anyhow::Result<(Redis, Option<PrivateRedis>)> {
    if let Some(url) = &settings.redis.url {
        let redis = Redis::open(url.expose()).context("redis.url")?;
        if settings.redis.require_durable {
            durable(&redis).await?;
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
async fn durable(redis: &Redis) -> anyhow::Result<()> {
    let ask = async |name: &str| -> anyhow::Result<String> {
        let command = redis::cmd("CONFIG").arg("GET").arg(name).to_owned();
        let answer: Vec<String> = redis.query(&command).await.with_context(|| {
            format!("redis.require_durable is set, and Redis does not tell its `{name}`; allow CONFIG GET, or unset it")
        })?;
        Ok(answer.into_iter().nth(1).unwrap_or_default())
    };
    if ask("appendonly").await? != "yes" {
        bail!("redis.require_durable is set, and Redis keeps no append-only file; set `appendonly yes` there");
    }
    let policy = ask("maxmemory-policy").await?;
    if policy != "noeviction" {
        bail!("redis.require_durable is set, and Redis may evict ({policy}); set `maxmemory-policy noeviction` there");
    }
    Ok(())
}

async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({key}); is another daemon running there?"))
}

/// Tells scripts and tests where HTTP listens, since the port may have been chosen by the system.
fn publish_address(data_dir: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let (file, fresh) = (data_dir.join(HTTP_ADDRESS), data_dir.join("http.addr.new"));
    std::fs::write(&fresh, format!("{address}\n"))
        .and_then(|()| std::fs::rename(&fresh, &file))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn rules(settings: &Settings) -> Rules {
    let domains = &settings.personal_domains;
    Rules {
        link_valid_for: settings.email_verification.valid_for,
        resend_cooldown: settings.email_verification.cooldown,
        resends_per_day: usize::try_from(settings.email_verification.per_day).unwrap_or(usize::MAX),
        personal_domains: PersonalDomains::new(
            domains.add.iter().map(String::as_str),
            domains.remove.iter().map(String::as_str),
        ),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() {
        "unknown".to_owned()
    } else {
        name.trim().to_owned()
    }
}

/// Tells systemd, where it listens.
fn notify(state: &[sd_notify::NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
