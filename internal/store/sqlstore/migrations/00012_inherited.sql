-- Two sign-ins that were begun in one browser before either was done leave two sessions there, of which one goes up in
-- the other. The applications that were entered in it know it by its own id, and are told of the end by that. So it is
-- where somebody changes what they sign in with, and goes on in another session than whoever has a copy of the cookie.

-- +goose Up

CREATE TABLE inherited_clients (
    session_id TEXT   NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    sid        TEXT   NOT NULL, -- of the session that is gone
    client_id  TEXT   NOT NULL,
    server     TEXT   NOT NULL,
    joined     BIGINT NOT NULL,
    PRIMARY KEY (session_id, sid, client_id, server)
);

CREATE TABLE heirs (
    sid        TEXT    NOT NULL PRIMARY KEY, -- of the session that is gone
    session_id TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    lends      BOOLEAN NOT NULL -- what was begun in the one goes on in the other
);
CREATE INDEX heirs_by_session ON heirs (session_id);
