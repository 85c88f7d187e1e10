//! What a transition means for the model.

use std::collections::BTreeMap;

use enrolld::store::{
    entities::{appointment, failed_attempt, grant, job, link, mail, registration, suppression, sync, timeline},
    transition::{InboxWrite, JobWrite, NewJob, NewMail, RegistrationWrite, Transition},
};

use super::{
    step::arm,
    world::{InboxKey, World},
};

/// Writes the transition, or nothing of it: its answer, with every guard that does not hold, in the order in which they are looked
/// at.
pub(super) fn commit(world: &mut World, transition: &Transition, seqs: &BTreeMap<i64, InboxKey>) -> String {
    let stale = stale(world, transition, seqs);
    if !stale.is_empty() {
        return format!("stale {}", stale.join(" "));
    }
    let mut written = world.clone();
    if write(&mut written, transition, seqs).is_none() {
        return "refused".to_owned();
    }
    *world = written;
    "done".to_owned()
}

fn stale(world: &World, transition: &Transition, seqs: &BTreeMap<i64, InboxKey>) -> Vec<&'static str> {
    let version = |id: &str| world.registrations.get(id).map_or(0, |row| row.version);
    let is_next = |write: &RegistrationWrite| version(&write.id) == write.version - 1;
    let mut stale = Vec::new();
    if !transition.registrations.iter().all(is_next)
        || !transition
            .unchanged
            .iter()
            .all(|guard| version(&guard.id) == guard.version)
    {
        stale.push("Registration");
    }
    if let Some(tree) = &transition.tree
        && world.trees.get(&tree.root_id) != Some(&tree.epoch)
    {
        stale.push("Tree");
    }
    if let Some(job) = &transition.job {
        let stored = world.jobs.get(&job.id.to_string());
        if stored.is_none_or(|stored| stored.run_no != job.run_no || stored.state != job.from) {
            stale.push("Job");
        }
    }
    if let Some(inbox) = &transition.inbox {
        stale_event(world, inbox, &seqs[&inbox.seq], &mut stale);
    }
    if let Some(guard) = &transition.grant {
        let stored = world.grants.get(&guard.id.to_string());
        if stored.is_none_or(|grant| grant.ended_ms.is_none() != guard.is_open) {
            stale.push("Grant");
        }
    }
    stale
}

fn stale_event(world: &World, inbox: &InboxWrite, key: &InboxKey, stale: &mut Vec<&'static str>) {
    let lease = world.leases.get(&inbox.lease);
    if lease.is_none_or(|(_, epoch, _)| *epoch != inbox.lease_epoch) {
        stale.push("Lease");
    }
    if world.inbox.get(key).is_none_or(|event| event.state != "waiting") {
        stale.push("Inbox");
    }
    let is_same = |key: &InboxKey| (&key.1, &key.2) == (&inbox.source, &inbox.event_id);
    let mut applied = world.inbox.iter().filter(|(_, event)| event.state == "applied");
    if applied.any(|(key, _)| is_same(key)) {
        stale.push("Duplicate");
    }
}

/// `None` where a row is there already that may be there once.
fn write(world: &mut World, transition: &Transition, seqs: &BTreeMap<i64, InboxKey>) -> Option<()> {
    for write in &transition.registrations {
        write_registration(world, write)?;
    }
    for notice in &transition.notices {
        world.notices.insert(notice.body.clone());
    }
    if let Some(tree) = transition.tree.as_ref().filter(|tree| tree.raises) {
        *world.trees.get_mut(&tree.root_id)? += 1;
    }
    if let Some(write) = &transition.job {
        write_job(world.jobs.get_mut(&write.id.to_string())?, write);
    }
    for write in transition.registrations.iter().filter(|write| write.version > 1) {
        end_steps(world, write);
    }
    for job in &transition.jobs {
        insert(&mut world.jobs, job.id.to_string(), new_job(job))?;
    }
    for mail in &transition.mails {
        insert(&mut world.mails, mail.id.to_string(), new_mail(mail))?;
    }
    for (job, mail) in &transition.once {
        world.jobs.entry(job.id.to_string()).or_insert_with(|| new_job(job));
        world.mails.entry(mail.id.to_string()).or_insert_with(|| new_mail(mail));
    }
    if let Some(write) = &transition.mail
        && let Some(mail) = world.mails.get_mut(&write.id.to_string())
    {
        write.state.clone_into(&mut mail.state);
        // What is known of an earlier sending stays.
        mail.address = write.address.clone().or(mail.address.take());
        mail.locale = write.locale.map(str::to_owned).or(mail.locale.take());
        mail.subject = write.subject.clone().or(mail.subject.take());
        mail.note.clone_from(&write.note);
        mail.sent_ms = write.sent_ms.or(mail.sent_ms);
    }
    write_new_rows(world, transition)?;
    if let Some(write) = &transition.sync
        && let Some(sync) = world.syncs.get_mut(&write.id.to_string())
    {
        write.phase.clone_into(&mut sync.phase);
        sync.losses = write.losses;
        sync.updated_ms = write.updated_ms;
    }
    write_endings(world, transition);
    if let Some(write) = &transition.terms
        && let Some(appointment) = world.appointments.get_mut(&write.id.to_string())
    {
        appointment.terms_sent = write.sent;
    }
    if let Some(inbox) = &transition.inbox {
        let event = world.inbox.get_mut(&seqs[&inbox.seq])?;
        "applied".clone_into(&mut event.state);
        event.done_ms = Some(inbox.done_ms);
    }
    Some(())
}

