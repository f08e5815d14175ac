-- Browsers in which somebody is signed in, the applications that were entered in each, and those of them that
-- are still to be told that it is over.

-- +goose Up

CREATE TABLE sessions (
    id      TEXT   NOT NULL PRIMARY KEY,
    value   BYTEA  NOT NULL UNIQUE, -- digest of the cookie
    user_id TEXT   NOT NULL,
    proofs  TEXT   NOT NULL,
    source  TEXT   NOT NULL,
    agent   TEXT   NOT NULL,
    created BIGINT NOT NULL,
    seen    BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE session_clients (
    session_id TEXT   NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    client_id  TEXT   NOT NULL,
    server     TEXT   NOT NULL,
    joined     BIGINT NOT NULL,
    PRIMARY KEY (session_id, client_id, server)
);

CREATE TABLE logouts (
    id         TEXT    NOT NULL PRIMARY KEY,
    session_id TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    server     TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    due        BIGINT  NOT NULL,
    ends       BIGINT  NOT NULL
);
