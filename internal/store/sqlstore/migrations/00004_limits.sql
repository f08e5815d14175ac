-- +goose Up

-- Wrong passwords in a row (S-26). An account is the keyed digest of a folded login, whether somebody holds it or not.
CREATE TABLE password_failures (
    account BYTEA   NOT NULL,
    place   TEXT    NOT NULL, -- a source, a device that is known, or empty: the account itself
    failed  INTEGER NOT NULL,
    until   BIGINT  NOT NULL, -- nothing from this place is judged before
    ends    BIGINT  NOT NULL, -- forgotten then, if nothing else fails
    PRIMARY KEY (account, place)
);

-- The same by source alone, in a window that slides: failures since it began, and in the one before it.
CREATE TABLE source_failures (
    source  TEXT    NOT NULL PRIMARY KEY,
    failed  INTEGER NOT NULL,
    earlier INTEGER NOT NULL,
    since   BIGINT  NOT NULL,
    ends    BIGINT  NOT NULL
);

-- Devices that completed a sign-in, where what names them is not a cookie of ours (S-27).
CREATE TABLE known_devices (
    account BYTEA  NOT NULL,
    device  BYTEA  NOT NULL, -- digest of what the application calls it
    seen    BIGINT NOT NULL,
    PRIMARY KEY (account, device)
);

-- Requests over all nodes (S-52): of each key and window, how many the nodes have taken for themselves.
CREATE TABLE request_counts (
    counted BYTEA   NOT NULL, -- keyed digest of what is counted, and its window
    taken   INTEGER NOT NULL,
    given   INTEGER NOT NULL, -- to the last who asked
    ends    BIGINT  NOT NULL,
    PRIMARY KEY (counted)
);
