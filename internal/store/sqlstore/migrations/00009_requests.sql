-- What clients prove themselves by is good once (S-58, RFC 9449 11.1), and what they push is waiting for a browser (RFC 9126).

-- +goose Up

CREATE TABLE spent_proofs (
    digest  BYTEA  NOT NULL PRIMARY KEY, -- of whose proof it was, and its jti
    expires BIGINT NOT NULL              -- nobody would take the proof after it anyway
);
CREATE INDEX spent_proofs_by_end ON spent_proofs (expires);

CREATE TABLE pushed_requests (
    digest    BYTEA  NOT NULL PRIMARY KEY, -- of the request URI
    client_id TEXT   NOT NULL,
    server    TEXT   NOT NULL,
    params    TEXT   NOT NULL, -- without what the client proved itself by
    expires   BIGINT NOT NULL
);
