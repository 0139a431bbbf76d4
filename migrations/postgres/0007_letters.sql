-- Dead letters whose body a person may change, and a look-up by component and
-- event: an inbox mark stays for as long as its event has a letter.

ALTER TABLE qx_dead_letters
    ADD COLUMN IF NOT EXISTS edited_at timestamptz,
    ADD COLUMN IF NOT EXISTS original  bytea;

CREATE INDEX qx_dead_letters_event ON qx_dead_letters (component, event_id)
    WHERE event_id IS NOT NULL;

COMMENT ON COLUMN qx_dead_letters.raw IS 'What a retry gives to the component: the message body, byte for byte, unless it was edited. payload is the same as JSON, where it is JSON.';
COMMENT ON COLUMN qx_dead_letters.edited_at IS 'A person changed the body then, for the last time.';
COMMENT ON COLUMN qx_dead_letters.original IS 'The message body, byte for byte, when the letter was edited.';
