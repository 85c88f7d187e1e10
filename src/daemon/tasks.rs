//! The tasks of a daemon: what it does side by side, each made of what the daemon has opened.

use std::sync::Arc;

use enrolld_jobs::job::JobKind;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Daemon, signs::Signs, work::Workers};
use crate::{
    dispatcher::Dispatcher,
    http,
    intake::Intake,
    notices::Notices,
    recheck::Recheck,
    reconciliation::Reconciliation,
    recovery::{Recovery, stuck_after},
    retention::Retention,
    schedule::{self, Schedule},
    watch::{AlarmLimits, Watch},
};

impl Daemon {
    /// What takes on work: it ends at the stop, when what runs is finished.
    pub(super) fn until_stop(&self, stop: &CancellationToken) -> JoinSet<()> {
        let settings = &self.settings;
        let dispatcher = self.dispatcher();
        let intake = Arc::new(Intake {
            executor: self.executor.clone(),
            redis: self.redis.clone(),
            prefix: settings.redis.prefix.clone(),
            batch: settings.intake.batch,
            daemon_id: self.identity.id.clone(),
            dead_after: settings.heartbeat.dead_after,
            takes_in: Arc::clone(&self.takes_in),
        });
        let watch = &self.progress;
        let mut tasks = JoinSet::new();
        tasks.spawn(watch.watch("timers", Arc::clone(&dispatcher).add_due(stop.clone())));
        tasks.spawn(watch.watch("audit", dispatcher.audit(stop.clone())));
        let pauses = self.pauses.clone().follow(self.store.clone(), stop.clone());
        tasks.spawn(watch.watch("pauses", pauses));
        tasks.spawn(watch.watch(
            "recovery",
            self.recovery().take_over(self.executor.clone(), stop.clone()),
        ));
        tasks.spawn(watch.watch("intake", intake.run(stop.clone())));
        let recheck = Recheck {
            executor: self.executor.clone(),
        };
        let by_time = self.schedule(schedule::Name::Recheck);
        tasks.spawn(watch.watch("recheck", by_time.run(recheck, stop.clone())));
        let reconciliation = Reconciliation {
            store: self.store.clone(),
            environment: Arc::clone(&self.environment),
            targets: settings.provisioning.target_names(),
        };
        let by_calendar = self.schedule(schedule::Name::Reconciliation);
        tasks.spawn(watch.watch("reconciliation", by_calendar.run(reconciliation, stop.clone())));
        let retention = Retention {
            store: self.store.clone(),
            redis: self.redis.clone(),
            prefix: settings.redis.prefix.clone(),
            mail_dir: settings.mail.transport.folder().map(Into::into),
            environment: Arc::clone(&self.environment),
            keep: settings.retention.clone(),
        };
        let by_time = self.schedule(schedule::Name::Retention);
        tasks.spawn(watch.watch("retention", by_time.run(retention, stop.clone())));
        let workers = Workers {
            settings: settings.clone(),
            redis: self.redis.clone(),
            daemon_id: self.identity.id.clone(),
            executor: self.executor.clone(),
            pauses: self.pauses.clone(),
            progress: self.progress.clone(),
            tally: Arc::clone(&self.tally),
        };
        tasks.spawn(workers.work(stop.clone()));
        tasks
    }

    /// What serves the work: it goes on until the workers are through.
    pub(super) fn until_drained(&mut self, stop: &CancellationToken, drained: &CancellationToken) -> JoinSet<()> {
        let settings = &self.settings;
        let notices = Arc::new(Notices {
            store: self.store.clone(),
            redis: self.redis.clone(),
            prefix: settings.redis.prefix.clone(),
            events_max_len: settings.redis.events_max_len,
            rejected_max_len: settings.redis.rejected_max_len,
            environment: Arc::clone(&self.environment),
            daemon_id: self.identity.id.clone(),
            dead_after: settings.heartbeat.dead_after,
            committed: Arc::clone(&self.committed),
        });
        let watch = &self.progress;
        let mut tasks = JoinSet::new();
        tasks.spawn(watch.watch("signs of life", self.recovery().beat(drained.clone())));
        tasks.spawn(watch.watch("notices", notices.run(drained.clone())));
        tasks.spawn(watch.watch("gauges", self.watch().run(drained.clone())));
        if let Some(dispatched) = self.dispatched.take() {
            tasks.spawn(watch.watch(
                "dispatcher",
                self.dispatcher().add_committed(dispatched, drained.clone()),
            ));
        }
        if let Some(http) = self.http.take() {
            let (executor, redis) = (self.executor.clone(), self.redis.clone());
            let state = http::HttpState::new(executor, redis, settings, &http, stop.clone());
            for (listener, router) in http::routers(state, http, self.public_http.take()) {
                tasks.spawn(serve(listener, router, drained.clone()));
            }
        }
        tasks
    }

    fn schedule(&self, name: schedule::Name) -> Schedule {
        Schedule {
            name,
            when: name.when(&self.settings),
            store: self.store.clone(),
            environment: Arc::clone(&self.environment),
            daemon_id: self.identity.id.clone(),
            dead_after: self.settings.heartbeat.dead_after,
        }
    }

    pub(super) fn signs(&self) -> Signs {
        Signs {
            systemd: self.systemd.clone(),
            progress: self.progress.clone(),
            store: self.store.clone(),
            redis: self.redis.clone(),
            prefix: self.settings.redis.prefix.clone(),
            tally: Arc::clone(&self.tally),
            takes_in: Arc::clone(&self.takes_in),
            daemon_id: self.identity.id.clone(),
            works: CancellationToken::new(),
        }
    }

    fn dispatcher(&self) -> Arc<Dispatcher> {
        Arc::new(Dispatcher {
            store: self.store.clone(),
            redis: self.redis.clone(),
            prefix: self.settings.redis.prefix.clone(),
            environment: Arc::clone(&self.environment),
            pauses: self.pauses.clone(),
            fullness: self.fullness.clone(),
            poll: self.settings.dispatcher.poll,
        })
    }

    fn watch(&self) -> Arc<Watch> {
        let settings = &self.settings;
        Arc::new(Watch {
            executor: self.executor.clone(),
            redis: self.redis.clone(),
            prefix: settings.redis.prefix.clone(),
            pauses: self.pauses.clone(),
            every: settings.metrics.every,
            dead_after: settings.heartbeat.dead_after,
            review_sla: settings.review.sla,
            limits: AlarmLimits {
                queue_age: settings.ops.queue_age,
                refusals: settings.ops.refusals,
                provisioning_within: settings.provisioning.within,
            },
            exposition: self.exposition.clone(),
        })
    }

    fn recovery(&self) -> Arc<Recovery> {
        let workers = &self.settings.workers;
        let timeouts = JobKind::ALL.iter().map(|kind| workers.of(*kind).timeout);
        Arc::new(Recovery {
            stuck_after: stuck_after(timeouts.max().unwrap_or_default()),
            store: self.store.clone(),
            redis: self.redis.clone(),
            prefix: self.settings.redis.prefix.clone(),
            environment: Arc::clone(&self.environment),
            pauses: self.pauses.clone(),
            daemon: self.identity.clone(),
            every: self.settings.heartbeat.every,
            dead_after: self.settings.heartbeat.dead_after,
        })
    }
}

async fn serve(listener: TcpListener, router: axum::Router, stop: CancellationToken) {
    if let Err(error) = http::serve(listener, router, stop).await {
        tracing::error!(%error, "HTTP has ended");
    }
}
