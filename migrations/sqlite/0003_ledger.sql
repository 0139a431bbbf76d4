-- The ledger: what a delivery commits in one transaction, and the leases.

-- With a rowid: marks are cleaned up in the order in which they came.
CREATE TABLE qx_inbox (
    component  TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    digest     BLOB NOT NULL,
    handled_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (component, event_id)
);

-- Every written value gets a number that no other ever had: a key that was
-- deleted and made again does not match what somebody read before.
CREATE TABLE qx_state_versions (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last     INTEGER NOT NULL
);
INSERT INTO qx_state_versions (only_row, last) VALUES (1, 0);
CREATE TABLE qx_state (
    component TEXT NOT NULL,
    tenant_id TEXT NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    key       TEXT NOT NULL,
    value     TEXT NOT NULL,
    version   INTEGER NOT NULL,
    PRIMARY KEY (component, tenant_id, key)
) WITHOUT ROWID;

-- expires_at in milliseconds since 1970.
CREATE TABLE qx_leases (
    name       TEXT PRIMARY KEY NOT NULL,
    holder     TEXT NOT NULL,
    token      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
