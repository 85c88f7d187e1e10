-- One row a registration. `data` is the whole of it as JSON; the other columns are there to find it by.
CREATE TABLE registrations (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    state TEXT NOT NULL,
    version BIGINT NOT NULL,
    root_id TEXT,
    since_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    -- Why agents have it as a case, and the DA whom it waits for, where either is so.
    review_reason TEXT,
    da_account_id TEXT,
    data TEXT NOT NULL
);
CREATE INDEX registrations_case ON registrations (since_ms, id) WHERE review_reason IS NOT NULL;
CREATE INDEX registrations_da ON registrations (da_account_id, id) WHERE da_account_id IS NOT NULL;
CREATE INDEX registrations_account ON registrations (account_id, created_ms);
CREATE INDEX registrations_state ON registrations (state, since_ms);
CREATE INDEX registrations_created ON registrations (created_ms, id);

-- Registrations that were erased, by the SHA-256 of their id: it is not given twice, since ids of grants derive from it.
CREATE TABLE erased (
    id_digest TEXT PRIMARY KEY,
    erased_ms BIGINT NOT NULL
);

-- What happened, one row a version. `token` tells a writer who lost its connection whether its commit came through.
CREATE TABLE timeline (
    registration_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    actor TEXT NOT NULL,
    detail TEXT NOT NULL,
    token TEXT NOT NULL,
    PRIMARY KEY (registration_id, version)
);

-- Outbox and history of the jobs. `step` is set where the job belongs to a wait and is cancelled with it. A job is for a
-- registration, or for an account, or for what has the job's own id.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    registration_id TEXT,
    account_id TEXT,
    step BIGINT NOT NULL,
    step_bound BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    run_no BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    crashes BIGINT NOT NULL,
    -- How often somebody has queued it again by hand.
    requeues BIGINT NOT NULL DEFAULT 0,
    -- Who did that last, when and why.
    requeue_note TEXT,
    run_at_ms BIGINT NOT NULL,
    queued_ms BIGINT,
    started_ms BIGINT,
    finished_ms BIGINT,
    daemon_id TEXT,
    error_class TEXT,
    error TEXT,
    note TEXT,
    created_ms BIGINT NOT NULL
);
CREATE INDEX jobs_due ON jobs (run_at_ms) WHERE state IN ('scheduled', 'retrying');
CREATE INDEX jobs_queued ON jobs (kind, queued_ms) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (daemon_id) WHERE state = 'running';
CREATE INDEX jobs_registration ON jobs (registration_id);
CREATE INDEX jobs_finished ON jobs (finished_ms) WHERE finished_ms IS NOT NULL;
CREATE INDEX jobs_listed ON jobs (state, created_ms);

-- The record of each mail; the job of the same id sends it. Holds no token and no rendered text. Mails about an account's delegation,
-- and alerts, may belong to no registration.
CREATE TABLE mails (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    registration_id TEXT,
    step BIGINT NOT NULL,
    recipient TEXT NOT NULL,
    state TEXT NOT NULL,
    address TEXT,
    locale TEXT,
    subject TEXT,
    note TEXT,
    created_ms BIGINT NOT NULL,
    sent_ms BIGINT
);
CREATE INDEX mails_registration ON mails (registration_id);
CREATE INDEX mails_listed ON mails (created_ms, id);

-- Links out there. The token is derived from `nonce` under the key `key_id`; only its digest is kept.
CREATE TABLE links (
    id TEXT PRIMARY KEY,
    registration_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    account_id TEXT,
    nonce TEXT NOT NULL,
    key_id TEXT NOT NULL,
    token_digest TEXT NOT NULL UNIQUE,
    valid_until_ms BIGINT,
    created_ms BIGINT NOT NULL
);
CREATE INDEX links_registration ON links (registration_id);

-- Appointments as DA made here; they count together with the directory's. The job of the same id reminds of the terms;
-- `terms_sent` counts its reminders, and the notice after them.
CREATE TABLE appointments (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    registration_id TEXT,
    appointed_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    terms_accepted_ms BIGINT,
    terms_sent BIGINT NOT NULL
);
CREATE UNIQUE INDEX appointments_open ON appointments (organization_id, account_id) WHERE ended_ms IS NULL;

-- DAs removed here. An appointment of the directory's counts only if it was imported later.
CREATE TABLE removed_administrators (
    account_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    removed_ms BIGINT NOT NULL,
    PRIMARY KEY (organization_id, account_id)
);

