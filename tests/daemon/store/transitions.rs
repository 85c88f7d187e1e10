//! What one transition writes.

use enrolld::store::entities::{appointment, grant, link, mail, notice, registration, timeline};
use enrolld::store::transition::{MailWrite, NewGrant, NewLink, NewMail, Transition, Verdict};
use enrolld_jobs::values::{AccountId, OrganizationId};
use enrolld_migrations::{Migrator, MigratorTrait as _};

use super::*;

crate::support::for_each_database!(
    migrations_go_up_down_and_up,
    every_part_of_a_transition_is_written,
    the_next_version_cancels_the_jobs_of_earlier_steps_only,
    a_jobs_end_and_its_mails_are_written_without_a_version,
);

async fn migrations_go_up_down_and_up(database: Database) {
    let server = database.start();
    let store = open_again(&server).await;
    assert!(store.schema().await.expect("the database answers").missing > 0);
    store.migrate().await.expect("up");
    assert_eq!(store.schema().await.expect("the database answers").missing, 0);
    store.migrate().await.expect("up again changes nothing");
    applied(&store, version("reg-1", 1)).await;

    Migrator::down(store.writer().unbounded(), None).await.expect("down");
    assert!(store.schema().await.expect("the database answers").missing > 0);
    let left = match database {
        Database::Sqlite => {
            "sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'seaql_migrations'"
        }
        Database::Postgres => "pg_tables WHERE schemaname = 'public' AND tablename <> 'seaql_migrations'",
    };
    assert_eq!(count(&store, left).await, 0);

    store.migrate().await.expect("up after down");
    assert_eq!(count(&store, "registrations").await, 0);
    applied(&store, version("reg-1", 1)).await;
}

#[expect(clippy::too_many_lines, reason = "every part, one after the other")]
async fn every_part_of_a_transition_is_written(database: Database) {
    let (_server, store) = open(database).await;
    let job = new_job("reg-1", 1);
    let mail_id = new_id();
    let link_id = new_id();
    let transition = Transition {
        jobs: vec![job.clone(), timer("reg-1", 1, 60)],
        mails: vec![NewMail {
            id: mail_id,
            kind: "verification",
            registration_id: Some("reg-1".to_owned()),
            step: 1,
            recipient: "{\"account\":\"newbie\"}".to_owned(),
            created_ms: ms(1),
        }],
        links: vec![NewLink {
            id: link_id,
            registration_id: "reg-1".to_owned(),
            purpose: "verify",
            account_id: None,
            nonce: "00ff".to_owned(),
            key_id: "k1".to_owned(),
            token_digest: "abcd".to_owned(),
            valid_until_ms: Some(ms(100)),
            created_ms: ms(1),
        }],
        grants: vec![NewGrant {
            id: new_id(),
            registration_id: Some("reg-1".to_owned()),
            account_id: "newbie".to_owned(),
            organization_id: "acme".to_owned(),
            access: "customer_administrator",
            granted_ms: ms(1),
        }],
        tree: None,
        ..appointment("reg-1", 0)
    };
    let mut transition = transition;
    let write = &mut transition.registrations[0];
    write.root_id = Some("acme".to_owned());
    // What people write comes back as it was.
    "{\"name\":\"Zoë \\\"O'Neil\\\" \\\\ 名 \\u0000\"}".clone_into(&mut write.data);
    "Zoë \"O'Neil\" \\ 名 $1 {x}".clone_into(&mut write.actor);
    let written = write.clone();
    applied(&store, transition).await;

    let row = &rows::<registration::Entity>(&store).await[0];
    assert_eq!((row.id.as_str(), row.account_id.as_str()), ("reg-1", "newbie"));
    assert_eq!((row.state.as_str(), row.version), ("verifying", 1));
    assert_eq!(row.root_id.as_deref(), Some("acme"));
    assert_eq!((row.since_ms, row.created_ms), (ms(1), ms(1)));
    assert_eq!(row.data, written.data);
    let row = &rows::<timeline::Entity>(&store).await[0];
    assert_eq!(
        (row.registration_id.as_str(), row.version, row.at_ms),
        ("reg-1", 1, ms(1))
    );
    assert_eq!(row.event, "registration.submitted");
    assert_eq!((&row.actor, row.detail.as_str()), (&written.actor, "{}"));
    assert_eq!(row.token, written.token.to_string());
    let row = &rows::<notice::Entity>(&store).await[0];
    assert_eq!(row.body, written.notice);

    let row = stored_job(&store, job.id).await;
    assert_eq!((row.kind.as_str(), row.state.as_str()), ("verification", "queued"));
    assert_eq!((row.run_no, row.step, row.step_bound), (1, 1, true));
    assert_eq!((row.attempts, row.failures, row.crashes), (0, 0, 0));
    assert_eq!(
        (row.run_at_ms, row.queued_ms, row.finished_ms),
        (ms(1), Some(ms(1)), None)
    );
    assert_eq!(
        count(&store, "jobs WHERE state = 'scheduled' AND queued_ms IS NULL").await,
        1
    );

    let row = &rows::<mail::Entity>(&store).await[0];
    assert_eq!(
        (row.id.as_str(), row.state.as_str()),
        (mail_id.to_string().as_str(), "waiting")
    );
    assert_eq!(row.recipient, "{\"account\":\"newbie\"}");
    let by_digest = store.link_by_digest("abcd").await.expect("the database answers");
    assert_eq!(by_digest, store.link(link_id).await.expect("the database answers"));
    assert_eq!(
        rows::<link::Entity>(&store).await,
        by_digest.into_iter().collect::<Vec<_>>()
    );
    let row = &rows::<appointment::Entity>(&store).await[0];
    assert_eq!((row.organization_id.as_str(), row.ended_ms), ("acme", None));
    let row = &rows::<grant::Entity>(&store).await[0];
    assert_eq!((row.access.as_str(), row.granted_ms), ("customer_administrator", ms(1)));

    let acme = OrganizationId::new("acme").expect("an id");
    let other = OrganizationId::new("other").expect("an id");
    let found = store
        .appointments(std::slice::from_ref(&acme))
        .await
        .expect("the database answers");
    assert_eq!(found.len(), 1);
    let newbie = AccountId::new("newbie").expect("an id");
    let here = store.holds_access(&newbie, &[acme]).await;
    assert!(here.expect("the database answers"));
    assert!(
        !store
            .holds_access(&newbie, &[other])
            .await
            .expect("the database answers")
    );
}

