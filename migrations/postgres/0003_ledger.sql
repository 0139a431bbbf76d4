-- The ledger: what a delivery commits in one transaction, and the leases.

CREATE TABLE qx_inbox (
    component  text COLLATE "C" NOT NULL,
    event_id   uuid NOT NULL,
    digest     bytea NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, event_id)
);
-- For the clean-up. Not BRIN: a range of pages that was filled again keeps its oldest time, so
-- that after one retention every clean-up would read the whole table.
CREATE INDEX qx_inbox_handled_at ON qx_inbox (handled_at);

-- Every written value gets a number that no other ever had: a key that was
-- deleted and made again does not match what somebody read before.
CREATE SEQUENCE qx_state_versions;
CREATE TABLE qx_state (
    component text COLLATE "C" NOT NULL,
    tenant_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    key       text COLLATE "C" NOT NULL,
    value     text NOT NULL,
    version   bigint NOT NULL,
    PRIMARY KEY (component, tenant_id, key)
);

CREATE TABLE qx_leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    token      bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

COMMENT ON TABLE qx_inbox IS 'Which component has handled which event, and with which build (SHA-256). A mark commits with the effects.';
COMMENT ON TABLE qx_state IS 'State of the components, kept apart by tenant; the nil UUID stands for events without one.';
COMMENT ON TABLE qx_leases IS 'Who may drain the outbox, for how long; token grows with every change of hands.';
