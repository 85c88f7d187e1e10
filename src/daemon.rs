//! The composition root, and the life of the daemon: start, ready, drain, end.

mod open;
mod reload;
mod signs;
mod sole;
mod systemd;
mod tasks;
mod work;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context as _, bail};
use enrolld_jobs::job::JobKind;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::open::{executor_of_a_command, rules};
use self::{
    open::{Outlets, executor, host_name, link_keys, listen, open_redis, open_store, publish_address},
    sole::Sole,
    work::Tally,
};
pub use self::{reload::Reload, systemd::Systemd};
use crate::{
    dispatcher::{Dispatch, Fullness},
    doctor,
    environment::{Environment, System},
    executor::Executor,
    metrics::Exposition,
    pauses::Pauses,
    private_redis::PrivateRedis,
    progress::Progress,
    queue::{JobRef, Redis},
    settings::Settings,
    spans::Spans,
    store::{Store, daemons::Daemon as Identity},
};

/// How long saying goodbye to the database may take, after `shutdown.grace`.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to stop (SIGTERM or SIGINT), then drains it within `shutdown.grace`. A second signal ends it
/// at once. SIGHUP has it read its settings again, as `reload` says.
///
/// # Errors
/// When it cannot start: the message says what is in the way, and the remedy.
pub async fn run(settings: Settings, reload: Reload) -> anyhow::Result<()> {
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
    let systemd = Systemd::of_this_process();
    tokio::spawn(reload.whenever_told(settings.clone(), signal(SignalKind::hangup())?, systemd.clone()));
    // A start may wait for long: for a database that is away.
    let daemon = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        daemon = Daemon::start(settings, Arc::new(System), systemd) => daemon?,
    };
    daemon.run(stop).await
}

/// A daemon that has started: it listens, and is about to work.
#[derive(Debug)]
pub struct Daemon {
    _sole: Sole,
    settings: Settings,
    environment: Arc<dyn Environment>,
    identity: Identity,
    store: Store,
    redis: Redis,
    private_redis: Option<PrivateRedis>,
    executor: Executor,
    pauses: Pauses,
    fullness: Fullness,
    exposition: Exposition,
    /// Taken by [`Daemon::run`], as are the listeners.
    dispatched: Option<mpsc::Receiver<(JobKind, JobRef)>>,
    committed: Arc<Notify>,
    http: Option<TcpListener>,
    public_http: Option<TcpListener>,
    http_address: SocketAddr,
    systemd: Systemd,
    progress: Progress,
    tally: Arc<Tally>,
    takes_in: Arc<AtomicBool>,
}

