-- The embedded stream, in a file of its own. Times are milliseconds since 1970.

-- AUTOINCREMENT: a position is never used twice, also when the newest message
-- was deleted. message_id is remembered as long as the message is kept.
CREATE TABLE qx_stream_messages (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL UNIQUE,
    event_name TEXT NOT NULL,
    stored_at  INTEGER NOT NULL,
    headers    TEXT NOT NULL,
    body       BLOB NOT NULL
);
-- A consumer looks for its names here, without touching the bodies.
CREATE INDEX qx_stream_names ON qx_stream_messages (seq, event_name);
CREATE INDEX qx_stream_ages ON qx_stream_messages (stored_at);

-- cursor: the last position that was delivered to it, or passed over.
CREATE TABLE qx_stream_consumers (
    component TEXT PRIMARY KEY NOT NULL,
    patterns  TEXT NOT NULL,
    cursor    INTEGER NOT NULL
) WITHOUT ROWID;

-- Delivered and not settled. taken: with the component, until visible_at;
-- not taken: handed back, and due again at visible_at.
CREATE TABLE qx_stream_deliveries (
    component  TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    delivered  INTEGER NOT NULL,
    taken      INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    PRIMARY KEY (component, seq)
) WITHOUT ROWID;
