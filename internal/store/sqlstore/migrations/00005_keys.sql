-- The master keys that may have sealed something here, and the servers that have to hold them. A key is in the
-- table from the moment it may seal until nothing is left that it has sealed.

-- +goose Up

CREATE TABLE master_keys (
    id TEXT NOT NULL PRIMARY KEY
);

CREATE TABLE nodes (
    id    TEXT   NOT NULL PRIMARY KEY,
    seen  BIGINT NOT NULL, -- by the database's clock
    seals TEXT   NOT NULL, -- the master key it seals with
    holds TEXT   NOT NULL  -- those it can open with
);
