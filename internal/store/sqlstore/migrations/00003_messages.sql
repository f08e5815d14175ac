-- Where messages go by, and what that costs: routes, budgets, the ledger, and what the fraud guard looks at.

-- +goose Up

ALTER TABLE messages ADD COLUMN country TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN proved BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE messages ADD COLUMN avoid TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN tried TEXT NOT NULL DEFAULT '';

ALTER TABLE sends ADD COLUMN block BYTEA;   -- keyed digest of the number without its last four digits
ALTER TABLE sends ADD COLUMN address BYTEA; -- keyed digest of the client's address
ALTER TABLE sends ADD COLUMN country TEXT NOT NULL DEFAULT '';
ALTER TABLE sends ADD COLUMN cost BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sends ADD COLUMN gateway TEXT NOT NULL DEFAULT '';
ALTER TABLE sends ADD COLUMN lost BOOLEAN NOT NULL DEFAULT FALSE; -- reported as not delivered
CREATE INDEX sends_by_block ON sends (block, sent);
CREATE INDEX sends_by_address ON sends (address, sent);
CREATE INDEX sends_by_country ON sends (country, sent);

CREATE TABLE pauses (
    scope TEXT   NOT NULL PRIMARY KEY,
    ends  BIGINT NOT NULL
);

CREATE TABLE budgets (
    id      TEXT    NOT NULL PRIMARY KEY, -- scope, length and beginning of the window
    used    BIGINT  NOT NULL,
    cost    BIGINT  NOT NULL, -- millionths
    alerted BOOLEAN NOT NULL,
    ends    BIGINT  NOT NULL
);

CREATE TABLE charges (
    message  TEXT    NOT NULL,
    gateway  TEXT    NOT NULL,
    country  TEXT    NOT NULL,
    at       BIGINT  NOT NULL,
    sure     BOOLEAN NOT NULL, -- the gateway said that it took the message; else no answer came
    price    BIGINT  NOT NULL, -- millionths
    currency TEXT    NOT NULL,
    send_id  TEXT    NOT NULL,
    proved   BOOLEAN NOT NULL,
    delivery TEXT    NOT NULL, -- empty until it is reported
    reported BIGINT  NOT NULL,
    PRIMARY KEY (message, gateway)
);
CREATE INDEX charges_by_time ON charges (at);
