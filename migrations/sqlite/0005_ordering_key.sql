-- The key that a producer gives an event whose order counts, as on PostgreSQL.

ALTER TABLE qx_outbox_events ADD COLUMN ordering_key TEXT;