fn write_registration(world: &mut World, write: &RegistrationWrite) -> Option<()> {
    let created_ms = world
        .registrations
        .get(&write.id)
        .map_or(write.created_ms, |row| row.created_ms);
    let row = registration::Model {
        id: write.id.clone(),
        account_id: write.account_id.clone(),
        state: write.state.to_owned(),
        version: write.version,
        root_id: write.root_id.clone(),
        since_ms: write.since_ms,
        created_ms,
        review_reason: write.review_reason.map(str::to_owned),
        da_account_id: write.da_account_id.clone(),
        data: write.data.clone(),
    };
    world.registrations.insert(write.id.clone(), row);
    let line = timeline::Model {
        registration_id: write.id.clone(),
        version: write.version,
        at_ms: write.at_ms,
        event: write.event.to_owned(),
        actor: write.actor.clone(),
        detail: write.detail.clone(),
        token: write.token.to_string(),
    };
    insert(&mut world.timeline, (write.id.clone(), write.version), line)?;
    world.notices.insert(write.notice.clone());
    Some(())
}

/// Cancels what belongs to earlier steps.
fn end_steps(world: &mut World, write: &RegistrationWrite) {
    for job in world.jobs.values_mut() {
        if job.registration_id.as_ref() == Some(&write.id)
            && job.step_bound
            && job.step < write.step
            && matches!(job.state.as_str(), "scheduled" | "queued" | "retrying")
        {
            "cancelled".clone_into(&mut job.state);
            job.finished_ms = Some(write.at_ms);
            job.note = Some("the registration has moved on".to_owned());
        }
    }
}

fn write_job(job: &mut job::Model, write: &JobWrite) {
    write.state.clone_into(&mut job.state);
    job.attempts = write.attempts;
    job.failures = write.failures;
    job.crashes = write.crashes;
    job.run_at_ms = write.run_at_ms;
    job.started_ms = write.started_ms;
    job.finished_ms = write.finished_ms;
    job.daemon_id.clone_from(&write.daemon_id);
    job.error_class.clone_from(&write.error_class);
    job.error.clone_from(&write.error);
    job.note.clone_from(&write.note);
}

