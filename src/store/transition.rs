//! A transition: everything that changes with one decision, written whole or not at all.

use serde::Serialize;
use uuid::Uuid;

use super::{attempts::NewAttempt, interventions::NewIntervention};

/// Everything that changes with one decision. Each part that carries an expectation is a guard: the transition is written
/// only if all of them hold at the moment of the commit.
#[derive(Debug, Clone, Default)]
pub struct Transition {
    /// The registration's next version, then those of others that change with it (D18).
    pub registrations: Vec<RegistrationWrite>,
    /// Guard: these registrations still have these versions (D18).
    pub unchanged: Vec<VersionGuard>,
    /// Guard: nobody has changed who is DA or holds access in the tree since the facts were gathered.
    pub tree: Option<TreeGuard>,
    /// Guard and change: the job that led here is in the run expected.
    pub job: Option<JobWrite>,
    /// The run that ended so, where it did not simply succeed.
    pub attempt: Option<NewAttempt>,
    /// What a person has done with that job.
    pub intervention: Option<NewIntervention>,
    /// Guard and change: the event that led here waits in the inbox, and no event with its key has been applied.
    pub inbox: Option<InboxWrite>,
    /// Guard: the grant is still wanted, or not, as when the target was called (D11).
    pub grant: Option<GrantGuard>,
    /// New jobs.
    pub jobs: Vec<NewJob>,
    /// New mail records.
    pub mails: Vec<NewMail>,
    /// Mails, with their jobs, that may be there already: they are left as they are then.
    pub once: Vec<(NewJob, NewMail)>,
    /// New links.
    pub links: Vec<NewLink>,
    /// New appointments.
    pub appointments: Vec<NewAppointment>,
    /// New grants.
    pub grants: Vec<NewGrant>,
    /// What is to be driven to targets; the jobs are among the new ones.
    pub syncs: Vec<NewSync>,
    /// Grants that are taken back. Their syncs are queued again.
    pub ended_grants: Vec<EndedGrant>,
    /// Appointments that end.
    pub ended_appointments: Vec<EndedAppointment>,
    /// Appointments whose terms are accepted.
    pub accepted_terms: Vec<AcceptedTerms>,
    /// Verifications that failed.
    pub failed_attempts: Vec<NewFailedAttempt>,
    /// Addresses that get no mail any more.
    pub suppressions: Vec<NewSuppression>,
    /// What a DA did, for the record.
    pub delegations: Vec<NewDelegation>,
    /// Events that go out besides those of the registrations.
    pub notices: Vec<NewNotice>,
    /// Change of the mail that a job has sent, or not.
    pub mail: Option<MailWrite>,
    /// How far a grant has come at a target.
    pub sync: Option<SyncWrite>,
    /// How many reminders of the terms have been sent.
    pub terms: Option<TermsWrite>,
}

/// A registration's next version. Guard: the stored version is the one before, or there is none if this is the first.
#[derive(Debug, Clone, Serialize)]
pub struct RegistrationWrite {
    /// The registration's id.
    pub id: String,
    /// Whose it is.
    pub account_id: String,
    /// The state's name.
    pub state: &'static str,
    /// The new version; the stored one must be one less.
    pub version: i64,
    /// The step; jobs that belong to an earlier one are cancelled.
    pub step: i64,
    /// The root of the site's tree, once known.
    pub root_id: Option<String>,
    /// Why agents have it as a case, if they do.
    pub review_reason: Option<&'static str>,
    /// The DA whom it waits for, if it does.
    pub da_account_id: Option<String>,
    /// When the state began.
    pub since_ms: i64,
    /// When it was taken in.
    pub created_ms: i64,
    /// The whole registration as JSON.
    pub data: String,
    /// Time of the timeline's entry.
    pub at_ms: i64,
    /// Event of the timeline's entry.
    pub event: &'static str,
    /// Actor of the timeline's entry.
    pub actor: String,
    /// Detail of the timeline's entry, as JSON.
    pub detail: String,
    /// Tells after a lost connection whether this very write came through.
    pub token: Uuid,
    /// The event that goes out, as JSON.
    pub notice: String,
}

/// See [`Transition::unchanged`].
#[derive(Debug, Clone, Serialize)]
pub struct VersionGuard {
    /// The registration.
    pub id: String,
    /// The version that it must have.
    pub version: i64,
}

/// See [`Transition::grant`].
#[derive(Debug, Clone, Serialize)]
pub struct GrantGuard {
    /// The grant.
    pub id: Uuid,
    /// Whether it is open.
    pub is_open: bool,
}

/// A grant to be driven to a target (D11).
#[derive(Debug, Clone, Serialize)]
pub struct NewSync {
    /// Its id, also that of its job.
    pub id: Uuid,
    /// The grant.
    pub grant_id: Uuid,
    /// The target's name.
    pub target: String,
    /// When it was made.
    pub updated_ms: i64,
}

