-- Attempts at events that did not succeed at once. The broker's count of
-- deliveries falls back when it loses its memory; this one does not.

CREATE TABLE qx_attempts (
    component  text COLLATE "C" NOT NULL,
    event_id   uuid NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    begun      integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    dead       boolean NOT NULL DEFAULT false,
    noted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, event_id)
);
CREATE INDEX qx_attempts_noted_at ON qx_attempts (noted_at);

COMMENT ON TABLE qx_attempts IS 'What is remembered of events that a component has not handled at once. Gone with the inbox mark.';
COMMENT ON COLUMN qx_attempts.attempts IS 'Calls that ended in a retry or a failure.';
COMMENT ON COLUMN qx_attempts.begun IS 'Calls that began since, and did not end: the host died meanwhile.';
COMMENT ON COLUMN qx_attempts.not_before IS 'The next call is not before this time.';
COMMENT ON COLUMN qx_attempts.dead IS 'A dead letter was written: its message is terminated should it come again, also when the letter was dropped.';
