-- On which stream a published row's message was put. A stream that lost what it
-- had confirmed, or that was made anew, is found out by it.

ALTER TABLE qx_outbox_events ADD COLUMN IF NOT EXISTS stream_created bigint;

-- Is there a row on another stream, or behind the end of this one? Entries come in
-- ascending order, which costs a writer little; a few pages answer.
CREATE INDEX qx_outbox_stored ON qx_outbox_events (stream_created, stream_seq)
    WHERE published_at IS NOT NULL AND stream_created IS NOT NULL;

COMMENT ON COLUMN qx_outbox_events.stream_name IS 'Stream that the message was put on.';
COMMENT ON COLUMN qx_outbox_events.stream_created IS 'When that stream was made, in nanoseconds since 1970. Of another stream, or with a stream_seq behind its end: the message is lost, and the row waits again.';
