-- On which stream a published row's message was put, as on PostgreSQL.

ALTER TABLE qx_outbox_events ADD COLUMN stream_created INTEGER;

CREATE INDEX qx_outbox_stored ON qx_outbox_events (stream_created, stream_seq)
    WHERE published_at IS NOT NULL AND stream_created IS NOT NULL;
