-- Attempts at events that did not succeed at once, as on PostgreSQL.
-- not_before in milliseconds since 1970.

CREATE TABLE qx_attempts (
    component  TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    begun      INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER,
    dead       INTEGER NOT NULL DEFAULT 0,
    noted_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (component, event_id)
) WITHOUT ROWID;
CREATE INDEX qx_attempts_noted_at ON qx_attempts (noted_at);
