-- For `environments`, run by whoever owns the database. `qx` is the user of the host.
CREATE ROLE qx_environments NOLOGIN;
GRANT qx_environments TO qx;
CREATE SCHEMA qx_environments AUTHORIZATION qx_environments;

CREATE TABLE qx_environments.environments (
    repository  text NOT NULL,
    environment text NOT NULL,
    state       text NOT NULL CHECK (state IN ('queued', 'pending', 'in_progress', 'success', 'failure', 'error', 'inactive')),
    sha         text NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (repository, environment)
);
GRANT SELECT, INSERT, UPDATE ON qx_environments.environments TO qx_environments;