impl Daemon {
    /// Opens everything that the daemon needs. While the database is away it waits; Redis may be away.
    ///
    /// # Errors
    /// When something cannot be opened.
    pub async fn start(
        settings: Settings,
        environment: Arc<dyn Environment>,
        systemd: Systemd,
    ) -> anyhow::Result<Self> {
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        let exposition = Exposition::start(&settings.provisioning.targets);
        let store = open_store(&settings, &systemd).await?;
        let sole = Sole::take(&settings.database.url)?;
        settings
            .make_data_dir()
            .with_context(|| format!("cannot make data_dir {}", settings.data_dir.display()))?;
        let schema = store
            .schema()
            .await
            .context("the database cannot be asked for its migrations")?;
        if let Some(lack) = schema.lack() {
            bail!("the database {} is not of this release: {lack}", settings.database.url);
        }
        let link_keys = link_keys(&settings, &store, &*environment).await?;
        // Before anything is started that would have to be ended again.
        let http = listen("http.bind", settings.http.bind).await?;
        let public_http = match settings.http.public_bind {
            Some(address) => Some(listen("http.public_bind", address).await?),
            None => None,
        };
        let http_address = http.local_addr()?;
        let identity = Identity {
            id: environment.random_id().to_string(),
            host: host_name(),
            pid: std::process::id(),
        };
        let spans = Spans::start(&settings.tracing, &identity.id, &identity.host)
            .context("spans cannot be sent (tracing.otlp_endpoint)")?;
        let fullness = Fullness::default();
        let (dispatch, dispatched) = Dispatch::channel(fullness.clone());
        let committed = Arc::new(Notify::new());
        let outlets = Outlets {
            dispatch,
            committed: Arc::clone(&committed),
            spans,
            daemon_id: identity.id.clone(),
        };
        let executor = executor(&settings, &store, &environment, link_keys, outlets)?;
        let (redis, private_redis) = open_redis(&settings, &systemd).await?;
        let pauses = Pauses::default();
        // Before any work begins: what was paused stays so over a restart.
        pauses
            .look(&store)
            .await
            .context("the database cannot be asked for paused queues")?;
        publish_address(&settings.data_dir, http_address)?;
        store.heartbeat(&identity, environment.now()).await?;
        Ok(Self {
            _sole: sole,
            settings,
            environment,
            identity,
            store,
            redis,
            private_redis,
            executor,
            pauses,
            fullness,
            exposition,
            dispatched: Some(dispatched),
            committed,
            http: Some(http),
            public_http,
            http_address,
            systemd,
            progress: Progress::default(),
            tally: Arc::default(),
            takes_in: Arc::default(),
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
    ///
    /// # Errors
    /// When a part of the daemon ended by itself: it drains then too, and whoever started it starts it again.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        // Cancelled once the workers are through: what they commit still has to be brought on its way.
        let drained = CancellationToken::new();
        let mut until_drained = self.until_drained(&stop, &drained);
        let mut until_stop = self.until_stop(&stop);
        let signs = self.signs();
        // Both end with this function, however that ends.
        let mut watched = JoinSet::new();
        watched.spawn(signs.clone().go_round());
        watched.spawn(signs.clone().tell(stop.clone()));
        let works = signs.works.clone();
        watched.spawn(remark(self.settings.clone(), Arc::clone(&self.environment), works));

        let ended_early = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            Some(ended) = until_stop.join_next() => Some(ended),
            Some(ended) = until_drained.join_next() => Some(ended),
        };
        if let Some(ended) = &ended_early {
            tracing::error!(?ended, "a part of the daemon has ended by itself; stopping");
            stop.cancel();
        }
        let grace = self.settings.shutdown.grace;
        tracing::info!(?grace, "stopping: finishing what runs");
        watched.spawn(signs.drain());
        let in_time = tokio::time::timeout(grace, async {
            while until_stop.join_next().await.is_some() {}
            drained.cancel();
            while until_drained.join_next().await.is_some() {}
        });
        if in_time.await.is_err() {
            tracing::warn!("not everything that ran has ended in time; it is taken over, and no attempt is spent");
            // Nothing may go on once others have been told that this daemon has stopped.
            until_stop.shutdown().await;
            until_drained.shutdown().await;
        }
        self.farewell().await;
        tracing::info!("stopped");
        if ended_early.is_some() {
            bail!("a part of the daemon ended by itself; the log says which");
        }
        Ok(())
    }

    /// Nobody needs to wait for this daemon any more.
    async fn farewell(self) {
        let said = async {
            self.store.give_leases_back(&self.identity.id).await?;
            self.store.stopped(&self.identity.id, self.environment.now()).await
        };
        let closed = self.executor.spans().close();
        let (said, ()) = tokio::join!(tokio::time::timeout(FAREWELL_WITHIN, said), closed);
        if !matches!(said, Ok(Ok(()))) {
            tracing::warn!("the database does not know that this daemon has stopped; others find out by themselves");
        }
        if let Some(private) = self.private_redis {
            private.stop().await;
        }
        self.store.close().await;
        let _ = std::fs::remove_file(self.settings.data_dir.join(HTTP_ADDRESS));
    }
}

/// Tells the log what `enrolld doctor` finds, once the daemon works. Nothing waits for it.
async fn remark(settings: Settings, environment: Arc<dyn Environment>, works: CancellationToken) {
    works.cancelled().await;
    for finding in Box::pin(doctor::remarks(&settings, environment)).await {
        let remedy = finding.remedy.unwrap_or_default();
        tracing::warn!(remedy, "{}: {}", finding.check, finding.seen);
    }
}

/// Where `data_dir` tells on which address HTTP listens.
pub const HTTP_ADDRESS: &str = "http.addr";
