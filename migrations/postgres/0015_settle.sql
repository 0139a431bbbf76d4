-- Settles a group of calls with one statement, as long as everything is as the calls
-- saw it: the marks are not set, the leases are held, every key has the version that was
-- read. Then it is all written, and the answer is true. Else nothing is written, the
-- answer is false, and the host looks first and settles what it can.
--
-- Arrays that belong together have one length. They are sorted, and what they name is
-- locked in the order of the statements: leases, marks, buckets of keys without a value,
-- keys, sizes. The statements that the host sends otherwise lock in the same order.
--
-- Each statement is served by an index, row by row and in the order of the arrays, whatever
-- the planner thinks of tables that are small or empty when it plans: rows are looked up
-- first (OFFSET 0 keeps it one look-up for each) and changed by their place.
CREATE FUNCTION qx_settle(
    leases text[], tokens bigint[],
    mark_components text[], mark_events uuid[], mark_digests bytea[],
    -- Class and numbers of the advisory locks.
    lock_class int, buckets int[],
    -- Keys that had a value: the version that was read. Of those that are not written only
    -- that is looked at; written without a value they are deleted.
    key_components text[], key_tenants uuid[], key_names text[], key_versions bigint[],
    key_written boolean[], key_values text[],
    -- Whether some of them are not written, or deleted.
    keys_first boolean,
    -- Keys that had none. Without a new one they are looked at only.
    new_components text[], new_tenants uuid[], new_names text[], new_values text[],
    -- Rows of the outbox, in the order in which they leave.
    ids uuid[], event_names text[], event_versions int[], payloads text[], bodies text[],
    occurred timestamptz[], correlations uuid[], causations uuid[], tenants uuid[],
    traceparents text[], tracestates text[], ordering_keys text[], due timestamptz[], waits_ms bigint[],
    -- Dead letters that were handled at last, and attempts that need not be remembered.
    letters uuid[], attempt_components text[], attempt_events uuid[],
    -- Components whose state grows or shrinks: by how much, and how much there may be.
    size_components text[], size_keys bigint[], size_bytes bigint[],
    size_keys_most bigint[], size_bytes_most bigint[]
) RETURNS boolean
    LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    -- Of the rows that were looked for.
    there bigint;
