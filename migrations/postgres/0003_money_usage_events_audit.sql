-- What keys spend and what they used, what is told of them to the outside, and who changed what.
-- keygate of versions 1 and 2 of the schema runs on this one: nothing that it reads or writes has
-- changed. Months are counted from the year 0: year * 12 + month - 1.

-- How often the credits of an owner were changed by somebody: from the first time on its keys spend
-- them, and each time is a change of the owner, so that every instance hears of it.
ALTER TABLE owners ADD COLUMN credit_changes BIGINT NOT NULL DEFAULT 0;

-- From where a secret was last used. Like the time of it, it is no change of the key.
ALTER TABLE secrets ADD COLUMN last_used_address TEXT;

-- What a key and all its descendants have spent in a month, and what instances hold of it to spend.
CREATE TABLE spending (
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    month BIGINT NOT NULL,
    spent BIGINT NOT NULL DEFAULT 0,
    held BIGINT NOT NULL DEFAULT 0,
    -- The percentage of the budget that an event has told of.
    told BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (key_id, month)
);

-- An owner's prepaid credits. The balance falls below zero only by costs that were not known before.
CREATE TABLE credits (
    owner_id TEXT COLLATE "C" PRIMARY KEY REFERENCES owners (id) ON DELETE CASCADE,
    balance BIGINT NOT NULL DEFAULT 0,
    held BIGINT NOT NULL DEFAULT 0,
    -- Below it, credits.low is told once, until the balance has been above it again.
    low_threshold BIGINT,
    told_low BOOLEAN NOT NULL DEFAULT false,
    -- Below it, the billing system is asked for so much more, one request at a time.
    recharge_threshold BIGINT,
    recharge_amount BIGINT,
    recharge_url TEXT,
    recharge_asked_at BIGINT
);

-- Why a balance changed, but for what was spent, which the usage says.
CREATE TABLE credit_entries (
    id TEXT COLLATE "C" PRIMARY KEY,
    owner_id TEXT COLLATE "C" NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
    at BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    balance BIGINT NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL
);
CREATE INDEX credit_entries_by_owner ON credit_entries (owner_id, id);

-- A part of a budget that an instance holds, to be spent in its memory: taken from the key, all its
-- ancestors and, where owner_id is given, that owner's credits. What is left of it when it ends flows
-- back to all of them.
CREATE TABLE leases (
    id BIGINT PRIMARY KEY,
    holder TEXT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    owner_id TEXT COLLATE "C",
    month BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    -- By the database's clock.
    expires_at BIGINT NOT NULL
);
CREATE INDEX leases_by_holder ON leases (holder);
CREATE INDEX leases_by_end ON leases (expires_at);

-- How many records of each journal are on the books: a record is booked once, however often it is
-- brought.
CREATE TABLE journals (
    id TEXT NOT NULL,
    worker BIGINT NOT NULL,
    booked BIGINT NOT NULL,
    booked_at BIGINT NOT NULL,
    PRIMARY KEY (id, worker)
);

-- Every request that was answered, for a while.
CREATE TABLE usage_requests (
    at BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    route TEXT NOT NULL,
    status BIGINT NOT NULL,
    cost BIGINT NOT NULL
);
CREATE INDEX usage_requests_by_time ON usage_requests (at);

-- The same, counted by hour, and later by day; period: its beginning.
CREATE TABLE usage_hours (
    period BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    owner_id TEXT COLLATE "C" NOT NULL,
    route TEXT NOT NULL,
    status BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    PRIMARY KEY (period, key_id, owner_id, route, status)
);
CREATE TABLE usage_days (
    period BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    owner_id TEXT COLLATE "C" NOT NULL,
    route TEXT NOT NULL,
    status BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    PRIMARY KEY (period, key_id, owner_id, route, status)
);

-- What happened, written in the transaction in which it did. Those of one subject are told in order.
CREATE TABLE events (
    id TEXT COLLATE "C" PRIMARY KEY,
    -- In the order of the changes that the writers' turn orders.
    place BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- The key or owner that it is about.
    subject TEXT COLLATE "C" NOT NULL,
    data TEXT NOT NULL,
    -- Whether it was made into deliveries.
    dispatched BOOLEAN NOT NULL DEFAULT false
);
CREATE INDEX events_to_dispatch ON events (place) WHERE NOT dispatched;
CREATE INDEX events_dispatched ON events (at) WHERE dispatched;

