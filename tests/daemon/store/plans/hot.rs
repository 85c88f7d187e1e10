//! All that is asked again and again.

use std::time::Duration;

use enrolld::directory::EmbeddedDirectory;
use enrolld::queue::JobRef;
use enrolld::store::counts::Waiting;
use enrolld::store::daemons::Daemon;
use enrolld::store::inbox::{NewEvent, NewRefused};
use enrolld::store::interventions::Order;
use enrolld::store::pruning::Finished;
use enrolld::store::selection::Place;
use enrolld::store::standing::Bounced;
use enrolld::store::transition::{EndedAppointment, EndedGrant, Guard, InboxWrite, NewSync, Transition, Verdict};
use enrolld::store::{jobs, mails, registrations};
use enrolld_jobs::job::JobKind;
use enrolld_jobs::ports::Directory as _;
use enrolld_jobs::registration::{ReviewReason, StateName};
use enrolld_jobs::values::{AccountId, ContractNumber, EmailAddress, OrganizationId, RegistrationId, SerialNumber};

use super::super::*;

/// All that runs again and again, several times: statistics are those of generic plans then.
pub(super) async fn everything(store: &Store, round: i64) {
    let (early, now) = (at(0), at(10));
    for number in 0..3 {
        store.take_due(now, 100).await.expect("the database answers");
        assert_eq!(store.paused_queues().await, Ok(vec![]));
        for kind in JobKind::ALL {
            store.take_due_of(*kind, now, 100).await.expect("the database answers");
            store
                .take_queued_before(*kind, early, now, 100)
                .await
                .expect("the database answers");
            for before in [Some(early), None] {
                store
                    .count_queued(*kind, before, 100)
                    .await
                    .expect("the database answers");
            }
        }
        what_is_counted(store, now).await;
        what_is_taken_in(store, round * 10 + number).await;
        what_the_clock_asks(store, now).await;
        about_one(store).await;
        store
            .take_abandoned(now, Duration::from_secs(10), 100)
            .await
            .expect("the database answers");
        assert_eq!(store.waiting_events(0, 100).await.expect("the database answers"), []);
        assert_eq!(store.unannounced(100).await.expect("the database answers"), []);
        for what in Finished::ALL {
            // As near the end as a look at the index alone still pays.
            store.newest(what, 100).await.expect("the database answers");
            store.prune(what, early, 0).await.expect("the database answers");
        }
        let of_account = registrations::Filter {
            account_id: Some(AccountId::new("account-0").expect("an id")),
            limit: 10,
            ..registrations::Filter::default()
        };
        store.registrations(&of_account).await.expect("the database answers");
        let of_registration = jobs::Filter {
            registration_id: Some("reg-1".to_owned()),
            limit: 10,
            ..jobs::Filter::default()
        };
        store.jobs(&of_registration).await.expect("the database answers");
        about_jobs(store).await;

        about_access(store, round).await;
        about_people(store).await;
        about_erasure(store, round * 10 + number).await;
        what_status_asks(store).await;

        let ids: Vec<_> = (0..5).map(|id| format!("new-{round}-{number}-{id}")).collect();
        let jobs: Vec<_> = ids.iter().map(|id| new_job(id, 1)).collect();
        let first = ids.iter().zip(&jobs).map(|(id, job)| Transition {
            jobs: vec![job.clone()],
            ..version(id, 1)
        });
        let first = commit_all(store, first.collect()).await;
        let next = ids.iter().zip(&jobs).map(|(id, job)| Transition {
            job: Some(ended(job.id, 1, "succeeded")),
            jobs: vec![NewJob {
                state: "succeeded",
                ..new_job(id, 2)
            }],
            ..version(id, 2)
        });
        let next = commit_all(store, next.collect()).await;
        assert!(
            first.iter().chain(&next).all(|answer| *answer == Ok(Verdict::Applied)),
            "{first:?} {next:?}"
        );
        let stale = Transition {
            inbox: Some(InboxWrite {
                seq: 1,
                source: "/portal".to_owned(),
                event_id: "1".to_owned(),
                done_ms: ms(1),
                lease: "intake".to_owned(),
                lease_epoch: 1,
            }),
            ..Transition::default()
        };
        assert_eq!(commit(store, stale).await, Verdict::Stale(Guard::Lease));
    }
}

