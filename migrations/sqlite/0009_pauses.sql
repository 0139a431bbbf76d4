-- Components that an operator has paused, as on PostgreSQL.

CREATE TABLE qx_pauses (
    component TEXT PRIMARY KEY NOT NULL,
    paused_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    paused_by TEXT NOT NULL,
    reason    TEXT NOT NULL DEFAULT ''
);
