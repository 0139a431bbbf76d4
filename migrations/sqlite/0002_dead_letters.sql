-- Dead letters, as on PostgreSQL.

CREATE TABLE qx_dead_letters (
    id                 TEXT PRIMARY KEY NOT NULL,
    event_name         TEXT NOT NULL,
    event_version      INTEGER NOT NULL DEFAULT 1,
    payload            TEXT NOT NULL,
    headers            TEXT,
    subject            TEXT NOT NULL,
    correlation_id     TEXT,
    tenant_id          TEXT,
    delivered_count    INTEGER NOT NULL DEFAULT 1,
    last_error         TEXT,
    failed_at          TEXT NOT NULL,
    component          TEXT,
    event_id           TEXT,
    kind               TEXT,
    digest             BLOB,
    raw                BLOB,
    retry_requested_at TEXT,
    retry_taken_at     TEXT
);

CREATE INDEX qx_dead_letters_newest ON qx_dead_letters (failed_at DESC, id);
CREATE INDEX qx_dead_letters_requested ON qx_dead_letters (retry_requested_at)
    WHERE retry_requested_at IS NOT NULL;