/// From the stream to the outside: what is taken in, kept in order, refused, and told.
async fn what_is_taken_in(store: &Store, number: i64) {
    const ANSWERS: &str = "the database answers";
    let now = at(20);
    let held = store
        .hold_lease("plans", "daemon-1", now, Duration::from_secs(10))
        .await;
    let lease = held.expect(ANSWERS).expect("nobody else holds it");
    let event = NewEvent {
        entry: format!("taken-{number}"),
        source: "/plans".to_owned(),
        event_id: format!("e-{number}"),
        subject: "reg-1".to_owned(),
        kind: "t".to_owned(),
        body: "{}".to_owned(),
    };
    let refusal = |entry: &str| NewRefused {
        entry: entry.to_owned(),
        kind: None,
        subject: None,
        event: Vec::new(),
        reason: "malformed",
        detail: "{}".to_owned(),
    };
    let refused = [refusal(&format!("refused-{number}"))];
    let taken = store.take_in(&lease, std::slice::from_ref(&event), &refused, now).await;
    assert_eq!(taken, Ok(()));
    let waiting = store.waiting_events(0, 100).await.expect(ANSWERS);
    let seqs: Vec<_> = waiting.iter().map(|event| event.seq).collect();
    assert_eq!(seqs.len(), 1);
    assert_eq!(store.note_event_crashes(&seqs).await, Ok(()));
    assert_eq!(store.clear_event_crashes(&seqs).await, Ok(()));
    assert_eq!(store.is_applied("/plans", &event.event_id).await, Ok(false));
    if number % 2 == 0 {
        assert_eq!(store.end_repeated(seqs[0], now).await, Ok(()));
    } else {
        assert_eq!(store.refuse_event(seqs[0], &refusal(&event.entry), now).await, Ok(()));
    }
    let refused = store.unannounced(100).await.expect(ANSWERS);
    let refused: Vec<_> = refused.iter().map(|event| event.seq).collect();
    assert_eq!(store.announced(&refused, now).await, Ok(()));
    let notices = store.notices(100).await.expect(ANSWERS);
    let notices: Vec<_> = notices.iter().map(|notice| notice.seq).collect();
    assert_eq!(store.delete_notices(&notices).await, Ok(()));
    assert_eq!(store.give_leases_back("daemon-1").await, Ok(()));
}

/// Schedules and signs of life.
async fn what_the_clock_asks(store: &Store, now: DateTime<Utc>) {
    let daemon = Daemon {
        id: "daemon-1".to_owned(),
        host: "host".to_owned(),
        pid: 1,
    };
    assert_eq!(store.heartbeat(&daemon, now).await, Ok(()));
    assert!(store.live_daemons(now, Duration::from_secs(20)).await.is_ok());
    assert!(store.daemons_heard_of(10).await.is_ok());
    assert!(store.claim_tick("schedule-1", now, "daemon-1", now).await.is_ok());
    let open = store
        .take_open_ticks("schedule-1", "daemon-2", at(0), now, Duration::from_secs(20))
        .await;
    assert_eq!(open.map(|ticks| ticks.len()), Ok(0));
    assert!(store.latest_tick("schedule-1").await.is_ok_and(|tick| tick.is_some()));
    assert!(store.tick("schedule-1", now).await.is_ok_and(|tick| tick.is_some()));
    assert_eq!(store.end_tick("schedule-1", now, None, now).await, Ok(()));
}

/// What a job, a link page or a mail asks of one of them.
async fn about_one(store: &Store) {
    let registration = RegistrationId::new("reg-0").expect("an id");
    assert!(store.registration(&registration).await.is_ok());
    assert_eq!(store.timelines(&[&registration]).await, Ok(vec![]));
    let mut after = None;
    for _ in 0..2 {
        let found = store.next_in_state(StateName::Active, after.as_ref(), 2).await;
        after = found.expect("the database answers").pop();
    }
    assert_eq!(store.job(new_id()).await, Ok(None));
    let job = JobRef {
        id: new_id(),
        run_no: 1,
    };
    assert_eq!(store.note_crash(job, "daemon-1", at(1)).await, Ok(None));
    assert_eq!(store.link(new_id()).await, Ok(None));
    assert_eq!(store.link_by_digest("digest").await, Ok(None));
    assert_eq!(store.mail(new_id()).await, Ok(None));
    let of_registration = mails::Filter {
        registration_id: Some("reg-0".to_owned()),
        limit: 10,
        ..mails::Filter::default()
    };
    assert_eq!(store.mails(&of_registration).await, Ok(vec![]));
    let newest = mails::Filter {
        limit: 10,
        ..mails::Filter::default()
    };
    assert!(store.mails(&newest).await.is_ok());
    assert_eq!(store.appointment(new_id()).await, Ok(None));
}

