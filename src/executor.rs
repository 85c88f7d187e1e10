//! The shell around [`decide`](mod@enrolld_jobs::decide): loads the registration, gathers the facts that the decision asks for, and
//! commits what was decided. Upstream events, jobs and link pages all come through [`Executor::apply`].

mod alarms;
mod bounces;
mod delegating;
mod ending;
mod entitlement;
pub mod facts;
pub mod giving_up;
mod letters;
mod rechecks;
mod rescue;
pub mod resending;
mod run;
mod send;
mod sync;
mod terms;
mod write;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    decide::{Decided, decide, submit},
    event::{Chosen, Event, Facts},
    ports::Unavailable,
    refusal::{Reason, Refusal},
    registration::Registration,
    rules::Rules,
    trace::Trace,
    values::RegistrationId,
};
use lettre::message::Mailbox;
use subtle::ConstantTimeEq as _;

pub(crate) use ending::Ended;
pub use entitlement::DecidedByDa;
pub(crate) use rescue::Gone;

use crate::{
    directory::EmbeddedDirectory,
    dispatcher::Dispatch,
    environment::Environment,
    links::LinkKeys,
    mail::{Mailer, Portal},
    metrics,
    provisioning::HttpTargets,
    services::Services,
    settings::WorkersSettings,
    spans::Spans,
    store::{
        Store,
        entities::link,
        error::StoreError,
        transition::{Guard, InboxWrite, JobWrite, Transition, Verdict},
    },
};

/// Times that a decision is made again because something changed meanwhile, before the caller is told to come back later.
const DECIDE_TRIES: u32 = 50;

/// How long gathering facts may take before the directory counts as away.
const GATHER_WITHIN: Duration = Duration::from_secs(10);

/// Everything that carrying out the workflow takes. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Executor(Arc<Parts>);

/// What an [`Executor`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Who people are.
    pub directory: EmbeddedDirectory,
    /// Sends mail.
    pub mailer: Mailer,
    /// The targets of provisioning.
    pub targets: HttpTargets,
    /// How often a target that has accepted is asked whether it is done.
    pub provisioning_poll: Duration,
    /// Time and randomness.
    pub environment: Arc<dyn Environment>,
    /// What configuration says about the workflow.
    pub rules: Rules,
    /// Derives the tokens of links.
    pub link_keys: LinkKeys,
    /// Makes a path of the link pages a whole URL.
    pub public_url: PublicUrl,
    /// Where mails lead to.
    pub portal: Portal,
    /// The agents' mailbox.
    pub agents: Option<Mailbox>,
    /// The supervisor's mailbox, or that of ops (D10).
    pub supervisor: Option<Mailbox>,
    /// The mailbox of ops.
    pub ops: Option<Mailbox>,
    /// Takes jobs to their streams.
    pub dispatch: Dispatch,
    /// Told after each commit, so that notices go out at once.
    pub committed: Arc<tokio::sync::Notify>,
    /// Takes spans.
    pub spans: Spans,
    /// Told which services answer.
    pub services: Services,
    /// This daemon's id.
    pub daemon_id: String,
    /// Attempts and time-outs of each kind of job.
    pub workers: WorkersSettings,
}

/// Where link pages are reached from outside.
#[derive(Debug, Clone)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// From `http.public_url`, which may have a path.
    pub fn new(base: &str) -> Self {
        Self(base.trim_end_matches('/').to_owned())
    }

    /// The page that a verification link opens.
    pub fn verify(&self, token: &str) -> String {
        format!("{}/verify/{token}", self.0)
    }

    /// The page on which a DA decides.
    pub fn decide(&self, token: &str) -> String {
        format!("{}/decide/{token}", self.0)
    }
}

/// What led to an event, and is settled in the same transaction.
#[derive(Debug, Clone)]
pub enum Cause {
    /// An event of the inbox.
    Inbox {
        /// Its row.
        inbox: InboxWrite,
        /// The trace that it belongs to.
        trace: Trace,
    },
    /// A job, with its row as it is once the event is applied, and what else its run has changed.
    Job {
        /// The row.
        job: JobWrite,
        /// What else.
        besides: Box<Transition>,
        /// The trace that it belongs to.
        trace: Trace,
    },
    /// A link page, or a look; nothing to settle.
    Link {
        /// The trace that it begins or belongs to.
        trace: Trace,
    },
}

impl Cause {
    /// The trace that it belongs to, and with it everything that follows.
    pub const fn trace(&self) -> Trace {
        match self {
            Self::Inbox { trace, .. } | Self::Job { trace, .. } | Self::Link { trace } => *trace,
        }
    }
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// The registration has changed to this.
    Changed(Box<Registration>),
    /// It is refused; nothing has changed, and the cause is not settled.
    Refused(Refusal),
    /// It answers an earlier wait; nothing has changed, and the cause is not settled.
    Ignored,
    /// Its cause is settled already, or belongs to somebody else.
    Dropped(Guard),
}

/// What became of an upstream event.
#[derive(Debug, Clone, PartialEq)]
pub enum Handled {
    /// It is applied.
    Done,
    /// It is refused; nothing has changed, and its wait in the inbox is not settled.
    Refused(Refusal),
    /// Its wait is settled already, or belongs to somebody else.
    Dropped(Guard),
}

impl From<Applied> for Handled {
    fn from(applied: Applied) -> Self {
        match applied {
            Applied::Changed(_) => Self::Done,
            Applied::Refused(refusal) => Self::Refused(refusal),
            Applied::Dropped(guard) => Self::Dropped(guard),
            Applied::Ignored => unreachable!("an upstream event carries no step"),
        }
    }
}

/// Why an event could not be applied now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// Something that it takes is away; come again later, nothing is lost.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The database's error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others changed the same again and again.
    #[error("{0} changed at every one of {DECIDE_TRIES} tries")]
    Contention(String),
}

