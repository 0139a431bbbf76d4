-- Rows that are to leave later. They lie in an index of their own, so that however
-- many of them wait, they are not in the way of the others.

ALTER TABLE qx_outbox_events ADD COLUMN IF NOT EXISTS due_at timestamptz;

DROP INDEX qx_outbox_pending;
CREATE INDEX qx_outbox_pending ON qx_outbox_events (seq)
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NULL;
CREATE INDEX qx_outbox_due ON qx_outbox_events (due_at, seq)
    WHERE published_at IS NULL AND failed_at IS NULL AND due_at IS NOT NULL;

-- Puts rows that are due at the end of those that wait, the earliest first. One
-- after the other, because an UPDATE of several has no order. Called by the relay.
CREATE FUNCTION qx_outbox_come_due(most bigint) RETURNS bigint
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    one uuid;
    came bigint := 0;
BEGIN
    FOR one IN
        SELECT id FROM qx_outbox_events
        WHERE published_at IS NULL AND failed_at IS NULL
          AND due_at IS NOT NULL AND due_at <= statement_timestamp()
        ORDER BY due_at, seq LIMIT most
    LOOP
        UPDATE qx_outbox_events SET due_at = NULL, recorded_at = due_at, seq = DEFAULT
        WHERE id = one AND due_at IS NOT NULL;
        came := came + 1;
    END LOOP;
    RETURN came;
END $$;

COMMENT ON COLUMN qx_outbox_events.due_at IS 'Not before this time. When it has come, the relay sets it to NULL and puts the row at the end of those that wait.';
COMMENT ON COLUMN qx_outbox_events.recorded_at IS 'When the row came, or came due, by the clock of the database.';