/// What verification and routing ask of the directory, and of what is kept beside it.
async fn about_people(store: &Store) {
    let account = AccountId::new("account-0").expect("an id");
    let organization = OrganizationId::new("organization-0").expect("an id");
    assert_eq!(store.failed_attempts(&account, at(0)).await, Ok(0));
    assert_eq!(store.tree_epoch(&organization).await, Ok(0));
    let directory = EmbeddedDirectory::new(store.reader().clone());
    let contract = ContractNumber::new("10").expect("a number");
    let serial = SerialNumber::new("DEV-0").expect("a number");
    assert!(
        directory
            .applicant(&account, Some(&contract), Some(&serial))
            .await
            .is_ok()
    );
    assert_eq!(directory.chain(&organization).await.map(|chain| chain.len()), Ok(0));
    assert_eq!(
        directory
            .appointments(std::slice::from_ref(&organization))
            .await
            .map(|found| found.len()),
        Ok(0)
    );
    assert!(directory.below(&organization).await.is_ok());
    assert!(directory.account(&account).await.is_ok_and(|found| found.is_none()));
}

/// What retention and erasure ask, of many registrations one after the other.
async fn about_erasure(store: &Store, number: i64) {
    assert!(store.old_mails(at(0), 10).await.is_ok());
    assert!(store.closed_before(at(0), 10).await.is_ok());
    let id = RegistrationId::new(format!("erased-{number}")).expect("an id");
    applied(store, version(id.as_str(), 1)).await;
    assert_eq!(store.mail_ids(&id).await, Ok(vec![]));
    assert_eq!(store.is_event_waiting(&id).await, Ok(false));
    assert_eq!(store.is_erased(&id).await, Ok(false));
    let erased = store.erase(&id, 1, &format!("nobody-{number}"), at(1)).await;
    assert_eq!(erased.map(|erased| erased.is_some()), Ok(true));
}

/// What is asked by those who do something with many jobs, and of one.
async fn about_jobs(store: &Store) {
    let mut after = None;
    for state in ["dead", "retrying"] {
        let filter = jobs::Filter {
            state: Some(state.to_owned()),
            kind: Some(JobKind::Notification),
            error_class: Some("smtp_refused".to_owned()),
            since: Some(at(0)),
            limit: 10,
            ..jobs::Filter::default()
        };
        assert_eq!(store.jobs_after(&filter, after.as_ref()).await, Ok(vec![]));
        assert_eq!(store.count_jobs(&filter).await, Ok(0));
        assert_eq!(store.jobs_by_class(&filter).await, Ok(vec![]));
        let waiting = jobs::Filter {
            state: Some("queued".to_owned()),
            limit: 2,
            ..jobs::Filter::default()
        };
        let found = store.jobs_after(&waiting, None).await.expect("the database answers");
        after = found.last().map(Place::of);
        assert!(store.jobs_after(&waiting, after.as_ref()).await.is_ok());
    }
    let order = Order {
        by: "operator".to_owned(),
        reason: String::new(),
        at: at(1),
    };
    assert_eq!(store.requeue(&[new_id()], &order).await, Ok(vec![]));
    assert!(store.queue_loads(at(10)).await.is_ok());
    assert_eq!(store.attempts(new_id()).await, Ok(vec![]));
    assert_eq!(store.interventions(new_id()).await, Ok(vec![]));
}

