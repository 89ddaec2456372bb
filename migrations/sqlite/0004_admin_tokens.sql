-- Who may come in by the admin plane, and what it finds keys by.
-- keygate of versions 1 to 3 of the schema runs on this one: nothing that it reads or writes has
-- changed.

-- The credentials of the admin API and the dashboard. Like keys' secrets, they are kept as hashes.
CREATE TABLE admin_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'viewer')),
    public_id TEXT NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    phc TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- Browsers that are signed in. Of what a browser shows, only a digest is kept.
CREATE TABLE admin_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    token_id TEXT NOT NULL REFERENCES admin_tokens (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL
) STRICT;
CREATE INDEX admin_sessions_by_token ON admin_sessions (token_id);

-- What keys are found by: a row a key in the order of the ids, short enough that all of them can be
-- gone through while somebody waits. Triggers alone write it, so that it is right by whatever hand or
-- version a key is changed.
CREATE TABLE key_search (
    key_id TEXT NOT NULL PRIMARY KEY REFERENCES keys (id) ON DELETE CASCADE,
    -- Its id, name and notes, its owner's name and its secrets' hints, a line each; A to Z as a to z.
    text TEXT NOT NULL,
    -- When the newest of its secrets was made,
    newest_at INTEGER,
    -- and the newest of those that have no end.
    current_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE VIEW key_search_now AS SELECT k.id AS key_id,
    lower(k.id || char(10) || k.name || char(10) || o.name || char(10) || k.metadata || char(10)
        || coalesce((SELECT group_concat(s.hint, char(10)) FROM secrets s WHERE s.key_id = k.id), ''))
        AS text,
    (SELECT max(s.created_at) FROM secrets s WHERE s.key_id = k.id) AS newest_at,
    (SELECT max(s.created_at) FROM secrets s
     WHERE s.key_id = k.id AND s.expires_at IS NULL AND s.revoked_at IS NULL) AS current_at
    FROM keys k JOIN owners o ON o.id = k.owner_id;
INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now;

CREATE TRIGGER keys_inserted_search AFTER INSERT ON keys BEGIN
    INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now
    WHERE key_id = NEW.id;
END;
CREATE TRIGGER keys_updated_search AFTER UPDATE OF name, owner_id, metadata ON keys BEGIN
    DELETE FROM key_search WHERE key_id = NEW.id;
    INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now
    WHERE key_id = NEW.id;
END;
CREATE TRIGGER secrets_inserted_search AFTER INSERT ON secrets BEGIN
    DELETE FROM key_search WHERE key_id = NEW.key_id;
    INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now
    WHERE key_id = NEW.key_id;
END;
CREATE TRIGGER secrets_updated_search
AFTER UPDATE OF key_id, hint, created_at, expires_at, revoked_at ON secrets BEGIN
    DELETE FROM key_search WHERE key_id IN (OLD.key_id, NEW.key_id);
    INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now
    WHERE key_id IN (OLD.key_id, NEW.key_id);
END;
CREATE TRIGGER secrets_deleted_search AFTER DELETE ON secrets BEGIN
    DELETE FROM key_search WHERE key_id = OLD.key_id;
    INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now
    WHERE key_id = OLD.key_id;
END;
CREATE TRIGGER owners_renamed_search AFTER UPDATE OF name ON owners BEGIN
    DELETE FROM key_search WHERE key_id IN (SELECT id FROM keys WHERE owner_id = NEW.id);
    INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now
    WHERE key_id IN (SELECT id FROM keys WHERE owner_id = NEW.id);
END;

-- Which keys were not used lately is answered from this alone.
CREATE INDEX secrets_by_use ON secrets (key_id, last_used_at);

-- The few keys that are not as most are, so that a list of them looks at no others.
CREATE INDEX keys_revoked ON keys (id) WHERE revoked_at IS NOT NULL;
CREATE INDEX keys_disabled ON keys (id) WHERE disabled;
CREATE INDEX keys_ending ON keys (id, expires_at) WHERE expires_at IS NOT NULL;
