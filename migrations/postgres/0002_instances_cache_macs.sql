-- The running instances, and what spares a secret that was verified before its second Argon2.
-- keygate of version 1 of the schema runs on this one: nothing that it reads or writes has changed.

-- One row a running instance: a heartbeat, and the revision that it has applied. No change of a
-- key, so the change feed tells nothing of it.
CREATE TABLE instances (
    id TEXT COLLATE "C" PRIMARY KEY,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    -- By the database's clock, the one that all instances share.
    seen_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    config_hash TEXT NOT NULL
);

-- Written only where `cache.key_file` is set. Like a use, it is no change of the key: the triggers
-- list the columns that are.
ALTER TABLE secrets ADD COLUMN cache_mac TEXT;
