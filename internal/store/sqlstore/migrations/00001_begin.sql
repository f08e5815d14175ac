-- One text for SQLite and PostgreSQL. Times are microseconds since 1970, UTC, and 0 is "not yet"; digests and
-- sealed values are BYTEA (SQLite keeps any type it is given); lists and settings of things are JSON in TEXT,
-- written and read by sqlstore alone. A key that is random gets a table in order of insertion and an index beside it.
-- Each index is a page more that every commit writes: what lives for minutes has none for its end, and is swept by
-- looking through all of it now and then.

-- +goose Up

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE users (
    id             TEXT    NOT NULL PRIMARY KEY,
    login          TEXT    NOT NULL,
    folded         TEXT    NOT NULL UNIQUE,
    status         TEXT    NOT NULL,
    given_name     TEXT    NOT NULL,
    family_name    TEXT    NOT NULL,
    email          TEXT    NOT NULL,
    email_verified BOOLEAN NOT NULL,
    locale         TEXT    NOT NULL,
    zone           TEXT    NOT NULL,
    created        BIGINT  NOT NULL,
    updated        BIGINT  NOT NULL
);

CREATE TABLE enrollments (
    id            TEXT   NOT NULL PRIMARY KEY,
    user_id       TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    authenticator TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    method        TEXT   NOT NULL,
    secret        BYTEA  NOT NULL, -- sealed
    hint          TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    position      BIGINT NOT NULL, -- tells apart what was enrolled in one microsecond
    UNIQUE (user_id, kind)
);

CREATE TABLE authenticators (
    id       TEXT   NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL,
    name     TEXT   NOT NULL, -- the key that clients dispatch on
    methods  TEXT   NOT NULL,
    position BIGINT NOT NULL
);

CREATE TABLE clients (
    id      TEXT   NOT NULL PRIMARY KEY,
    created BIGINT NOT NULL,
    doc     TEXT   NOT NULL
);

CREATE TABLE servers (
    id  TEXT NOT NULL PRIMARY KEY,
    doc TEXT NOT NULL
);

CREATE TABLE flows (
    handle      BYTEA   NOT NULL PRIMARY KEY,
    interaction BYTEA   UNIQUE,
    version     BIGINT  NOT NULL,
    format      INTEGER NOT NULL, -- of the state; a binary that knows less merges instead of replacing
    expires     BIGINT  NOT NULL,
    state       BYTEA   NOT NULL  -- sealed
);

CREATE TABLE challenges (
    id      TEXT    NOT NULL PRIMARY KEY,
    flow    BYTEA   NOT NULL,
    user_id TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    method  TEXT    NOT NULL,
    number  BYTEA   NOT NULL, -- sealed
    nonce   BYTEA   NOT NULL, -- tells nothing without the master key
    created BIGINT  NOT NULL,
    expires BIGINT  NOT NULL,
    tries   INTEGER NOT NULL,
    used    BIGINT  NOT NULL
);

CREATE TABLE failures (
    user_id   TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    failed    INTEGER NOT NULL,
    suspended BIGINT  NOT NULL,
    PRIMARY KEY (user_id, kind)
);

CREATE TABLE sends (
    id      TEXT    NOT NULL PRIMARY KEY,
    number  BYTEA   NOT NULL, -- keyed digest
    user_id TEXT    NOT NULL,
    sent    BIGINT  NOT NULL,
    proved  BOOLEAN NOT NULL,
    cleared BOOLEAN NOT NULL
);
CREATE INDEX sends_by_number ON sends (number, sent);
CREATE INDEX sends_by_user ON sends (user_id, sent);
CREATE INDEX sends_by_time ON sends (sent);

CREATE TABLE messages (
    id        TEXT    NOT NULL PRIMARY KEY,
    channel   TEXT    NOT NULL,
    recipient BYTEA,            -- sealed; gone once the message is settled
    body      BYTEA,            -- sealed; likewise
    send_id   TEXT    NOT NULL,
    created   BIGINT  NOT NULL,
    not_after BIGINT  NOT NULL,
    attempts  INTEGER NOT NULL,
    status    TEXT    NOT NULL,
    due       BIGINT  NOT NULL,
    lease     TEXT    NOT NULL,
    ended     BIGINT  NOT NULL  -- when it was settled, or a day after nobody may send it any more
);
CREATE INDEX messages_due ON messages (due) WHERE status = 'waiting';

CREATE TABLE codes (
    digest   BYTEA  NOT NULL PRIMARY KEY,
    redirect TEXT   NOT NULL,
    pkce     TEXT   NOT NULL,
    expires  BIGINT NOT NULL,
    gives    TEXT   NOT NULL, -- the grant
    used     BIGINT NOT NULL
);

CREATE TABLE grants (
    id      TEXT    NOT NULL PRIMARY KEY,
    revoked BOOLEAN NOT NULL,
    expires BIGINT  NOT NULL, -- 0: revoked before it was there
    doc     TEXT    NOT NULL
);
CREATE INDEX grants_by_end ON grants (expires);

CREATE TABLE refreshes (
    digest   BYTEA  NOT NULL PRIMARY KEY,
    grant_id TEXT   NOT NULL,
    created  BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    used     BIGINT NOT NULL
);
CREATE INDEX refreshes_by_end ON refreshes (expires);

CREATE TABLE revoked_tokens (
    jti     TEXT   NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);

CREATE TABLE signing_keys (
    id      TEXT   NOT NULL PRIMARY KEY,
    alg     TEXT   NOT NULL,
    private BYTEA  NOT NULL, -- sealed
    created BIGINT NOT NULL,
    starts  BIGINT NOT NULL,
    retired BIGINT NOT NULL
);

CREATE TABLE audit_events (
    seq BIGINT NOT NULL PRIMARY KEY, -- grows in the order in which events became visible
    at  BIGINT NOT NULL,
    doc TEXT   NOT NULL
);

-- The oldest binary that may work on this schema: a later migration that takes something away raises it.
INSERT INTO settings (name, value) VALUES ('schema.needs', '1');