/// How far a grant has come at a target.
#[derive(Debug, Clone, Serialize)]
pub struct SyncWrite {
    /// The sync.
    pub id: Uuid,
    /// Its phase's name.
    pub phase: &'static str,
    /// How often the target had it and lost it.
    pub losses: i64,
    /// When that was known.
    pub updated_ms: i64,
}

/// A grant that is taken back.
#[derive(Debug, Clone, Serialize)]
pub struct EndedGrant {
    /// The grant.
    pub id: Uuid,
    /// When.
    pub ended_ms: i64,
    /// The DA who took it back, if one did.
    pub ended_by: Option<String>,
    /// The trace that this belongs to; the jobs that bring it to the targets do, too.
    pub trace: String,
}

/// An appointment that ends, whether it was made here or came with the directory.
#[derive(Debug, Clone, Serialize)]
pub struct EndedAppointment {
    /// Whose.
    pub account_id: String,
    /// Of what.
    pub organization_id: String,
    /// When.
    pub ended_ms: i64,
}

/// The terms of an appointment are accepted (D15).
#[derive(Debug, Clone, Serialize)]
pub struct AcceptedTerms {
    /// By whom.
    pub account_id: String,
    /// As DA of what.
    pub organization_id: String,
    /// When.
    pub accepted_ms: i64,
}

/// How many reminders of the terms have been sent (D15).
#[derive(Debug, Clone, Serialize)]
pub struct TermsWrite {
    /// The appointment.
    pub id: Uuid,
    /// So many, the notice to ops included.
    pub sent: i64,
}

/// An address that gets no mail any more (D22).
#[derive(Debug, Clone, Serialize)]
pub struct NewSuppression {
    /// SHA-256 of the address, in hexadecimal digits.
    pub address_digest: String,
    /// The address with most of its letters left out, for people.
    pub masked: String,
    /// Since when.
    pub since_ms: i64,
}

/// What a DA did with somebody's access (R58).
#[derive(Debug, Clone, Serialize)]
pub struct NewDelegation {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at_ms: i64,
    /// The event's type.
    pub event: &'static str,
    /// Whose access.
    pub account_id: String,
    /// Where.
    pub organization_id: String,
    /// Who did it.
    pub actor: String,
    /// The role, where it was about one.
    pub role: Option<&'static str>,
}

/// An event that goes out.
#[derive(Debug, Clone, Serialize)]
pub struct NewNotice {
    /// The event as JSON.
    pub body: String,
}

/// See [`Transition::tree`].
#[derive(Debug, Clone, Serialize)]
pub struct TreeGuard {
    /// The root's id.
    pub root_id: String,
    /// The epoch under which the facts were gathered.
    pub epoch: i64,
    /// Whether the transition changes who is DA or holds access, and so must raise the epoch.
    pub raises: bool,
}

/// A job's row after its run, or at its start. Guard: `run_no` and `from` are the stored run and state.
#[derive(Debug, Clone, Serialize)]
pub struct JobWrite {
    /// The job.
    pub id: Uuid,
    /// The run that this is.
    pub run_no: i64,
    /// The state that the job is in.
    pub from: String,
    /// The new state's name.
    pub state: &'static str,
    /// Attempts spent.
    pub attempts: i64,
    /// Tries in a row that did not succeed, attempts and outages together.
    pub failures: i64,
    /// Runs that ended their daemon.
    pub crashes: i64,
    /// When it is due.
    pub run_at_ms: i64,
    /// When its present run started.
    pub started_ms: Option<i64>,
    /// When it ended for good.
    pub finished_ms: Option<i64>,
    /// The daemon that runs it, or ran it last.
    pub daemon_id: Option<String>,
    /// The class of the last error.
    pub error_class: Option<String>,
    /// The last error.
    pub error: Option<String>,
    /// How it came out, where that is worth a word.
    pub note: Option<String>,
}

/// The end of an event's wait in the inbox.
#[derive(Debug, Clone, Serialize)]
pub struct InboxWrite {
    /// The event's number.
    pub seq: i64,
    /// First half of the idempotency key.
    pub source: String,
    /// Second half of the idempotency key.
    pub event_id: String,
    /// When it was applied.
    pub done_ms: i64,
    /// The name of the lease under which it is applied.
    pub lease: String,
    /// Guard: the lease still has this epoch.
    pub lease_epoch: i64,
}

/// A new job.
#[derive(Debug, Clone, Serialize)]
pub struct NewJob {
    /// Its id.
    pub id: Uuid,
    /// Its kind's name.
    pub kind: &'static str,
    /// Its registration, if it is for one.
    pub registration_id: Option<String>,
    /// Its account, if it is for one.
    pub account_id: Option<String>,
    /// The step it was made at.
    pub step: i64,
    /// Whether it belongs to that step and is cancelled with it.
    pub step_bound: bool,
    /// `queued` if it is due now, else `scheduled`.
    pub state: &'static str,
    /// 1 if it is queued, else 0: raised with every dispatch.
    pub run_no: i64,
    /// When it is due.
    pub run_at_ms: i64,
    /// When it was queued.
    pub queued_ms: Option<i64>,
    /// When it was made.
    pub created_ms: i64,
    /// The trace that it belongs to.
    pub trace: String,
}

