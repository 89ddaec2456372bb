-- The running instances, and what spares a secret that was verified before its second Argon2.
-- keygate of version 1 of the schema runs on this one: nothing that it reads or writes has changed.

-- One row a running instance: a heartbeat, and the revision that it has applied. No change of a
-- key, so the change feed tells nothing of it.
CREATE TABLE instances (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    config_hash TEXT NOT NULL
) STRICT;

-- Written only where `cache.key_file` is set. Like a use, it is no change of the key: the trigger
-- lists the columns that are.
ALTER TABLE secrets ADD COLUMN cache_mac TEXT;
