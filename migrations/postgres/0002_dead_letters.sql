-- Dead letters. A table that qx-events (the predecessor) made is taken over
-- where it stands; its letters have no component and are only shown.

CREATE TABLE IF NOT EXISTS qx_dead_letters (
    id              uuid PRIMARY KEY,
    event_name      varchar(255) NOT NULL,
    event_version   integer NOT NULL DEFAULT 1,
    payload         jsonb NOT NULL,
    headers         jsonb,
    subject         varchar(512) NOT NULL,
    correlation_id  uuid,
    tenant_id       uuid,
    delivered_count integer NOT NULL DEFAULT 1,
    last_error      varchar(2048),
    failed_at       timestamptz NOT NULL
);

ALTER TABLE qx_dead_letters
    ALTER COLUMN event_version SET DEFAULT 1,
    ALTER COLUMN delivered_count SET DEFAULT 1;

ALTER TABLE qx_dead_letters
    ADD COLUMN IF NOT EXISTS component          text,
    ADD COLUMN IF NOT EXISTS event_id           uuid,
    ADD COLUMN IF NOT EXISTS kind               text,
    ADD COLUMN IF NOT EXISTS digest             bytea,
    ADD COLUMN IF NOT EXISTS raw                bytea,
    ADD COLUMN IF NOT EXISTS retry_requested_at timestamptz,
    ADD COLUMN IF NOT EXISTS retry_taken_at     timestamptz;

CREATE INDEX qx_dead_letters_newest ON qx_dead_letters (failed_at DESC, id);
CREATE INDEX qx_dead_letters_requested ON qx_dead_letters (retry_requested_at)
    WHERE retry_requested_at IS NOT NULL;

COMMENT ON TABLE qx_dead_letters IS
'One row for each (component, event) that is not going on by itself. Written by
the host before the message is terminated; deleted when a retry succeeds or a
person drops it. Use `qx-host dlq`.';
COMMENT ON COLUMN qx_dead_letters.raw IS 'The message body, byte for byte. payload is the same as JSON, where it is JSON.';
COMMENT ON COLUMN qx_dead_letters.delivered_count IS 'Attempts made; 0 when the handler was never called.';
COMMENT ON COLUMN qx_dead_letters.kind IS 'Class of the reason; last_error has the words.';
COMMENT ON COLUMN qx_dead_letters.digest IS 'SHA-256 of the build that failed.';
COMMENT ON COLUMN qx_dead_letters.retry_requested_at IS 'A person asked the host to call the component again.';
COMMENT ON COLUMN qx_dead_letters.retry_taken_at IS 'A host is at it since then.';
