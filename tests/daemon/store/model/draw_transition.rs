//! Transitions drawn at random.

use enrolld::store::{
    entities::job,
    transition::{
        AcceptedTerms, EndedAppointment, EndedGrant, GrantGuard, InboxWrite, JobWrite, MailWrite, NewAppointment,
        NewDelegation, NewFailedAttempt, NewGrant, NewJob, NewLink, NewMail, NewNotice, NewSuppression, NewSync,
        RegistrationWrite, SyncWrite, TermsWrite, Transition, TreeGuard, VersionGuard,
    },
};
use enrolld_jobs::effect::sync_id;
use rand::{RngExt as _, seq::IndexedRandom as _};
use uuid::Uuid;

use super::{
    LONG_MS,
    command::{LEASE, TARGETS},
    draw::Drawing,
    world::TREES,
};

impl Drawing<'_> {
    pub(super) fn transition(&mut self) -> Transition {
        let mut transition = Transition::default();
        if self.chance(75) {
            self.with_registrations(&mut transition);
        }
        if self.chance(40) {
            self.with_job(&mut transition);
        }
        if self.chance(25) {
            self.with_event(&mut transition);
        }
        if self.chance(20) {
            self.with_tree(&mut transition);
        }
        for _ in 0..self.dice.random_range(0..3) {
            self.with_new_job(&mut transition);
        }
        self.with_the_rest(&mut transition);
        transition
    }

    fn with_registrations(&mut self, transition: &mut Transition) {
        for _ in 0..=u32::from(self.chance(15)) {
            let Some(id) = self.registration() else { return };
            let is_there = transition.registrations.iter().any(|write| write.id == id);
            if !is_there {
                let write = self.registration_write(id);
                transition.registrations.push(write);
            }
        }
        if self.chance(10)
            && let Some(id) = self.registration()
            && transition.registrations.iter().all(|write| write.id != id)
        {
            let stored = self.world().registrations.get(&id).map_or(0, |row| row.version);
            let version = if self.chance(80) { stored } else { stored + 1 };
            transition.unchanged.push(VersionGuard { id, version });
        }
    }

    fn registration_write(&mut self, id: String) -> RegistrationWrite {
        let now_ms = self.now_ms();
        let stored = self.world().registrations.get(&id).map_or(0, |row| row.version);
        let version = match self.dice.random_range(0..10) {
            0 => stored.max(1),
            1 => stored + 2,
            _ => stored + 1,
        };
        let token = self.id();
        RegistrationWrite {
            account_id: format!("account of {id}"),
            state: self
                .one_of(&["verifying", "awaiting_da", "active", "in_review"])
                .expect("some"),
            version,
            step: if self.chance(60) { version } else { version - 1 },
            root_id: self.chance(50).then(|| TREES[0].to_owned()),
            review_reason: self.chance(10).then_some("no_contact"),
            da_account_id: self.chance(20).then(|| "boss".to_owned()),
            since_ms: now_ms,
            created_ms: now_ms,
            data: format!("{{\"version\":{version}}}"),
            at_ms: now_ms,
            event: "registration.confirmed",
            actor: self.one_of(&["enrolld", "newbie", "boss"]).expect("some").to_owned(),
            detail: format!("{{\"round\":{}}}", self.round),
            token,
            notice: format!("{{\"subject\":\"{id}\",\"version\":{version},\"token\":\"{token}\"}}"),
            id,
        }
    }

    /// A job's run that begins or ends, most likely one that there is. With a decision it is a job of the registration decided on, as in
    /// the daemon: of two decisions that would each cancel the job of the other, in one batch, neither would be the first.
    fn with_job(&mut self, transition: &mut Transition) {
        let decided_on: Vec<_> = transition.registrations.iter().map(|write| write.id.clone()).collect();
        let is_meant = |job: &job::Model| {
            let of = job.registration_id.as_ref();
            decided_on.is_empty() || of.is_none_or(|of| decided_on.contains(of))
        };
        let Some(job) = self.job(|job| matches!(job.state.as_str(), "queued" | "running") && is_meant(job)) else {
            return;
        };
        let write = self.job_write(&job);
        if matches!(job.kind.as_str(), "notification" | "email_verification") && write.finished_ms.is_some() {
            let is_sent = write.state == "succeeded";
            transition.mail = Some(MailWrite {
                id: write.id,
                state: if is_sent { "sent" } else { "failed" },
                address: Some("newbie@acme.example".to_owned()),
                locale: Some("en"),
                subject: None,
                note: None,
                sent_ms: is_sent.then_some(self.now_ms()),
            });
        }
        if job.kind == "provisioning_sync" && write.state != "running" {
            self.with_sync(transition, write.id);
        }
        if self.chance(10) {
            let all: Vec<_> = self.world().appointments.keys().cloned().collect();
            let sent = self.dice.random_range(1..4);
            let id = self.one_of(&all).and_then(|id| id.parse().ok());
            transition.terms = id.map(|id| TermsWrite { id, sent });
        }
        transition.job = Some(write);
    }

    fn job_write(&mut self, job: &job::Model) -> JobWrite {
        let now_ms = self.now_ms();
        let state = if job.state == "queued" && self.chance(40) {
            "running"
        } else {
            self.one_of(&["succeeded", "succeeded", "retrying", "scheduled", "dead"])
                .expect("some")
        };
        let is_over = matches!(state, "succeeded" | "dead");
        // Some began long ago, so that they count as abandoned once their daemon is silent.
        let started = if self.chance(50) { now_ms } else { now_ms - 2 * LONG_MS };
        JobWrite {
            id: job.id.parse().expect("an id"),
            run_no: job.run_no + i64::from(self.chance(10)),
            from: if self.chance(5) {
                "running".to_owned()
            } else {
                job.state.clone()
            },
            state,
            attempts: job.attempts + 1,
            failures: self.dice.random_range(0..3),
            crashes: 0,
            run_at_ms: now_ms + self.dice.random_range(-2_000..4_000),
            started_ms: Some(started),
            finished_ms: is_over.then_some(now_ms),
            daemon_id: self.one_of(&["daemon-1", "daemon-2"]).map(str::to_owned),
            error_class: self.chance(20).then(|| "smtp".to_owned()),
            error: None,
            note: self.chance(20).then(|| "a note".to_owned()),
        }
    }

    /// How far a grant has come, under the guard of the grant.
    fn with_sync(&mut self, transition: &mut Transition, id: Uuid) {
        let Some(sync) = self.world().syncs.get(&id.to_string()).cloned() else {
            return;
        };
        let grant = self.world().grants[&sync.grant_id].clone();
        let is_open = grant.ended_ms.is_none();
        transition.grant = Some(GrantGuard {
            id: grant.id.parse().expect("an id"),
            is_open: if self.chance(10) { !is_open } else { is_open },
        });
        transition.sync = Some(SyncWrite {
            id,
            phase: self.one_of(&["there", "gone"]).expect("some"),
            losses: sync.losses + i64::from(self.chance(20)),
            updated_ms: self.now_ms(),
        });
    }

    fn with_event(&mut self, transition: &mut Transition) {
        let Some(seq) = self.event() else { return };
        let (_, source, event_id) = self.found.seqs[&seq].clone();
        transition.inbox = Some(InboxWrite {
            seq,
            source,
            event_id,
            done_ms: self.now_ms(),
            lease: LEASE.to_owned(),
            lease_epoch: self.epoch(),
        });
    }

    /// What changes who is DA or holds access, which is done under the guard of the tree.
    fn with_tree(&mut self, transition: &mut Transition) {
        let now_ms = self.now_ms();
        let root_id = self.one_of(&TREES).expect("some").to_owned();
        let stored = self.world().trees[&root_id];
        let registration_id = transition.registrations.first().map(|write| write.id.clone());
        let account_id = self.account();
        let mut raises = true;
        match self.dice.random_range(0..6) {
            0 | 1 => {
                let id = self.id();
                transition.appointments.push(NewAppointment {
                    id,
                    account_id,
                    organization_id: root_id.clone(),
                    registration_id,
                    appointed_ms: now_ms,
                });
            }
            2 => transition.ended_appointments.push(EndedAppointment {
                account_id,
                organization_id: root_id.clone(),
                ended_ms: now_ms,
            }),
            3 => {
                transition.accepted_terms.push(AcceptedTerms {
                    account_id,
                    organization_id: root_id.clone(),
                    accepted_ms: now_ms,
                });
                raises = false;
            }
            4 => self.with_grant(transition, account_id, &root_id, registration_id),
            _ => {
                let of_tree = self
                    .world()
                    .grants
                    .values()
                    .filter(|grant| grant.organization_id == root_id);
                let of_tree: Vec<_> = of_tree.map(|grant| grant.id.clone()).collect();
                if let Some(id) = self.one_of(&of_tree) {
                    let id = id.parse().expect("an id");
                    transition.ended_grants.push(EndedGrant {
                        id,
                        ended_ms: now_ms,
                        ended_by: Some(account_id),
                        trace: format!("of {id}"),
                    });
                }
            }
        }
        let epoch = if self.chance(10) { stored - 1 } else { stored };
        transition.tree = Some(TreeGuard { root_id, epoch, raises });
    }

    fn with_grant(&mut self, transition: &mut Transition, account: String, tree: &str, registration: Option<String>) {
        let (id, now_ms) = (self.id(), self.now_ms());
        for target in TARGETS {
            let sync = sync_id(id, target);
            transition.syncs.push(NewSync {
                id: sync,
                grant_id: id,
                target: target.to_owned(),
                updated_ms: now_ms,
            });
            let job = self.new_job(sync, "provisioning_sync", registration.clone(), 0, false);
            transition.jobs.push(job);
        }
        transition.grants.push(NewGrant {
            id,
            registration_id: registration,
            account_id: account,
            organization_id: tree.to_owned(),
            access: "partner_user",
            granted_ms: now_ms,
        });
    }

    /// A job of the registration's new step, or of no registration; perhaps with a mail.
    fn with_new_job(&mut self, transition: &mut Transition) {
        let of = transition.registrations.choose(&mut self.dice);
        let (registration, step) = of.map_or((None, 0), |write| (Some(write.id.clone()), write.step));
        let id = self.id();
        let is_mail = self.chance(40);
        let kind = if is_mail { "notification" } else { "verification" };
        let step_bound = registration.is_some() && self.chance(70);
        let job = self.new_job(id, kind, registration.clone(), step, step_bound);
        if is_mail {
            let mail = self.new_mail(id, registration, step);
            transition.mails.push(mail);
        }
        transition.jobs.push(job);
    }

    fn new_job(
        &mut self,
        id: Uuid,
        kind: &'static str,
        registration_id: Option<String>,
        step: i64,
        step_bound: bool,
    ) -> NewJob {
        let now_ms = self.now_ms();
        let is_timer = self.chance(40);
        NewJob {
            id,
            kind,
            account_id: registration_id.is_none().then(|| "boss".to_owned()),
            registration_id,
            step,
            step_bound,
            state: if is_timer { "scheduled" } else { "queued" },
            run_no: i64::from(!is_timer),
            run_at_ms: if is_timer {
                now_ms + self.dice.random_range(0..6_000)
            } else {
                now_ms
            },
            queued_ms: (!is_timer).then_some(now_ms),
            created_ms: now_ms,
            trace: format!("of {id}"),
        }
    }

    fn new_mail(&mut self, id: Uuid, registration_id: Option<String>, step: i64) -> NewMail {
        NewMail {
            id,
            kind: "review_case",
            registration_id,
            step,
            recipient: format!("{{\"round\":{}}}", self.round),
            created_ms: self.now_ms(),
        }
    }

    fn with_the_rest(&mut self, transition: &mut Transition) {
        let now_ms = self.now_ms();
        let first = transition.registrations.first().map(|write| write.id.clone());
        if self.chance(10) {
            // Mails with few ids, so that many are there already.
            let id = Uuid::from_u128(self.dice.random_range(1..40));
            let job = self.new_job(id, "notification", None, 0, false);
            let mail = self.new_mail(id, None, 0);
            transition.once.push((job, mail));
        }
        if let Some(registration_id) = first.filter(|_| self.chance(20)) {
            let id = self.id();
            transition.links.push(NewLink {
                id,
                registration_id,
                purpose: "email_verification",
                account_id: None,
                nonce: "00".to_owned(),
                key_id: "key".to_owned(),
                token_digest: format!("digest of {id}"),
                valid_until_ms: Some(now_ms),
                created_ms: now_ms,
            });
        }
        if self.chance(10) {
            let (id, account_id) = (self.id(), self.account());
            transition.failed_attempts.push(NewFailedAttempt {
                id,
                account_id,
                at_ms: now_ms,
            });
        }
        if self.chance(10) {
            let number = self.dice.random_range(0..20);
            transition.suppressions.push(NewSuppression {
                address_digest: format!("digest {number}"),
                masked: "n…@acme.example".to_owned(),
                since_ms: now_ms,
            });
        }
        if self.chance(10) {
            let id = self.id();
            transition.delegations.push(NewDelegation {
                id,
                at_ms: now_ms,
                event: "delegation.user_added",
                account_id: "newbie".to_owned(),
                organization_id: TREES[0].to_owned(),
                actor: "boss".to_owned(),
                role: None,
            });
        }
        if self.chance(10) {
            let body = format!("{{\"alert\":\"{}\"}}", self.id());
            transition.notices.push(NewNotice { body });
        }
    }
}
