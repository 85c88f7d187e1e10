//! The tables as sea-orm entities, for reading. The columns are described in the migrations.
#![expect(
    missing_docs,
    reason = "the migrations describe the columns; sea-orm derives the rest"
)]

/// Declares an entity without relations.
macro_rules! entity {
    ($(#[$doc:meta])* $module:ident, $table:literal, { $($(#[$attribute:meta])* $column:ident: $type:ty,)* }) => {
        $(#[$doc])*
        pub mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                $($(#[$attribute])* pub $column: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

entity!(
    /// Registrations.
    registration, "registrations", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        account_id: String,
        state: String,
        version: i64,
        root_id: Option<String>,
        since_ms: i64,
        created_ms: i64,
        review_reason: Option<String>,
        da_account_id: Option<String>,
        data: String,
    }
);

entity!(
    /// What happened to registrations.
    timeline, "timeline", {
        #[sea_orm(primary_key, auto_increment = false)]
        registration_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        version: i64,
        at_ms: i64,
        event: String,
        actor: String,
        detail: String,
        token: String,
    }
);

entity!(
    /// Jobs.
    job, "jobs", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        kind: String,
        registration_id: Option<String>,
        account_id: Option<String>,
        step: i64,
        step_bound: bool,
        state: String,
        run_no: i64,
        attempts: i64,
        failures: i64,
        crashes: i64,
        requeues: i64,
        requeue_note: Option<String>,
        run_at_ms: i64,
        queued_ms: Option<i64>,
        started_ms: Option<i64>,
        finished_ms: Option<i64>,
        daemon_id: Option<String>,
        error_class: Option<String>,
        error: Option<String>,
        note: Option<String>,
        created_ms: i64,
        trace: Option<String>,
    }
);

entity!(
    /// Mail records.
    mail, "mails", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        kind: String,
        registration_id: Option<String>,
        step: i64,
        recipient: String,
        state: String,
        address: Option<String>,
        locale: Option<String>,
        subject: Option<String>,
        note: Option<String>,
        created_ms: i64,
        sent_ms: Option<i64>,
    }
);

entity!(
    /// Links (D7).
    link, "links", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        registration_id: String,
        purpose: String,
        account_id: Option<String>,
        nonce: String,
        key_id: String,
        token_digest: String,
        valid_until_ms: Option<i64>,
        created_ms: i64,
    }
);

entity!(
    /// Appointments made here.
    appointment, "appointments", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        account_id: String,
        organization_id: String,
        registration_id: Option<String>,
        appointed_ms: i64,
        ended_ms: Option<i64>,
        terms_accepted_ms: Option<i64>,
        terms_sent: i64,
    }
);

entity!(
    /// Access given here.
    grant, "grants", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        registration_id: Option<String>,
        account_id: String,
        organization_id: String,
        access: String,
        granted_ms: i64,
        ended_ms: Option<i64>,
        ended_by: Option<String>,
    }
);

entity!(
    /// DAs removed here.
    removed_administrator, "removed_administrators", {
        #[sea_orm(primary_key, auto_increment = false)]
        organization_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        account_id: String,
        removed_ms: i64,
    }
);

entity!(
    /// How far each grant has come at each target (D11).
    sync, "syncs", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        grant_id: String,
        target: String,
        phase: String,
        losses: i64,
        updated_ms: i64,
    }
);

entity!(
    /// Addresses that mail came back from (D22).
    suppression, "suppressions", {
        #[sea_orm(primary_key, auto_increment = false)]
        address_digest: String,
        masked: String,
        since_ms: i64,
    }
);

entity!(
    /// Verifications that failed (D9).
    failed_attempt, "failed_attempts", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        account_id: String,
        at_ms: i64,
    }
);

entity!(
    /// Events taken in.
    inbox, "inbox", {
        #[sea_orm(primary_key)]
        seq: i64,
        entry: String,
        source: String,
        event_id: String,
        subject: String,
        r#type: String,
        body: String,
        state: String,
        crashes: i64,
        received_ms: i64,
        done_ms: Option<i64>,
    }
);

entity!(
    /// Refused events.
    refused, "refused", {
        #[sea_orm(primary_key)]
        seq: i64,
        entry: String,
        r#type: Option<String>,
        subject: Option<String>,
        event: Vec<u8>,
        reason: String,
        detail: String,
        refused_ms: i64,
        announced_ms: Option<i64>,
        replayed_ms: Option<i64>,
        replayed_by: Option<String>,
    }
);

entity!(
    /// Events on their way out.
    notice, "notices", {
        #[sea_orm(primary_key)]
        seq: i64,
        body: String,
    }
);

entity!(
    /// Who does what only one may do at a time.
    lease, "leases", {
        #[sea_orm(primary_key, auto_increment = false)]
        name: String,
        holder: String,
        epoch: i64,
        expires_ms: i64,
    }
);

entity!(
    /// The daemons and their signs of life.
    daemon, "daemons", {
        #[sea_orm(primary_key, auto_increment = false)]
        id: String,
        host: String,
        pid: i64,
        version: String,
        started_ms: i64,
        heartbeat_ms: i64,
        stopped_ms: Option<i64>,
    }
);

entity!(
    /// Ticks of schedules that were claimed or asked for.
    schedule_tick, "schedule_ticks", {
        #[sea_orm(primary_key, auto_increment = false)]
        schedule: String,
        #[sea_orm(primary_key, auto_increment = false)]
        tick_ms: i64,
        daemon_id: Option<String>,
        asked_by: Option<String>,
        started_ms: Option<i64>,
        ended_ms: Option<i64>,
        error: Option<String>,
    }
);

entity!(
    /// Keys made here.
    secret, "secrets", {
        #[sea_orm(primary_key, auto_increment = false)]
        name: String,
        value: String,
        created_ms: i64,
    }
);

entity!(
    /// Queues that are paused.
    queue, "queues", {
        #[sea_orm(primary_key, auto_increment = false)]
        kind: String,
        paused_ms: i64,
        paused_by: String,
        reason: String,
    }
);

entity!(
    /// Runs of jobs that did not simply succeed.
    attempt, "attempts", {
        #[sea_orm(primary_key, auto_increment = false)]
        job_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        slot: i64,
        run_no: i64,
        started_ms: Option<i64>,
        ended_ms: i64,
        daemon_id: Option<String>,
        result: String,
        error_class: String,
        error: Option<String>,
    }
);

entity!(
    /// What people have had done with jobs.
    intervention, "interventions", {
        #[sea_orm(primary_key, auto_increment = false)]
        job_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        at_ms: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        action: String,
        done_by: String,
        reason: String,
    }
);
