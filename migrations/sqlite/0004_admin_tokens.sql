-- Who may come in by the admin plane.
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
