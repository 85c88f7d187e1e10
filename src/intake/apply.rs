//! Applies the events of the inbox: those of one subject in order, different subjects side by side.

use std::collections::BTreeMap;

use enrolld_jobs::{
    cloud_event::{self, CloudEvent, UpstreamEvent},
    delegation::Request,
    event::Event,
    refusal::{Reason, Refusal},
    trace::Trace,
    values::{AccountId, InvalidValue, RegistrationId},
};
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{EXTENSIONS, Holder, Intake, Survival, Trouble, entry};
use crate::{
    executor::{Cause, Handled},
    links::PURPOSE_EMAIL,
    logging::traced,
    metrics, progress,
    spans::{Kind, Span},
    store::{
        entities::inbox,
        error::StoreError,
        inbox::NewEvent,
        leases::Lease,
        milliseconds,
        transition::{Guard, InboxWrite},
    },
};

/// Events loaded in one go.
const CHUNK: u64 = 500;

/// Runs of an event that end their daemon before it is refused.
const MAX_CRASHES: i64 = 3;

/// What became of an event's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It is over: the next of its subject may come.
    Over,
    /// It is over, since it is refused.
    Refused(Reason),
    /// It has to wait, and its subject with it.
    Held,
    /// The lease has another holder.
    Lost,
}

