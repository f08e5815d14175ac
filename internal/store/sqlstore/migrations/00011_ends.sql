-- What has ended is found without reading everything that has not: sessions once a minute, and who is to be told of an
-- end once a second.

-- +goose Up

CREATE INDEX sessions_by_end ON sessions (expires);
CREATE INDEX logouts_due ON logouts (due);
CREATE INDEX logouts_by_end ON logouts (ends);
