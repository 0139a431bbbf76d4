-- The outbox in parts, each with a relay of its own. One part unless somebody splits
-- it: `qx-host migrate`, with relay.shards in the configuration.

CREATE TABLE qx_outbox_split (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    shards   integer NOT NULL CHECK (shards BETWEEN 1 AND 64),
    split_by text NOT NULL
);
INSERT INTO qx_outbox_split (shards, split_by) VALUES (1, '');

COMMENT ON TABLE qx_outbox_split IS
'Into how many parts the outbox is split, and by which key of the events. No relay
gets a lease that has it otherwise. Use `qx-host migrate`: the function
qx_outbox_shard and the index qx_outbox_sharded belong to it.';