impl Intake {
    /// Applies everything that waits, but for the subjects that are held up.
    pub(super) async fn apply_waiting(&self, holder: &mut Holder, stop: &CancellationToken) -> Result<(), Trouble> {
        let mut after = 0;
        while !stop.is_cancelled() {
            let events = self.executor.store().waiting_events(after, CHUNK).await?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            after = last.seq;
            let more = events.len() as u64 == CHUNK;
            self.apply_side_by_side(events, holder).await;
            if !more {
                return Ok(());
            }
            if holder.extended.elapsed() >= self.lease_for() / EXTENSIONS && !self.extend(holder).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What an earlier holder left waiting. Some of it may have been its end, so that is noted before it is tried: in groups first;
    /// should one of those be the end of this daemon, each of its events is tried alone by the next.
    pub(super) async fn apply_left_over(
        &self,
        holder: &mut Holder,
        survival: &mut Survival,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        // Before the next judgement, without fail.
        self.take_back_note(survival).await?;
        let mut after = 0;
        loop {
            let events = self.executor.store().waiting_events(after, CHUNK).await?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            after = last.seq;
            let mut group = Vec::new();
            for event in events {
                let is_suspicious = event.crashes > 0;
                if is_suspicious || group.len() == self.batch {
                    self.apply_group(std::mem::take(&mut group), holder, survival).await?;
                }
                if stop.is_cancelled() {
                    return Ok(());
                }
                if !is_suspicious {
                    group.push(event);
                } else if !holder.held.contains(&event.subject) && !self.apply_alone(event, holder, survival).await? {
                    return Ok(());
                }
            }
            self.apply_group(group, holder, survival).await?;
        }
    }

    /// Applies events that no daemon has ended over yet.
    async fn apply_group(
        &self,
        events: Vec<inbox::Model>,
        holder: &mut Holder,
        survival: &mut Survival,
    ) -> Result<(), Trouble> {
        if events.is_empty() {
            return Ok(());
        }
        // Before it is written: the answer may be lost.
        survival.noted = events.iter().map(|event| event.seq).collect();
        self.executor.store().note_event_crashes(&survival.noted).await?;
        self.apply_side_by_side(events, holder).await;
        self.take_back_note(survival).await?;
        self.lease().await?;
        Ok(())
    }

    /// Applies an event that a daemon may have ended over; `false` if the lease has another holder.
    async fn apply_alone(
        &self,
        event: inbox::Model,
        holder: &mut Holder,
        survival: &mut Survival,
    ) -> Result<bool, Trouble> {
        let (seq, subject, crashes) = (event.seq, event.subject.clone(), event.crashes + 1);
        survival.noted = vec![seq];
        self.executor.store().note_event_crashes(&survival.noted).await?;
        if crashes > MAX_CRASHES {
            let refusal = Refusal::new(Reason::Poison, "poison").with("crashes", crashes - 1);
            self.refuse(&event, &refusal).await?;
            survival.noted.clear();
            return Ok(true);
        }
        let turn = self.turn(event, &holder.lease).await;
        self.take_back_note(survival).await?;
        match turn {
            Turn::Over | Turn::Refused(_) => {}
            Turn::Held => {
                holder.held.insert(subject);
            }
            Turn::Lost => return Ok(false),
        }
        self.lease().await?;
        Ok(true)
    }

    /// The daemon has survived the events whose run was noted.
    pub(super) async fn take_back_note(&self, survival: &mut Survival) -> Result<(), Trouble> {
        if !survival.noted.is_empty() {
            self.executor.store().clear_event_crashes(&survival.noted).await?;
            survival.noted.clear();
        }
        Ok(())
    }

    async fn apply_side_by_side(&self, events: Vec<inbox::Model>, holder: &mut Holder) {
        let mut subjects: BTreeMap<String, Vec<inbox::Model>> = BTreeMap::new();
        for event in events {
            if !holder.held.contains(&event.subject) {
                subjects.entry(event.subject.clone()).or_default().push(event);
            }
        }
        let lease = &holder.lease;
        let held: Vec<_> = stream::iter(subjects)
            .map(|(subject, events)| async move {
                for event in events {
                    match self.turn(event, lease).await {
                        Turn::Over | Turn::Refused(_) => {}
                        Turn::Held => return Some(subject),
                        Turn::Lost => return None,
                    }
                }
                None
            })
            .buffer_unordered(self.batch)
            .filter_map(std::future::ready)
            .collect()
            .await;
        holder.held.extend(held);
    }

    /// One event's turn.
    async fn turn(&self, row: inbox::Model, lease: &Lease) -> Turn {
        progress::goes_round();
        let mut event = cloud_event::parse_kept(row.body.as_bytes());
        let parent = match &event {
            Ok(event) => event.trace,
            Err(_) => Trace::of_event(&row.source, &row.event_id),
        };
        // What follows from the event is the doing of this part of the work. A repeat of it is another.
        let own = parent.part(&format!("event/{}", row.seq));
        if let Ok(event) = &mut event {
            event.trace = own;
        }
        let (begun, attributes) = (self.executor.now(), about(&row));
        let turn = self.turn_of(row, event, lease).instrument(traced(own)).await;
        let error = match turn {
            Turn::Over => Some(None),
            Turn::Refused(reason) => Some(Some(reason.as_str().to_owned())),
            // It has its turn again.
            Turn::Held | Turn::Lost => None,
        };
        if let Some(error) = error {
            self.executor.spans().record(|| Span {
                parent,
                own,
                name: "event".into(),
                kind: Kind::Consumer,
                begun,
                ended: self.executor.now(),
                attributes,
                error,
            });
        }
        turn
    }

    async fn turn_of(&self, row: inbox::Model, event: Result<CloudEvent, Refusal>, lease: &Lease) -> Turn {
        match self.apply(&row, event, lease).await {
            Ok(turn) => turn,
            Err(error) if !error.is_temporary() => {
                tracing::error!(seq = row.seq, subject = row.subject, %error, "an event cannot be applied");
                let refusal = Refusal::new(Reason::Poison, "not_storable").with("message", error.to_string());
                match self.refuse(&row, &refusal).await {
                    Ok(()) => Turn::Refused(refusal.reason),
                    Err(_) => Turn::Held,
                }
            }
            Err(error) => {
                if let crate::executor::Trouble::Store(StoreError::Fault(_)) = error {
                    tracing::error!(seq = row.seq, subject = row.subject, %error, "an event waits until the database is mended");
                } else {
                    tracing::warn!(seq = row.seq, subject = row.subject, %error, "an event waits");
                }
                Turn::Held
            }
        }
    }

    async fn apply(
        &self,
        row: &inbox::Model,
        event: Result<CloudEvent, Refusal>,
        lease: &Lease,
    ) -> Result<Turn, crate::executor::Trouble> {
        let store = self.executor.store();
        let event = match event {
            Ok(event) => event,
            Err(refusal) => {
                // Kept by a release that took what this one does not.
                self.refuse(row, &refusal).await?;
                return Ok(Turn::Refused(refusal.reason));
            }
        };
        let inbox = InboxWrite {
            seq: row.seq,
            source: row.source.clone(),
            event_id: row.event_id.clone(),
            done_ms: milliseconds(self.executor.now()),
            lease: lease.name.to_owned(),
            lease_epoch: lease.epoch,
        };
        match self.handle(&event, inbox).await? {
            Handled::Done => {
                metrics::event_applied(entry::age(&row.entry, self.executor.now()));
                Ok(Turn::Over)
            }
            Handled::Dropped(Guard::Inbox) => Ok(Turn::Over),
            Handled::Dropped(Guard::Lease) => Ok(Turn::Lost),
            Handled::Dropped(Guard::Duplicate) => {
                store.end_repeated(row.seq, self.executor.now()).await?;
                metrics::event_repeated();
                Ok(Turn::Over)
            }
            Handled::Dropped(Guard::Registration | Guard::Tree | Guard::Job | Guard::Grant) => {
                unreachable!("what changed meanwhile is decided again, and an upstream event has no job")
            }
            Handled::Refused(refusal) => {
                // A repeat of an applied event is no news, whatever the state is by now.
                if store.is_applied(&row.source, &row.event_id).await? {
                    store.end_repeated(row.seq, self.executor.now()).await?;
                    metrics::event_repeated();
                    return Ok(Turn::Over);
                }
                self.refuse(row, &refusal).await?;
                Ok(Turn::Refused(refusal.reason))
            }
        }
    }

    /// Hands the event to the part of the workflow that it is for.
    async fn handle(&self, event: &CloudEvent, inbox: InboxWrite) -> Result<Handled, crate::executor::Trouble> {
        let link = self.link_of(event).await?;
        if let Some(happened) = Event::from_upstream(&event.data, |_| link) {
            let id = RegistrationId::new(event.subject.as_str()).map_err(invalid_subject);
            return match id {
                Ok(id) => {
                    let trace = event.trace;
                    let cause = Cause::Inbox { inbox, trace };
                    Ok(self.executor.apply(&id, &happened, &cause).await?.into())
                }
                Err(refusal) => Ok(Handled::Refused(refusal)),
            };
        }
        if let UpstreamEvent::MailBounced(bounced) = &event.data {
            return self.executor.bounced(&event.subject, bounced, inbox, event.trace).await;
        }
        let subject = AccountId::new(event.subject.as_str()).map_err(invalid_subject);
        match subject.map(|account| Request::from_upstream(&account, &event.data)) {
            Ok(Some(request)) => self.executor.delegate(&request, &inbox, event.trace).await,
            Ok(None) => unreachable!("every other event is about a registration or a mail"),
            Err(refusal) => Ok(Handled::Refused(refusal)),
        }
    }

    /// The link that the token of `email_verified` was made for. The inbox holds the token's digest.
    async fn link_of(&self, event: &CloudEvent) -> Result<Option<Uuid>, crate::executor::Trouble> {
        let UpstreamEvent::RegistrationEmailVerified(data) = &event.data else {
            return Ok(None);
        };
        let link = self.executor.link_of(PURPOSE_EMAIL, &data.token).await?;
        Ok(link
            .filter(|link| link.registration_id == event.subject)
            .and_then(|link| Uuid::parse_str(&link.id).ok()))
    }

    async fn refuse(&self, row: &inbox::Model, refusal: &Refusal) -> Result<(), StoreError> {
        let kept = NewEvent {
            entry: row.entry.clone(),
            source: row.source.clone(),
            event_id: row.event_id.clone(),
            subject: row.subject.clone(),
            kind: row.r#type.clone(),
            body: row.body.clone(),
        };
        let refused = entry::refused(&row.entry, row.body.clone().into_bytes(), Some(&kept), refusal);
        tracing::info!(
            subject = row.subject,
            event = row.r#type,
            reason = refused.reason,
            code = refusal.code(),
            "an event is refused"
        );
        self.executor
            .store()
            .refuse_event(row.seq, &refused, self.executor.now())
            .await?;
        self.executor.refused();
        metrics::event_refused(refused.reason);
        Ok(())
    }
}

/// Parsing has looked at it already.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn invalid_subject(error: InvalidValue) -> Refusal {
    Refusal::new(Reason::InvalidData, "invalid_data").with("message", format!("subject: {error}"))
}

/// What is told of an event with its span.
fn about(row: &inbox::Model) -> Vec<(&'static str, String)> {
    let mut about = vec![
        ("cloudevents.event_id", row.event_id.clone()),
        ("cloudevents.event_source", row.source.clone()),
        ("cloudevents.event_type", row.r#type.clone()),
    ];
    // Others are about accounts, whose ids may be addresses.
    if row.r#type.starts_with("registration.") {
        about.push(("enrolld.registration.id", row.subject.clone()));
    }
    about
}
