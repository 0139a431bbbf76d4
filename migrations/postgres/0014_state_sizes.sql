-- How much state each component has. The commits keep the count; who wrote before this
-- is counted here.

-- A group that is being committed is waited for, and the next one waits.
LOCK TABLE qx_state IN SHARE MODE;

-- Room on the page: every change of a count is an update in place.
CREATE TABLE qx_state_sizes (
    component text COLLATE "C" PRIMARY KEY,
    keys      bigint NOT NULL,
    bytes     bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO qx_state_sizes (component, keys, bytes)
SELECT component, count(*), sum(octet_length(key)::bigint + octet_length(value))
FROM qx_state GROUP BY component;

COMMENT ON TABLE qx_state_sizes IS 'How much state each component has, over all tenants: what limits.state_keys and limits.state_mb bound. Wrong after changes of qx_state by hand: `qx-host migrate --count-state`.';
COMMENT ON COLUMN qx_state_sizes.bytes IS 'Of keys and values.';
