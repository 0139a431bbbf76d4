-- Rows that are to leave later, as on PostgreSQL.

ALTER TABLE qx_outbox_events ADD COLUMN due_at TEXT
    CHECK (due_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*Z');

DROP INDEX qx_outbox_pending;
CREATE INDEX qx_outbox_pending ON qx_outbox_events (seq)
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL;
CREATE INDEX qx_outbox_due ON qx_outbox_events (due_at, seq)
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NOT NULL;