BEGIN
    IF cardinality(leases) > 0 THEN
        SELECT count(*) INTO there
        FROM unnest(leases, tokens) AS t (name, token)
        CROSS JOIN LATERAL (SELECT token FROM qx_leases WHERE name = t.name FOR SHARE) AS l
        WHERE l.token = t.token;
        IF there <> cardinality(leases) THEN
            RETURN false;
        END IF;
    END IF;

    -- From here on what is written is undone by QX001, which is raised and caught here: no
    -- error that anybody sees. Waits for another transaction that sets the same
    -- mark, and fails if it does.
    INSERT INTO qx_inbox (component, event_id, digest)
    SELECT * FROM unnest(mark_components, mark_events, mark_digests);

    IF cardinality(buckets) > 0 THEN
        PERFORM count(pg_advisory_xact_lock(lock_class, bucket)) FROM unnest(buckets) AS t (bucket);
    END IF;

    IF cardinality(key_names) > 0 THEN
        IF keys_first THEN
            SELECT count(*) INTO there
            FROM unnest(key_components, key_tenants, key_names, key_versions) AS t (component, tenant_id, key, version)
            CROSS JOIN LATERAL (
                SELECT version FROM qx_state
                WHERE component = t.component AND tenant_id = t.tenant_id AND key = t.key FOR UPDATE
            ) AS s
            WHERE s.version = t.version;
            IF there <> cardinality(key_names) THEN
                RAISE SQLSTATE 'QX001';
            END IF;
            DELETE FROM qx_state WHERE ctid = ANY(ARRAY(
                SELECT s.place
                FROM unnest(key_components, key_tenants, key_names, key_written, key_values)
                    AS t (component, tenant_id, key, written, value)
                CROSS JOIN LATERAL (
                    SELECT ctid AS place FROM qx_state
                    WHERE component = t.component AND tenant_id = t.tenant_id AND key = t.key OFFSET 0
                ) AS s
                WHERE t.written AND t.value IS NULL));
        END IF;
        -- A row that somebody changes meanwhile is waited for, and has another version then.
        UPDATE qx_state AS s SET value = f.value, version = nextval('qx_state_versions')
        FROM (
            SELECT t.version, t.value, s.place
            FROM unnest(key_components, key_tenants, key_names, key_versions, key_values)
                AS t (component, tenant_id, key, version, value)
            CROSS JOIN LATERAL (
                SELECT ctid AS place FROM qx_state
                WHERE component = t.component AND tenant_id = t.tenant_id AND key = t.key OFFSET 0
            ) AS s
            WHERE t.value IS NOT NULL
        ) AS f
        WHERE s.ctid = f.place AND s.version = f.version;
        GET DIAGNOSTICS there = ROW_COUNT;
        IF NOT keys_first AND there <> cardinality(key_names) THEN
            RAISE SQLSTATE 'QX001';
        END IF;
    END IF;

    IF cardinality(new_names) > 0 THEN
        -- Sees what was committed while it waited for the buckets.
        PERFORM FROM unnest(new_components, new_tenants, new_names) AS t (component, tenant_id, key)
        CROSS JOIN LATERAL (
            SELECT FROM qx_state
            WHERE component = t.component AND tenant_id = t.tenant_id AND key = t.key OFFSET 0
        ) AS s;
        IF FOUND THEN
            RAISE SQLSTATE 'QX001';
        END IF;
        INSERT INTO qx_state (component, tenant_id, key, value, version)
        SELECT component, tenant_id, key, value, nextval('qx_state_versions')
        FROM unnest(new_components, new_tenants, new_names, new_values) AS t (component, tenant_id, key, value)
        WHERE value IS NOT NULL;
    END IF;

    IF cardinality(ids) > 0 THEN
        INSERT INTO qx_outbox_events (
            id, event_name, event_version, payload, body, occurred_at,
            correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key, due_at)
        SELECT id, event_name, event_version, payload::jsonb, body, coalesce(occurred_at, now()),
               correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key,
               coalesce(due_at, statement_timestamp() + wait_ms * interval '1 millisecond')
        FROM unnest(ids, event_names, event_versions, payloads, bodies, occurred,
                    correlations, causations, tenants, traceparents, tracestates,
                    ordering_keys, due, waits_ms) WITH ORDINALITY AS t (
            id, event_name, event_version, payload, body, occurred_at,
            correlation_id, causation_id, tenant_id, traceparent, tracestate, ordering_key, due_at,
            wait_ms, position)
        ORDER BY position;
    END IF;

    IF cardinality(letters) > 0 THEN
        DELETE FROM qx_dead_letters WHERE id = ANY(letters);
    END IF;

    IF cardinality(attempt_events) > 0 THEN
        DELETE FROM qx_attempts WHERE ctid = ANY(ARRAY(
            SELECT a.place FROM unnest(attempt_components, attempt_events) AS t (component, event_id)
            CROSS JOIN LATERAL (
                SELECT ctid AS place FROM qx_attempts
                WHERE component = t.component AND event_id = t.event_id OFFSET 0
            ) AS a));
    END IF;

    IF cardinality(size_components) > 0 THEN
        WITH size AS (
            INSERT INTO qx_state_sizes AS own (component, keys, bytes)
            SELECT * FROM unnest(size_components, size_keys, size_bytes)
            ON CONFLICT (component)
            DO UPDATE SET keys = own.keys + excluded.keys, bytes = own.bytes + excluded.bytes
            RETURNING component, keys, bytes
        )
        SELECT count(*) INTO there
        FROM unnest(size_components, size_keys_most, size_bytes_most) AS t (component, keys_most, bytes_most)
        JOIN size AS s ON s.component = t.component
        WHERE s.keys > t.keys_most OR s.bytes > t.bytes_most;
        IF there > 0 THEN
            RAISE SQLSTATE 'QX001';
        END IF;
    END IF;
    RETURN true;
EXCEPTION
    WHEN SQLSTATE 'QX001' OR unique_violation THEN
        RETURN false;
END $$;

COMMENT ON FUNCTION qx_settle IS 'Commits what calls of components have changed, if nothing of what they saw has changed since. Called by the host.';

-- Room on the page: a new value of a key is an update in place, and its index is left alone.
ALTER TABLE qx_state SET (fillfactor = 70);
