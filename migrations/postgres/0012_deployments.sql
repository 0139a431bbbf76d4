-- Which build of a component came into service where, when and by whom; and the
-- builds that a trial has found unfit, which no host takes again unasked.

CREATE TABLE qx_deployments (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    component text COLLATE "C" NOT NULL,
    digest    bytea,
    action    text COLLATE "C" NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    who       text NOT NULL,
    host      text NOT NULL,
    folder    text NOT NULL,
    reason    text NOT NULL DEFAULT ''
);
CREATE INDEX qx_deployments_component ON qx_deployments (component, seq);

COMMENT ON TABLE qx_deployments IS 'What happened to the builds of a component, the last 200 of each. Use `qx-host handlers history`.';
COMMENT ON COLUMN qx_deployments.digest IS 'SHA-256 of the build; null when its file could not be read.';
COMMENT ON COLUMN qx_deployments.who IS 'Who did it, as they called themselves; `folder` when a file was put there, `canary` when a trial decided.';
COMMENT ON COLUMN qx_deployments.host IS 'Name of the machine, and the folder of components there.';

CREATE TABLE qx_refusals (
    component text COLLATE "C" NOT NULL,
    digest    bytea NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    host      text NOT NULL,
    reason    text NOT NULL,
    PRIMARY KEY (component, digest)
);

COMMENT ON TABLE qx_refusals IS 'Builds that were tried and taken back: no host takes them again before `qx-host handlers load --force`.';
