-- Dead letters whose body a person may change, and a look-up by component and
-- event: an inbox mark stays for as long as its event has a letter.

ALTER TABLE qx_dead_letters ADD COLUMN edited_at TEXT; -- a person changed the body then, for the last time
ALTER TABLE qx_dead_letters ADD COLUMN original BLOB; -- the message body, when the letter was edited

CREATE INDEX qx_dead_letters_event ON qx_dead_letters (component, event_id)
    WHERE event_id IS NOT NULL;
