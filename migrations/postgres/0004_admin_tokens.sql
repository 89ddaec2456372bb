-- Who may come in by the admin plane.
-- keygate of versions 1 to 3 of the schema runs on this one: nothing that it reads or writes has
-- changed.

-- The credentials of the admin API and the dashboard. Like keys' secrets, they are kept as hashes.
CREATE TABLE admin_tokens (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'viewer')),
    public_id TEXT NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    phc TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);

-- Browsers that are signed in. Of what a browser shows, only a digest is kept.
CREATE TABLE admin_sessions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    token_id TEXT COLLATE "C" NOT NULL REFERENCES admin_tokens (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL
);
CREATE INDEX admin_sessions_by_token ON admin_sessions (token_id);
