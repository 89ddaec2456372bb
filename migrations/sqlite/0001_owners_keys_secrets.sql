-- Owners, keys and secrets, and the log of their changes.
-- Times are milliseconds since the Unix epoch, money is millionths, lists and notes are JSON.

CREATE TABLE owners (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    owner_id TEXT NOT NULL REFERENCES owners (id),
    parent_id TEXT REFERENCES keys (id),
    environment TEXT NOT NULL CHECK (environment IN ('live', 'test')),
    scopes TEXT NOT NULL DEFAULT '[]',
    limits TEXT NOT NULL DEFAULT '[]',
    allowed_ips TEXT NOT NULL DEFAULT '[]',
    monthly_budget INTEGER CHECK (monthly_budget >= 0),
    expires_at INTEGER,
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    revoked_at INTEGER,
    revoke_reason TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    rotation_interval_days INTEGER CHECK (rotation_interval_days > 0),
    rotation_due_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX keys_by_owner ON keys (owner_id, id);
CREATE INDEX keys_by_parent ON keys (parent_id, id) WHERE parent_id IS NOT NULL;

CREATE TABLE secrets (
    id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    hint TEXT NOT NULL,
    phc TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE INDEX secrets_by_key ON secrets (key_id, created_at);

-- One row a change, by whatever hand. SQLite has one writer at a time, so revisions commit in order.
CREATE TABLE changes (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    -- Written so that the old sqlite3 of a distribution knows it too.
    at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
) STRICT;

-- The last 100,000 stay; who is further behind reads everything again.
CREATE TRIGGER changes_pruned AFTER INSERT ON changes WHEN NEW.revision % 1000 = 0 BEGIN
    DELETE FROM changes WHERE revision <= NEW.revision - 100000;
END;

CREATE TRIGGER owners_inserted AFTER INSERT ON owners BEGIN
    INSERT INTO changes (kind, id) VALUES ('owner', NEW.id);
END;
CREATE TRIGGER owners_updated AFTER UPDATE ON owners BEGIN
    INSERT INTO changes (kind, id) SELECT 'owner', OLD.id UNION SELECT 'owner', NEW.id;
END;
CREATE TRIGGER owners_deleted AFTER DELETE ON owners BEGIN
    INSERT INTO changes (kind, id) VALUES ('owner', OLD.id);
END;

CREATE TRIGGER keys_inserted AFTER INSERT ON keys BEGIN
    INSERT INTO changes (kind, id) VALUES ('key', NEW.id);
END;
CREATE TRIGGER keys_updated AFTER UPDATE ON keys BEGIN
    INSERT INTO changes (kind, id) SELECT 'key', OLD.id UNION SELECT 'key', NEW.id;
END;
CREATE TRIGGER keys_deleted AFTER DELETE ON keys BEGIN
    INSERT INTO changes (kind, id) VALUES ('key', OLD.id);
END;

CREATE TRIGGER secrets_inserted AFTER INSERT ON secrets BEGIN
    INSERT INTO changes (kind, id) VALUES ('key', NEW.key_id);
END;
-- Every column but last_used_at: a use is no change.
CREATE TRIGGER secrets_updated
AFTER UPDATE OF id, key_id, hint, phc, created_at, expires_at, revoked_at ON secrets BEGIN
    INSERT INTO changes (kind, id) SELECT 'key', OLD.key_id UNION SELECT 'key', NEW.key_id;
END;
CREATE TRIGGER secrets_deleted AFTER DELETE ON secrets BEGIN
    INSERT INTO changes (kind, id) VALUES ('key', OLD.key_id);
END;

INSERT INTO owners (id, name, created_at)
VALUES ('default', 'default', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