fn write_new_rows(world: &mut World, transition: &Transition) -> Option<()> {
    for link in &transition.links {
        let row = link::Model {
            id: link.id.to_string(),
            registration_id: link.registration_id.clone(),
            purpose: link.purpose.to_owned(),
            account_id: link.account_id.clone(),
            nonce: link.nonce.clone(),
            key_id: link.key_id.clone(),
            token_digest: link.token_digest.clone(),
            valid_until_ms: link.valid_until_ms,
            created_ms: link.created_ms,
        };
        insert(&mut world.links, link.id.to_string(), row)?;
    }
    for new in &transition.appointments {
        let key = (&new.organization_id, &new.account_id);
        let mut open = world.appointments.values().filter(|row| row.ended_ms.is_none());
        if open.any(|row| (&row.organization_id, &row.account_id) == key) {
            return None;
        }
        let row = appointment::Model {
            id: new.id.to_string(),
            account_id: new.account_id.clone(),
            organization_id: new.organization_id.clone(),
            registration_id: new.registration_id.clone(),
            appointed_ms: new.appointed_ms,
            ended_ms: None,
            terms_accepted_ms: None,
            terms_sent: 0,
        };
        insert(&mut world.appointments, new.id.to_string(), row)?;
    }
    for attempt in &transition.failed_attempts {
        let (id, account_id, at_ms) = (attempt.id.to_string(), attempt.account_id.clone(), attempt.at_ms);
        insert(
            &mut world.failed_attempts,
            id.clone(),
            failed_attempt::Model { id, account_id, at_ms },
        )?;
    }
    for new in &transition.grants {
        let row = grant::Model {
            id: new.id.to_string(),
            registration_id: new.registration_id.clone(),
            account_id: new.account_id.clone(),
            organization_id: new.organization_id.clone(),
            access: new.access.to_owned(),
            granted_ms: new.granted_ms,
            ended_ms: None,
            ended_by: None,
        };
        insert(&mut world.grants, new.id.to_string(), row)?;
    }
    for new in &transition.syncs {
        let row = sync::Model {
            id: new.id.to_string(),
            grant_id: new.grant_id.to_string(),
            target: new.target.clone(),
            phase: "new".to_owned(),
            losses: 0,
            updated_ms: new.updated_ms,
        };
        insert(&mut world.syncs, new.id.to_string(), row)?;
    }
    for new in &transition.suppressions {
        let row = || suppression::Model {
            address_digest: new.address_digest.clone(),
            masked: new.masked.clone(),
            since_ms: new.since_ms,
        };
        world.suppressions.entry(new.address_digest.clone()).or_insert_with(row);
    }
    world
        .delegations
        .extend(transition.delegations.iter().map(|new| new.id.to_string()));
    Some(())
}

/// What is taken back, and what DAs leave.
fn write_endings(world: &mut World, transition: &Transition) {
    for ended in &transition.ended_grants {
        let id = ended.id.to_string();
        let Some(grant) = world.grants.get(&id).cloned() else {
            continue;
        };
        let syncs: Vec<_> = world
            .syncs
            .values()
            .filter(|sync| sync.grant_id == id)
            .cloned()
            .collect();
        for sync in syncs {
            let may = |state: &str| !matches!(state, "queued" | "running");
            let registration = grant.registration_id.clone();
            if arm(world, &sync.id, registration, ended.ended_ms, may)
                && let Some(job) = world.jobs.get_mut(&sync.id)
            {
                job.trace = Some(ended.trace.clone());
            }
        }
        let grant = world.grants.get_mut(&id).expect("it is there");
        if grant.ended_ms.is_none() {
            grant.ended_ms = Some(ended.ended_ms);
            grant.ended_by.clone_from(&ended.ended_by);
        }
    }
    for ended in &transition.ended_appointments {
        let key = (ended.organization_id.clone(), ended.account_id.clone());
        for row in world.appointments.values_mut() {
            if (&row.organization_id, &row.account_id) == (&key.0, &key.1) && row.ended_ms.is_none() {
                row.ended_ms = Some(ended.ended_ms);
            }
        }
        world.removed.insert(key, ended.ended_ms);
    }
    for accepted in &transition.accepted_terms {
        for row in world.appointments.values_mut() {
            if row.organization_id == accepted.organization_id
                && row.account_id == accepted.account_id
                && row.ended_ms.is_none()
            {
                row.terms_accepted_ms = row.terms_accepted_ms.or(Some(accepted.accepted_ms));
            }
        }
    }
}

fn new_job(new: &NewJob) -> job::Model {
    job::Model {
        id: new.id.to_string(),
        kind: new.kind.to_owned(),
        registration_id: new.registration_id.clone(),
        account_id: new.account_id.clone(),
        step: new.step,
        step_bound: new.step_bound,
        state: new.state.to_owned(),
        run_no: new.run_no,
        attempts: 0,
        failures: 0,
        crashes: 0,
        requeues: 0,
        requeue_note: None,
        run_at_ms: new.run_at_ms,
        queued_ms: new.queued_ms,
        started_ms: None,
        finished_ms: None,
        daemon_id: None,
        error_class: None,
        error: None,
        note: None,
        created_ms: new.created_ms,
        trace: Some(new.trace.clone()),
    }
}

fn new_mail(new: &NewMail) -> mail::Model {
    mail::Model {
        id: new.id.to_string(),
        kind: new.kind.to_owned(),
        registration_id: new.registration_id.clone(),
        step: new.step,
        recipient: new.recipient.clone(),
        state: "waiting".to_owned(),
        address: None,
        locale: None,
        subject: None,
        note: None,
        created_ms: new.created_ms,
        sent_ms: None,
    }
}

fn insert<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: V) -> Option<()> {
    rows.insert(key, row).is_none().then_some(())
}