-- What DAs did with the access of others, one row an event.
CREATE TABLE delegations (
    id TEXT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    account_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT
);
CREATE INDEX delegations_account ON delegations (account_id, at_ms);

-- Access given here.
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    registration_id TEXT,
    account_id TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    access TEXT NOT NULL,
    granted_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    -- The DA who took it back, if one did.
    ended_by TEXT
);
CREATE INDEX grants_account ON grants (account_id, organization_id) WHERE ended_ms IS NULL;
CREATE INDEX grants_registration ON grants (registration_id);

-- How far each grant has come at each target; the job of the same id drives it. `losses` counts how often a target had it and
-- lost it.
CREATE TABLE syncs (
    id TEXT PRIMARY KEY,
    grant_id TEXT NOT NULL,
    target TEXT NOT NULL,
    phase TEXT NOT NULL,
    losses BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    UNIQUE (grant_id, target)
);

-- Ticks of the calendar that were carried out, so that of several daemons one does.
CREATE TABLE schedule_ticks (
    schedule TEXT NOT NULL,
    tick_ms BIGINT NOT NULL,
    PRIMARY KEY (schedule, tick_ms)
);

-- Addresses that mail came back from. The digest is the SHA-256 of the address; `masked` is for people.
CREATE TABLE suppressions (
    address_digest TEXT PRIMARY KEY,
    masked TEXT NOT NULL,
    since_ms BIGINT NOT NULL
);

-- Verifications that failed, for the signal of too many (D9).
CREATE TABLE failed_attempts (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
CREATE INDEX failed_attempts_account ON failed_attempts (account_id, at_ms);
CREATE INDEX failed_attempts_old ON failed_attempts (at_ms);

-- One row a tree of organizations: whoever changes who is DA in it raises the epoch.
CREATE TABLE organization_roots (
    id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL
);

-- Events taken in, in the order of the stream. An entry that is read again is known by its number and its key together:
-- numbers alone could come again when Redis is replaced.
-- (source, event_id) is the idempotency key of the applied ones.
CREATE TABLE inbox (
    seq {identity},
    entry TEXT NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    crashes BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    done_ms BIGINT,
    UNIQUE (entry, source, event_id)
);
CREATE UNIQUE INDEX inbox_applied ON inbox (source, event_id) WHERE state = 'applied';
CREATE INDEX inbox_waiting ON inbox (seq) WHERE state = 'waiting';
CREATE INDEX inbox_done ON inbox (done_ms) WHERE done_ms IS NOT NULL;

-- Refused events, until they are discarded.
CREATE TABLE refused (
    seq {identity},
    entry TEXT NOT NULL,
    type TEXT,
    subject TEXT,
    event {bytes} NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    refused_ms BIGINT NOT NULL,
    announced_ms BIGINT
);
CREATE INDEX refused_entry ON refused (entry);
CREATE INDEX refused_unannounced ON refused (seq) WHERE announced_ms IS NULL;

-- Events that go out; deleted once they are in the stream.
CREATE TABLE notices (
    seq {identity},
    body TEXT NOT NULL
);

-- Who does what only one may do at a time. The epoch is raised with every change of holder.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- The daemons and their signs of life.
CREATE TABLE daemons (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    version TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    heartbeat_ms BIGINT NOT NULL,
    stopped_ms BIGINT
);

-- Keys made here because none was configured.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE directory_organizations (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    country TEXT NOT NULL,
    parent_id TEXT,
    email_domains TEXT NOT NULL,
    flagged BOOLEAN NOT NULL
);
CREATE INDEX directory_organizations_parent ON directory_organizations (parent_id);

CREATE TABLE directory_accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    status TEXT NOT NULL,
    locale TEXT NOT NULL,
    flagged BOOLEAN NOT NULL
);

-- `position` keeps the order of the account's list.
CREATE TABLE directory_account_contracts (
    account_id TEXT NOT NULL,
    contract_number TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (account_id, contract_number)
);

CREATE TABLE directory_contracts (
    number TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    ends_on TEXT,
    organization_id TEXT NOT NULL,
    flagged BOOLEAN NOT NULL
);

CREATE TABLE directory_devices (
    serial_number TEXT PRIMARY KEY,
    contract_number TEXT NOT NULL
);

-- In order of appointment: `since_ms` is when the record was first imported, `position` its place in that file.
CREATE TABLE directory_administrators (
    organization_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (organization_id, account_id)
);
