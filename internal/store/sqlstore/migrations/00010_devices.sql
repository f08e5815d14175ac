-- Devices without a browser that wait until somebody lets them in from another one (RFC 8628), and what lets
-- applications register themselves (RFC 7591).

-- +goose Up

CREATE TABLE devices (
    digest    BYTEA   NOT NULL PRIMARY KEY, -- of the device code
    user_code BYTEA   NOT NULL UNIQUE,      -- keyed digest: eight letters are soon found by trying
    asks      TEXT    NOT NULL,             -- who asks for what
    created   BIGINT  NOT NULL,
    expires   BIGINT  NOT NULL,
    wait      BIGINT  NOT NULL, -- between two polls, in microseconds
    polled    BIGINT  NOT NULL,
    hasty     BOOLEAN NOT NULL, -- the last poll came before its time
    decided   BIGINT  NOT NULL,
    gives     TEXT    NOT NULL, -- the grant; empty before a decision, and after one against it
    used      BIGINT  NOT NULL,
    user_id   TEXT    NOT NULL, -- who allowed it
    client_id TEXT    NOT NULL
);
CREATE INDEX devices_by_end ON devices (expires);
CREATE INDEX devices_by_user ON devices (user_id);
CREATE INDEX devices_by_client ON devices (client_id);

-- What lets applications register themselves (RFC 7591), each so many times.
CREATE TABLE registrations (
    digest  BYTEA   NOT NULL PRIMARY KEY,
    created BIGINT  NOT NULL,
    expires BIGINT  NOT NULL,
    uses    INTEGER NOT NULL -- that are left
);
