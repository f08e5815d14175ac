-- Groups and who is in them, and whose a grant is, so that all of one person's or one application's can be ended.

-- +goose Up

CREATE TABLE user_groups (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    folded      TEXT   NOT NULL UNIQUE,
    description TEXT   NOT NULL,
    created     BIGINT NOT NULL
);

CREATE TABLE members (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

ALTER TABLE grants ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN client_id TEXT NOT NULL DEFAULT ''; -- without an index: an application is deleted once
CREATE INDEX grants_by_user ON grants (user_id);

ALTER TABLE codes ADD COLUMN user_id TEXT NOT NULL DEFAULT ''; -- without an index: codes live for a minute
ALTER TABLE codes ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