async fn the_next_version_cancels_the_jobs_of_earlier_steps_only(database: Database) {
    let (_server, store) = open(database).await;
    let (queued, due_later, retrying, running) = (
        new_job("reg-1", 1),
        timer("reg-1", 1, 60),
        new_job("reg-1", 1),
        new_job("reg-1", 1),
    );
    let unbound = NewJob {
        step_bound: false,
        ..timer("reg-1", 1, 60)
    };
    let succeeded = new_job("reg-1", 1);
    let ours = [&queued, &due_later, &retrying, &running, &unbound, &succeeded].map(|job| job.id);
    let first = Transition {
        jobs: vec![
            queued,
            due_later,
            retrying.clone(),
            running.clone(),
            unbound,
            succeeded.clone(),
        ],
        ..version("reg-1", 1)
    };
    let neighbour = timer("reg-2", 1, 60);
    applied(&store, first).await;
    applied(
        &store,
        Transition {
            jobs: vec![neighbour.clone()],
            ..version("reg-2", 1)
        },
    )
    .await;
    for (job, state) in [
        (&retrying, "retrying"),
        (&running, "running"),
        (&succeeded, "succeeded"),
    ] {
        applied(
            &store,
            Transition {
                job: Some(ended(job.id, 1, state)),
                ..Transition::default()
            },
        )
        .await;
    }

    // The step stays: nothing is cancelled.
    let mut second = version("reg-1", 2);
    second.registrations[0].step = 1;
    applied(&store, second).await;
    let states = ["queued", "scheduled", "retrying", "running", "scheduled", "succeeded"];
    assert_eq!(job_states(&store, &ours).await, states);

    let new = timer("reg-1", 3, 60);
    applied(
        &store,
        Transition {
            jobs: vec![new.clone()],
            ..version("reg-1", 3)
        },
    )
    .await;
    let states = [
        "cancelled",
        "cancelled",
        "cancelled",
        "running",
        "scheduled",
        "succeeded",
    ];
    assert_eq!(job_states(&store, &ours).await, states);
    assert_eq!(stored_job(&store, ours[0]).await.finished_ms, Some(ms(3)));
    assert_eq!(
        job_states(&store, &[new.id, neighbour.id]).await,
        ["scheduled", "scheduled"]
    );

    // The job that led to the next step has succeeded, though its step is over.
    let led = new_job("reg-2", 1);
    applied(
        &store,
        Transition {
            jobs: vec![led.clone()],
            ..version("reg-2", 2)
        },
    )
    .await;
    applied(
        &store,
        Transition {
            job: Some(ended(led.id, 1, "succeeded")),
            ..version("reg-2", 3)
        },
    )
    .await;
    assert_eq!(
        job_states(&store, &[led.id, neighbour.id]).await,
        ["succeeded", "cancelled"]
    );
    assert_eq!(stored_job(&store, led.id).await.note.as_deref(), Some("a note"));
}

async fn a_jobs_end_and_its_mails_are_written_without_a_version(database: Database) {
    let (_server, store) = open(database).await;
    let job = new_job("reg-1", 1);
    let record = NewMail {
        id: job.id,
        kind: "welcome",
        registration_id: Some("reg-1".to_owned()),
        step: 1,
        recipient: "{}".to_owned(),
        created_ms: ms(1),
    };
    let first = Transition {
        jobs: vec![job.clone()],
        mails: vec![record],
        ..version("reg-1", 1)
    };
    applied(&store, first).await;
    let sent = Transition {
        job: Some(ended(job.id, 1, "succeeded")),
        mail: Some(MailWrite {
            id: job.id,
            state: "sent",
            address: Some("newbie@acme.example".to_owned()),
            locale: Some("en"),
            subject: Some("Welcome".to_owned()),
            note: None,
            sent_ms: Some(ms(5)),
        }),
        ..Transition::default()
    };
    assert_eq!(commit(&store, sent.clone()).await, Verdict::Applied);
    let row = store
        .mail(job.id)
        .await
        .expect("the database answers")
        .expect("the mail is there");
    assert_eq!((row.state.as_str(), row.sent_ms), ("sent", Some(ms(5))));
    assert_eq!(row.address.as_deref(), Some("newbie@acme.example"));
    assert_eq!(
        (row.locale.as_deref(), row.subject.as_deref(), row.note),
        (Some("en"), Some("Welcome"), None)
    );
    let row = stored_job(&store, job.id).await;
    assert_eq!(
        (row.state.as_str(), row.finished_ms, row.attempts),
        ("succeeded", Some(ms(3)), 1)
    );
    assert_eq!(row.daemon_id.as_deref(), Some("daemon-1"));
    assert_eq!(count(&store, "notices").await, 1);
}