impl Trouble {
    /// The class of its error.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Unavailable(unavailable) => unavailable.service,
            Self::Contention(_) => "contention",
            Self::Store(error) if error.is_temporary() => "database",
            Self::Store(_) => "database_refused",
        }
    }

    /// Whether the same may succeed later.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Contention(_) => true,
            Self::Store(error) => error.is_temporary(),
        }
    }
}

impl Executor {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Who people are.
    pub fn directory(&self) -> &EmbeddedDirectory {
        &self.0.directory
    }

    /// Which services answer.
    pub fn services(&self) -> &Services {
        &self.0.services
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.environment.now()
    }

    /// Where spans go.
    pub(crate) fn spans(&self) -> &Spans {
        &self.0.spans
    }

    /// A trace that begins here.
    pub fn new_trace(&self) -> Trace {
        Trace::of_id(self.0.environment.random_id())
    }

    /// The link for `purpose` whose token has this digest (D7). None is found whose key is configured no more.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn link_of(&self, purpose: &str, token_digest: &str) -> Result<Option<link::Model>, StoreError> {
        let row = self.0.store.link_by_digest(token_digest).await?;
        // The index finds the only one it may be; that it is it is compared in constant time.
        let is_it = |row: &link::Model| bool::from(row.token_digest.as_bytes().ct_eq(token_digest.as_bytes()));
        Ok(row.filter(|row| is_it(row) && row.purpose == purpose && self.0.link_keys.know(row)))
    }

    /// Has refused events announced at once.
    pub fn refused(&self) {
        self.0.committed.notify_one();
    }

    /// Decides on `event` for the registration `id` and commits what was decided, with what settles `cause`. When somebody
    /// else changed the registration or its tree meanwhile, it is decided again on what is there then.
    ///
    /// # Errors
    /// When it cannot be applied now, or the database refuses it.
    pub async fn apply(&self, id: &RegistrationId, event: &Event, cause: &Cause) -> Result<Applied, Trouble> {
        for _ in 0..DECIDE_TRIES {
            let stored = self.0.store.registration(id).await?;
            let now = self.now();
            let (decided, tree) = self.decided(id, stored.as_ref(), event, now).await?;
            let decision = match decided {
                Decided::Decision(decision) => decision,
                Decided::Refusal(refusal) => return Ok(Applied::Refused(refusal)),
                Decided::Ignored => return Ok(Applied::Ignored),
                Decided::NeedsPresentFacts | Decided::NeedsOrganization(_) => {
                    unreachable!("`decided` gathers the facts")
                }
            };
            let mut transition = self.0.transition(&decision, tree, cause, now);
            let queued = self.0.dispatch.admit(&mut transition);
            match self.0.store.commit(transition).await? {
                Verdict::Applied => {
                    self.0.dispatch.send(queued);
                    self.0.committed.notify_one();
                    note_change(stored.as_ref(), &decision.registration, now);
                    tracing::info!(
                        registration = %id,
                        event = decision.entry.event,
                        state = decision.registration.state.name().as_str(),
                        version = decision.registration.version,
                        "registration changed"
                    );
                    return Ok(Applied::Changed(Box::new(decision.registration)));
                }
                Verdict::Stale(Guard::Registration | Guard::Tree) => {}
                Verdict::Stale(guard) => return Ok(Applied::Dropped(guard)),
            }
        }
        Err(Trouble::Contention(format!("registration {id}")))
    }

    /// Decides, gathering the facts that the decision asks for.
    async fn decided(
        &self,
        id: &RegistrationId,
        stored: Option<&Registration>,
        event: &Event,
        now: DateTime<Utc>,
    ) -> Result<(Decided, Option<facts::Tree>), Trouble> {
        let Some(registration) = stored else {
            if self.0.store.is_erased(id).await? {
                let refusal = Refusal::new(Reason::NotAllowed, "erased");
                return Ok((Decided::Refusal(refusal.with("registration", id.as_str())), None));
            }
            return Ok((submit(id, event, now), None));
        };
        let parts = &self.0;
        let mut facts = Facts::default();
        let mut tree = None;
        // Each kind of facts is asked for at most once.
        loop {
            match decide(registration, event, &facts, now, &parts.rules) {
                Decided::NeedsPresentFacts if facts.present.is_none() => {
                    let gathering = facts::gather(&parts.store, &parts.directory, registration, now);
                    let gathered = in_time(gathering).await?;
                    facts.present = Some(gathered.present);
                    tree = tree.or(gathered.tree);
                }
                Decided::NeedsOrganization(organization) if facts.chosen.is_none() => {
                    let gathering = facts::gather_chosen(&parts.store, &parts.directory, &organization);
                    let (chosen, of) = in_time(gathering).await?;
                    facts.chosen = Some(chosen.map_or(Chosen::Unknown, Chosen::Site));
                    // What an agent chooses is what the decision rests on, wherever the contract belongs.
                    tree = of;
                }
                decided => return Ok((decided, tree)),
            }
        }
    }
}

/// Counts a change, and how long the registration was in the state that it has left.
fn note_change(before: Option<&Registration>, after: &Registration, now: DateTime<Utc>) {
    let to = after.state.name();
    let left = before
        .filter(|before| before.state.name() != to)
        .map(|before| (before.state.name(), (now - before.since).to_std().unwrap_or_default()));
    metrics::registration_changed(to, left);
}

/// Gathering that takes too long counts as an outage of the directory.
async fn in_time<T>(gathering: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::time::timeout(GATHER_WITHIN, gathering)
        .await
        .map_err(|_| Unavailable {
            service: "directory",
            message: format!("it did not answer within {GATHER_WITHIN:?}"),
        })?
}
