-- When the stream was made, in milliseconds since 1970: a file that was deleted
-- and made again is another stream.

CREATE TABLE qx_stream_identity (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    created  INTEGER NOT NULL
);
INSERT INTO qx_stream_identity (only_row, created)
VALUES (1, CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER));
