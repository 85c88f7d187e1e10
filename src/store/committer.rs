//! Group commit: concurrent callers hand in transitions, a committer writes those that have gathered in one transaction.
//!
//! Nothing waits for a batch to fill: while one commits, the next gathers. So an idle database answers as fast as without
//! batches, and a busy one does the work of many commits in one.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::FutureExt as _;
use sea_orm::{ConnectionTrait as _, DbBackend};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::{
    Store, batch,
    connection::{ANSWER_WITHIN, Connection, unanswered},
    error::StoreError,
    statements::Statements,
    transition::{Transition, Verdict},
};
use crate::{metrics, patience::Patience, progress};

/// Most transitions in one transaction: more gains nothing (ARCHITECTURE, "Group commit").
const MAX_BATCH: usize = 64;

/// Transitions that may wait for a committer before callers wait to hand theirs in.
const QUEUE: usize = 1024;

/// Tries of a batch that other transactions stand in the way of.
const CONFLICT_TRIES: usize = 10;

/// Waits between tries of a batch that another transaction stands in the way of. They differ by chance: two that were in each
/// other's way at once would be so again.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

type Answer = Result<Verdict, StoreError>;

/// A transition on its way, and whom to answer.
struct Submission {
    transition: Arc<Transition>,
    answer: oneshot::Sender<Answer>,
}

/// The committers of a store: two on PostgreSQL, one on SQLite, which has one writer.
#[derive(Debug, Clone)]
pub(super) struct Committers {
    queues: Arc<[mpsc::Sender<Submission>]>,
}

impl Committers {
    /// Starts the tasks; they end when the last clone of the store is gone.
    pub(super) fn start(connection: &Connection) -> Self {
        let backend = connection.get_database_backend();
        let number = if backend == DbBackend::Postgres { 2 } else { 1 };
        let start = |_| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let committer = Committer {
                connection: connection.clone(),
                statements: Statements::new(backend),
                deferred: VecDeque::new(),
            };
            tokio::spawn(committer.run(receiver));
            sender
        };
        Self {
            queues: (0..number).map(start).collect(),
        }
    }

    /// Transitions of one registration go to one committer.
    fn queue_of(&self, transition: &Transition) -> &mpsc::Sender<Submission> {
        let mut hasher = DefaultHasher::new();
        match (transition.registration_id(), &transition.job) {
            (Some(registration), _) => registration.hash(&mut hasher),
            (None, Some(job)) => job.id.hash(&mut hasher),
            (None, None) => {}
        }
        let number = hasher.finish() % self.queues.len() as u64;
        &self.queues[usize::try_from(number).unwrap_or_default()]
    }
}

impl Store {
    /// Writes `transition`, or nothing of it. While the database is away this waits, and goes on by itself; after a lost
    /// connection it finds out whether the commit had come through.
    ///
    /// # Errors
    /// What waiting here does not mend: the database refuses the transition, or cannot do its work until somebody has
    /// mended it.
    pub async fn commit(&self, transition: Transition) -> Result<Verdict, StoreError> {
        let transition = Arc::new(transition);
        let mut patience = Patience::default();
        loop {
            let (answer, verdict) = oneshot::channel();
            let submission = Submission {
                transition: Arc::clone(&transition),
                answer,
            };
            // Committers go on as long as there is a store to ask them.
            let sent = self.committers.queue_of(&transition).send(submission).await;
            let unanswered = || StoreError::Unavailable("the commit was given up; the log has the reason".to_owned());
            let answer = match sent {
                Ok(()) => progress::while_idle(verdict)
                    .await
                    .unwrap_or_else(|_| Err(unanswered())),
                Err(_) => Err(unanswered()),
            };
            match answer {
                Err(error @ (StoreError::Unavailable(_) | StoreError::Conflict(_))) => {
                    tracing::warn!(%error, "a commit waits for the database");
                    patience.rest().await;
                }
                verdict => return verdict,
            }
        }
    }
}

struct Committer {
    connection: Connection,
    statements: Statements,
    /// What could not share a batch with what went before it.
    deferred: VecDeque<Submission>,
}

impl Committer {
    async fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let mut received = Vec::with_capacity(MAX_BATCH);
        loop {
            let free = MAX_BATCH.saturating_sub(self.deferred.len());
            if self.deferred.is_empty() {
                if queue.recv_many(&mut received, free).await == 0 {
                    return;
                }
            } else {
                while received.len() < free
                    && let Ok(submission) = queue.try_recv()
                {
                    received.push(submission);
                }
            }
            self.deferred.extend(received.drain(..));
            let batch = self.next_batch();
            // Whoever waits for an answer tries again; the next batch is not to suffer.
            if AssertUnwindSafe(self.commit(batch)).catch_unwind().await.is_err() {
                tracing::error!("a batch was given up: committing it panicked");
            }
        }
    }

    /// Takes what can share a transaction: no two that change or rest on the same.
    fn next_batch(&mut self) -> Vec<Submission> {
        let mut taken = HashSet::new();
        let mut batch = Vec::with_capacity(self.deferred.len());
        let mut later = VecDeque::new();
        for submission in self.deferred.drain(..) {
            let keys: Vec<_> = submission.transition.keys().collect();
            let clashes = keys.iter().any(|key| taken.contains(key));
            // What is put off still holds its place: a later one of the same registration must not overtake it.
            taken.extend(keys);
            if clashes {
                later.push_back(submission);
            } else {
                batch.push(submission);
            }
        }
        self.deferred = later;
        batch
    }

    /// Commits a batch and answers everybody in it. A refusal, or a damaged row, concerns one of them: halves are tried until it
    /// is found, so that it fails alone.
    async fn commit(&self, batch: Vec<Submission>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.try_commit(&part).await {
                Ok(verdicts) => {
                    for (submission, verdict) in part.into_iter().zip(verdicts) {
                        // A caller that has gone away does not need the answer.
                        let _ = submission.answer.send(Ok(verdict));
                    }
                }
                Err(StoreError::Refused(message) | StoreError::Fault(message)) if part.len() > 1 => {
                    tracing::debug!(
                        message,
                        size = part.len(),
                        "a batch was refused; looking for the one at fault"
                    );
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Err(error) => {
                    for submission in part {
                        let _ = submission.answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    async fn try_commit(&self, batch: &[Submission]) -> Result<Vec<Verdict>, StoreError> {
        let transitions: Vec<&Transition> = batch.iter().map(|submission| &*submission.transition).collect();
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(CONFLICT_TRIES - 1)
            .with_jitter()
            .build();
        loop {
            // Should the commit have come through without an answer, the next try finds its token.
            let committed = timeout(ANSWER_WITHIN, Box::pin(self.commit_once(&transitions))).await;
            match committed.unwrap_or_else(|_| Err(unanswered().into())) {
                Err(StoreError::Conflict(message)) => {
                    let Some(pause) = pauses.next() else {
                        return Err(StoreError::Conflict(message));
                    };
                    tracing::debug!(message, ?pause, "a batch is tried again");
                    tokio::time::sleep(pause).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn commit_once(&self, transitions: &[&Transition]) -> Result<Vec<Verdict>, StoreError> {
        let begun = Instant::now();
        let transaction = self.connection.begin().await?;
        // On an error the transaction is dropped, and with it rolled back.
        let verdicts = batch::write(&transaction, &self.statements, transitions).await?;
        transaction.commit().await?;
        metrics::committed(transitions.len(), begun.elapsed());
        Ok(verdicts)
    }
}
