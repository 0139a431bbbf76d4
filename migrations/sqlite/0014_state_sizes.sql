-- How much state each component has: keys, and bytes of keys and values, over all
-- tenants. The commits keep the count; who wrote before this is counted here.

CREATE TABLE qx_state_sizes (
    component TEXT PRIMARY KEY NOT NULL,
    keys      INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO qx_state_sizes (component, keys, bytes)
SELECT component, count(*), sum(octet_length(key) + octet_length(value))
FROM qx_state GROUP BY component;
