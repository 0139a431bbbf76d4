-- The outbox, as on PostgreSQL. UUIDs are text with hyphens, times are text in
-- ISO 8601 and UTC, JSON is text and leaves as it came.
--
-- Contract with producers: insert one row for each event, in the transaction that
-- changes your data; see README.md for the columns. Leave the others alone.

CREATE TABLE qx_outbox_events (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE DEFAULT (
        lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4' ||
        substr(lower(hex(randomblob(2))), 2) || '-a' ||
        substr(lower(hex(randomblob(2))), 2) || '-' || lower(hex(randomblob(6)))),
    event_name     TEXT NOT NULL,
    event_version  INTEGER NOT NULL DEFAULT 1,
    payload        TEXT NOT NULL CHECK (json_valid(payload)),
    occurred_at    TEXT NOT NULL,
    correlation_id TEXT,
    causation_id   TEXT,
    tenant_id      TEXT,
    published_at   TEXT,
    attempts       INTEGER NOT NULL DEFAULT 0,
    last_error     TEXT,
    traceparent    TEXT,
    tracestate     TEXT,
    recorded_at    TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    failed_at      TEXT,
    stream_name    TEXT,
    stream_seq     INTEGER
);

CREATE INDEX qx_outbox_pending ON qx_outbox_events (seq)
    WHERE published_at IS NULL AND failed_at IS NULL;
CREATE INDEX qx_outbox_failed ON qx_outbox_events (seq)
    WHERE published_at IS NULL AND failed_at IS NOT NULL;
CREATE INDEX qx_outbox_published ON qx_outbox_events (published_at)
    WHERE published_at IS NOT NULL;
