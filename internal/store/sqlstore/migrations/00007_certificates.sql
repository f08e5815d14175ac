-- What an ACME authority gave us: the account, certificates and their private keys, and what answers a challenge,
-- for all nodes.

-- +goose Up

CREATE TABLE certificates (
    name TEXT  NOT NULL PRIMARY KEY,
    data BYTEA NOT NULL -- sealed
);
