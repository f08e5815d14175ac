-- What the audit log is searched by gets columns of its own (events of before have them empty, and are found by
-- time). Whoever asks about somebody, or about where an attack came from, asks about all of 90 days, so these two
-- have an index; types and clients are too few for one to help. Most events name a user, few of those that attack do.
-- Seals are points of the hash chain, one for each hour: small, and never removed.

-- +goose Up

ALTER TABLE audit_events ADD COLUMN type TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN source TEXT NOT NULL DEFAULT '';

CREATE INDEX audit_events_by_user ON audit_events (user_id, seq) WHERE user_id <> '';
CREATE INDEX audit_events_by_source ON audit_events (source, seq) WHERE source <> '';

CREATE TABLE audit_seals (
    seq     BIGINT  NOT NULL PRIMARY KEY, -- the place of the last event that it covers
    events  BIGINT  NOT NULL,             -- since the beginning of the log
    hash    BYTEA   NOT NULL,
    at      BIGINT  NOT NULL,
    mac     BYTEA   NOT NULL,
    trimmed BOOLEAN NOT NULL              -- what it covers was removed, or is being removed
);
CREATE INDEX audit_seals_by_time ON audit_seals (at);
