-- As on a server, where the outbox can be split into parts. A file has one writer at a
-- time: parts would wait for each other.

CREATE TABLE qx_outbox_split (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    shards   INTEGER NOT NULL CHECK (shards = 1),
    split_by TEXT NOT NULL
);
INSERT INTO qx_outbox_split (shards, split_by) VALUES (1, '');