-- An address that a key or an owner's policy has named for its own events. The secret is encrypted.
CREATE TABLE hooks (
    id TEXT COLLATE "C" PRIMARY KEY,
    subject TEXT COLLATE "C" NOT NULL UNIQUE,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- An event on its way to one address.
CREATE TABLE deliveries (
    id TEXT COLLATE "C" PRIMARY KEY,
    event_id TEXT COLLATE "C" NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    -- The event's, by which those of one subject go one after the other.
    place BIGINT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    -- A hook's id, or the name that an endpoint of the configuration has from its URL.
    endpoint TEXT COLLATE "C" NOT NULL,
    -- Its URL as people may see it.
    url TEXT NOT NULL,
    -- Its host and port, of which each has so many at a time.
    host TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts BIGINT NOT NULL DEFAULT 0,
    -- While an instance is busy with it: when it counts as given up.
    next_attempt_at BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX deliveries_due_by_host ON deliveries (host, next_attempt_at, place) WHERE status = 'pending';
CREATE INDEX deliveries_in_line ON deliveries (endpoint, subject, place) WHERE status = 'pending';
CREATE INDEX deliveries_failed ON deliveries (id) WHERE status = 'failed';
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE status <> 'pending';
CREATE INDEX deliveries_by_event ON deliveries (event_id);

-- What was told once and is not told again: one row a kind of telling and what it was about.
CREATE TABLE reminders (
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    about BIGINT NOT NULL,
    PRIMARY KEY (subject, kind, about)
);

-- When a key is looked at next, for what is told ahead of time: that its schedule asks for a new
-- secret, that it ends soon. 0: something has changed that this depends on, by whatever hand.
CREATE TABLE calendar (
    key_id TEXT COLLATE "C" PRIMARY KEY REFERENCES keys (id) ON DELETE CASCADE,
    look_at BIGINT NOT NULL
);
CREATE INDEX calendar_by_look ON calendar (look_at);
INSERT INTO calendar (key_id, look_at) SELECT id, 0 FROM keys
WHERE revoked_at IS NULL AND (rotation_interval_days IS NOT NULL OR expires_at IS NOT NULL);

CREATE FUNCTION keygate_look_at_key() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO calendar (key_id, look_at) VALUES (NEW.id, 0)
    ON CONFLICT (key_id) DO UPDATE SET look_at = 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION keygate_look_at_secrets_key() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE calendar SET look_at = 0 WHERE key_id IN (OLD.key_id, NEW.key_id);
    RETURN NULL;
END
$$;
CREATE FUNCTION keygate_look_at_owners_keys() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE calendar SET look_at = 0 WHERE key_id IN (SELECT id FROM keys WHERE owner_id = NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER keys_inserted_look AFTER INSERT ON keys FOR EACH ROW
    WHEN (NEW.rotation_interval_days IS NOT NULL OR NEW.expires_at IS NOT NULL)
    EXECUTE FUNCTION keygate_look_at_key();
CREATE TRIGGER keys_updated_look
    AFTER UPDATE OF owner_id, expires_at, disabled, rotation_interval_days, rotation_due_at ON keys
    FOR EACH ROW WHEN (NEW.rotation_interval_days IS NOT NULL OR NEW.expires_at IS NOT NULL)
    EXECUTE FUNCTION keygate_look_at_key();
CREATE TRIGGER secrets_inserted_look AFTER INSERT ON secrets
    FOR EACH ROW EXECUTE FUNCTION keygate_look_at_secrets_key();
CREATE TRIGGER secrets_updated_look
    AFTER UPDATE OF key_id, created_at, expires_at, revoked_at ON secrets
    FOR EACH ROW EXECUTE FUNCTION keygate_look_at_secrets_key();
CREATE TRIGGER secrets_deleted_look AFTER DELETE ON secrets
    FOR EACH ROW EXECUTE FUNCTION keygate_look_at_secrets_key();
CREATE TRIGGER owners_enabled_look AFTER UPDATE OF disabled ON owners
    FOR EACH ROW WHEN (OLD.disabled AND NOT NEW.disabled)
    EXECUTE FUNCTION keygate_look_at_owners_keys();

-- A key's own history, for what is unusual of it.
CREATE INDEX usage_hours_of_key ON usage_hours (key_id, period);

-- Answers to creations that are asked for again with the same Idempotency-Key, encrypted under what
-- only the asker has.
CREATE TABLE idempotent_answers (
    asker TEXT NOT NULL,
    name TEXT NOT NULL,
    request TEXT NOT NULL,
    status BIGINT NOT NULL,
    answer TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (asker, name)
);

-- Who changed what. Each row names the hash of the one before, so that one that is gone is missed.
CREATE TABLE audit (
    place BIGINT PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    before TEXT,
    after TEXT,
    reason TEXT,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_by_target ON audit (target, place);

CREATE FUNCTION keygate_audit_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to';
END
$$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION keygate_audit_is_kept();
