-- Queues that are paused, a row each; one that goes on has none.
CREATE TABLE queues (
    kind TEXT PRIMARY KEY,
    paused_ms BIGINT NOT NULL,
    paused_by TEXT NOT NULL,
    reason TEXT NOT NULL
);

-- Runs that did not simply succeed. They go with their job, and of each job the last ones are kept: a run takes the place of
-- the one that had its slot before.
CREATE TABLE attempts (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    slot BIGINT NOT NULL,
    run_no BIGINT NOT NULL,
    started_ms BIGINT,
    ended_ms BIGINT NOT NULL,
    daemon_id TEXT,
    -- `retrying`, `dead`, or `crashed` where its daemon went with it.
    result TEXT NOT NULL,
    error_class TEXT NOT NULL,
    error TEXT,
    PRIMARY KEY (job_id, slot)
);

-- What people have had done with jobs.
CREATE TABLE interventions (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at_ms BIGINT NOT NULL,
    action TEXT NOT NULL,
    done_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job_id, at_ms, action)
);

-- What is due of one kind: while others are paused.
CREATE INDEX jobs_due_of_kind ON jobs (kind, run_at_ms) WHERE state IN ('scheduled', 'retrying');