/// A new mail record; the job of the same id sends it.
#[derive(Debug, Clone, Serialize)]
pub struct NewMail {
    /// Its id, also that of its job and the left part of its Message-ID.
    pub id: Uuid,
    /// Its kind's name.
    pub kind: &'static str,
    /// Its registration; none where it is about an account, or an alert.
    pub registration_id: Option<String>,
    /// The step it was made at; 0 without registration.
    pub step: i64,
    /// Whom it goes to, as JSON.
    pub recipient: String,
    /// When it was made.
    pub created_ms: i64,
}

/// What became of a mail.
#[derive(Debug, Clone, Serialize)]
pub struct MailWrite {
    /// The mail.
    pub id: Uuid,
    /// `sent`, `skipped` or `failed`.
    pub state: &'static str,
    /// Where it went.
    pub address: Option<String>,
    /// In which language.
    pub locale: Option<&'static str>,
    /// Under which subject.
    pub subject: Option<String>,
    /// Why it was skipped or failed.
    pub note: Option<String>,
    /// When it was sent.
    pub sent_ms: Option<i64>,
}

/// A new link (D7).
#[derive(Debug, Clone, Serialize)]
pub struct NewLink {
    /// Its id.
    pub id: Uuid,
    /// Its registration.
    pub registration_id: String,
    /// What it is for.
    pub purpose: &'static str,
    /// Whose it is, where it is a DA's.
    pub account_id: Option<String>,
    /// 256 random bits, in hexadecimal digits.
    pub nonce: String,
    /// Which key the token is derived under.
    pub key_id: String,
    /// SHA-256 of the token, in hexadecimal digits.
    pub token_digest: String,
    /// When it expires, if ever.
    pub valid_until_ms: Option<i64>,
    /// When it was made.
    pub created_ms: i64,
}

/// A new appointment as DA.
#[derive(Debug, Clone, Serialize)]
pub struct NewAppointment {
    /// Its id.
    pub id: Uuid,
    /// Whom.
    pub account_id: String,
    /// Of what.
    pub organization_id: String,
    /// By which registration, if not by a DA.
    pub registration_id: Option<String>,
    /// When.
    pub appointed_ms: i64,
}

/// New access.
#[derive(Debug, Clone, Serialize)]
pub struct NewGrant {
    /// Its id.
    pub id: Uuid,
    /// By which registration, if not by a DA.
    pub registration_id: Option<String>,
    /// To whom.
    pub account_id: String,
    /// Where it holds.
    pub organization_id: String,
    /// What, by the name that targets are given.
    pub access: &'static str,
    /// When.
    pub granted_ms: i64,
}

/// A verification that failed (D9).
#[derive(Debug, Clone, Serialize)]
pub struct NewFailedAttempt {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub account_id: String,
    /// When.
    pub at_ms: i64,
}

/// What became of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is written.
    Applied,
    /// A guard did not hold; nothing is written.
    Stale(Guard),
}

/// The guard that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The registration has another version: load it and decide again.
    Registration,
    /// The tree has another epoch: gather the facts and decide again.
    Tree,
    /// The job is in another run, or ended: drop this one.
    Job,
    /// The event does not wait any more: drop it.
    Inbox,
    /// An event with the same key has been applied.
    Duplicate,
    /// The lease has another holder: stop.
    Lease,
    /// The grant is wanted otherwise by now: call the target again.
    Grant,
}

impl Transition {
    /// The registration that chooses the committer.
    pub(super) fn registration_id(&self) -> Option<&str> {
        self.registrations.first().map(|write| write.id.as_str())
    }

    /// What it changes or rests on: two that have one in common never share a batch.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let registrations = self.registrations.iter().map(|write| write.id.clone());
        let unchanged = self.unchanged.iter().map(|guard| guard.id.clone());
        let tree = self.tree.iter().map(|tree| Key::Tree(tree.root_id.clone()));
        let job = self.job.iter().map(|job| Key::Job(job.id));
        let grant = self.grant.iter().map(|grant| Key::Grant(grant.id));
        let ended = self.ended_grants.iter().map(|grant| Key::Grant(grant.id));
        registrations
            .chain(unchanged)
            .map(Key::Registration)
            .chain(tree)
            .chain(job)
            .chain(grant)
            .chain(ended)
    }
}

/// See [`Transition::keys`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Registration(String),
    Tree(String),
    Job(Uuid),
    Grant(Uuid),
}
