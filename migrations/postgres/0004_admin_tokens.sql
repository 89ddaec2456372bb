-- Who may come in by the admin plane, and what it finds keys by.
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

-- What keys are found by: a row a key, short enough that all of them can be gone through while
-- somebody waits. Triggers alone write it, so that it is right by whatever hand or version a key is
-- changed. It refers to no key, since that would lock them all while it is filled.
CREATE TABLE key_search (
    key_id TEXT COLLATE "C" PRIMARY KEY,
    -- Its id, name and notes, its owner's name and its secrets' hints, a line each; A to Z as a to z.
    text TEXT COLLATE "C" NOT NULL,
    -- When the newest of its secrets was made,
    newest_at BIGINT,
    -- and the newest of those that have no end.
    current_at BIGINT
);
CREATE VIEW key_search_now AS SELECT k.id AS key_id,
    lower((k.id || chr(10) || k.name || chr(10) || o.name || chr(10) || k.metadata || chr(10)
        || coalesce((SELECT string_agg(s.hint, chr(10)) FROM secrets s WHERE s.key_id = k.id), ''))
        COLLATE "C") AS text,
    (SELECT max(s.created_at) FROM secrets s WHERE s.key_id = k.id) AS newest_at,
    (SELECT max(s.created_at) FROM secrets s
     WHERE s.key_id = k.id AND s.expires_at IS NULL AND s.revoked_at IS NULL) AS current_at
    FROM keys k JOIN owners o ON o.id = k.owner_id;

CREATE FUNCTION keygate_search_anew(changed_ids TEXT[]) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
    INSERT INTO key_search (key_id, text, newest_at, current_at)
    SELECT key_id, text, newest_at, current_at FROM key_search_now WHERE key_id = ANY(changed_ids)
    ON CONFLICT (key_id) DO UPDATE SET text = excluded.text, newest_at = excluded.newest_at,
        current_at = excluded.current_at
$$;
CREATE FUNCTION keygate_search_key() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM keygate_search_anew(ARRAY[NEW.id]);
    RETURN NULL;
END
$$;
CREATE FUNCTION keygate_search_no_key() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM key_search WHERE key_id = OLD.id;
    RETURN NULL;
END
$$;
CREATE FUNCTION keygate_search_secrets_key() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM keygate_search_anew(ARRAY[OLD.key_id, NEW.key_id]);
    RETURN NULL;
END
$$;
CREATE FUNCTION keygate_search_owners_keys() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM keygate_search_anew(ARRAY(SELECT id FROM keys WHERE owner_id = NEW.id));
    RETURN NULL;
END
$$;

-- Filled while nobody waits for it; from the first trigger on writers do, and what they changed
-- meanwhile is gone over once more.
SELECT set_config('keygate.filled', coalesce(max(revision), 0)::TEXT, true) FROM changes;
INSERT INTO key_search SELECT key_id, text, newest_at, current_at FROM key_search_now;
CREATE TRIGGER keys_inserted_search AFTER INSERT ON keys
    FOR EACH ROW EXECUTE FUNCTION keygate_search_key();
CREATE TRIGGER keys_updated_search AFTER UPDATE OF name, owner_id, metadata ON keys
    FOR EACH ROW EXECUTE FUNCTION keygate_search_key();
CREATE TRIGGER keys_deleted_search AFTER DELETE ON keys
    FOR EACH ROW EXECUTE FUNCTION keygate_search_no_key();
CREATE TRIGGER secrets_inserted_search AFTER INSERT ON secrets
    FOR EACH ROW EXECUTE FUNCTION keygate_search_secrets_key();
CREATE TRIGGER secrets_updated_search
    AFTER UPDATE OF key_id, hint, created_at, expires_at, revoked_at ON secrets
    FOR EACH ROW EXECUTE FUNCTION keygate_search_secrets_key();
CREATE TRIGGER secrets_deleted_search AFTER DELETE ON secrets
    FOR EACH ROW EXECUTE FUNCTION keygate_search_secrets_key();
CREATE TRIGGER owners_renamed_search AFTER UPDATE OF name ON owners
    FOR EACH ROW EXECUTE FUNCTION keygate_search_owners_keys();
SELECT keygate_search_anew(ARRAY(
    SELECT k.id FROM keys k JOIN changes c ON c.id IN (k.id, k.owner_id)
    WHERE c.revision > current_setting('keygate.filled')::BIGINT));
