-- The key that a producer gives an event whose order counts.

ALTER TABLE qx_outbox_events ADD COLUMN IF NOT EXISTS ordering_key text;

COMMENT ON COLUMN qx_outbox_events.ordering_key IS 'Events of one key keep their order, for components with order = "key". 1 to 255 bytes without control characters; NULL: none. Travels in the message headers.';
