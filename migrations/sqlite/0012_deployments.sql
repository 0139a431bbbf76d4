-- Which build of a component came into service where, when and by whom; and the
-- builds that a trial has found unfit, as on PostgreSQL.

CREATE TABLE qx_deployments (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    component TEXT NOT NULL,
    digest    BLOB,
    action    TEXT NOT NULL,
    at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    who       TEXT NOT NULL,
    host      TEXT NOT NULL,
    folder    TEXT NOT NULL,
    reason    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX qx_deployments_component ON qx_deployments (component, seq);

CREATE TABLE qx_refusals (
    component TEXT NOT NULL,
    digest    BLOB NOT NULL,
    at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    host      TEXT NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (component, digest)
) WITHOUT ROWID;