/// What `enrolld status` asks, and who waits for what a command has handed in.
async fn what_status_asks(store: &Store) {
    for kind in JobKind::ALL {
        assert!(store.queued(*kind).await.is_ok());
    }
    for state in ["dead", "retrying"] {
        assert_eq!(store.failed_alike(state).await, Ok(vec![]));
    }
    for state in [StateName::AwaitingDa, StateName::Provisioning] {
        assert_eq!(store.longest_in(state, 5).await, Ok(vec![]));
        assert_eq!(store.in_state_before(state, at(10)).await, Ok(Waiting::default()));
    }
    let moved = store.moved_since(at(0), at(10), None, 500).await;
    assert!(moved.is_ok(), "{moved:?}");
    assert_eq!(store.overdue_timers(at(0)).await, Ok(Waiting::default()));
    assert_eq!(store.inbox_waiting().await, Ok(Waiting::default()));
    assert_eq!(store.bounced_since(at(0)).await, Ok(Bounced::default()));
    assert!(store.notices_waiting().await.is_ok());
    assert_eq!(store.event_state("0-1", "/enrolld/command", "none").await, Ok(None));
    assert_eq!(store.refused_at("0-1").await, Ok(None));
    assert_eq!(store.refused_of(&[0]).await, Ok(vec![]));
}

/// What gauges and alerts are made of.
async fn what_is_counted(store: &Store, now: DateTime<Utc>) {
    for kind in JobKind::ALL {
        store.queued(*kind).await.expect("the database answers");
    }
    for state in StateName::ALL {
        store.in_state_before(state, now).await.expect("the database answers");
    }
    store.failing().await.expect("the database answers");
    store.overdue_timers(now).await.expect("the database answers");
    store.inbox_waiting().await.expect("the database answers");
    store.notices_waiting().await.expect("the database answers");
    store.refused_between(at(0), now).await.expect("the database answers");
    store.count_registrations().await.expect("the database answers");
}

/// What is asked about access, delegation, bounces and cases.
async fn about_access(store: &Store, round: i64) {
    let account = AccountId::new("account-0").expect("an id");
    let organizations: Vec<_> = (0..3)
        .map(|n| OrganizationId::new(format!("organization-{n}")).expect("an id"))
        .collect();
    let registration = RegistrationId::new("reg-1").expect("an id");
    let open = store.open_requests(&account, &registration).await;
    assert_eq!(open, Ok(vec![]));
    let waiting = store.ids_waiting_for(&account, "reg-0", 100).await;
    assert_eq!(waiting, Ok(vec![]));
    for reason in [None, Some(ReviewReason::ProcessingFailed)] {
        assert_eq!(store.cases(reason, 100).await, Ok(vec![]));
    }
    let addresses = [EmailAddress::new("newbie@acme.example").expect("an address")];
    assert_eq!(store.suppressed(&addresses).await.map(|found| found.len()), Ok(0));
    assert_eq!(store.held(&account, &organizations).await, Ok(vec![]));
    assert_eq!(store.holds_access(&account, &organizations).await, Ok(false));
    assert!(store.appointments(&organizations).await.is_ok());
    assert!(store.removed_administrators(&organizations).await.is_ok());
    assert_eq!(store.has_accepted_terms(&account, &organizations[0]).await, Ok(false));
    let grant = new_grant("reg-1");
    let grant = NewGrant {
        organization_id: format!("organization-of-{}", grant.id),
        ..grant
    };
    let sync = NewSync {
        id: new_id(),
        grant_id: grant.id,
        target: "target".to_owned(),
        updated_ms: ms(1),
    };
    let made = Transition {
        grants: vec![grant.clone()],
        syncs: vec![sync.clone()],
        ..Transition::default()
    };
    applied(store, made).await;
    assert!(store.sync(sync.id).await.is_ok_and(|found| found.is_some()));
    assert_eq!(store.syncs_of(&[grant.id]).await.map(|found| found.len()), Ok(1));
    let ended = Transition {
        ended_grants: vec![EndedGrant {
            id: grant.id,
            ended_ms: ms(2),
            ended_by: None,
            trace: "trace-2".to_owned(),
        }],
        ended_appointments: vec![EndedAppointment {
            account_id: format!("nobody-{round}"),
            organization_id: "organization-1".to_owned(),
            ended_ms: ms(2),
        }],
        ..Transition::default()
    };
    applied(store, ended).await;
    let targets = ["target".to_owned()];
    let page = store.reconcile(&targets, "grant-1", at(0), 10, at(1)).await;
    assert!(page.is_ok(), "{page:?}");
}
