-- Components that an operator has paused: every host looks here.

CREATE TABLE qx_pauses (
    component text COLLATE "C" PRIMARY KEY,
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by text NOT NULL,
    reason    text NOT NULL DEFAULT ''
);

COMMENT ON TABLE qx_pauses IS 'Components that get no messages until somebody resumes them. Use `qx-host handlers pause` and `resume`.';
