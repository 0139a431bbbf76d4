-- Runs a guest's statement as the role that owns this function. Made anew in each
-- connection, for that connection alone, by the role itself.
--
-- SECURITY DEFINER is the wall: within it nothing can change who it runs as, not SET
-- ROLE, not SET SESSION AUTHORIZATION, not a function that does so. PREPARE takes
-- one SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES, and works out what type each
-- parameter has; the host has made sure before that the text is one statement.
CREATE FUNCTION pg_temp.qx_guest(
    mode text, statement text, parameters text[], rows_max integer, bytes_max bigint,
    OUT affected bigint, OUT answer text[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = "$user", public
SET standard_conforming_strings = on
SET client_min_messages = warning
AS $qx$
DECLARE
    arguments text;
    one record;
    line text;
    bytes bigint := 0;
BEGIN
    affected := 0;
    answer := '{}';
    IF mode = 'finish' THEN
        SET CONSTRAINTS ALL IMMEDIATE;
        RETURN;
    END IF;
    -- One that failed is still there: it is no part of the transaction.
    IF EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE name = 'qx_statement') THEN
        DEALLOCATE qx_statement;
    END IF;
    EXECUTE 'PREPARE qx_statement AS ' || statement;
    SELECT coalesce('(' || string_agg(pg_catalog.quote_nullable(p.value), ', ' ORDER BY p.nth) || ')', '')
        INTO arguments FROM pg_catalog.unnest(parameters) WITH ORDINALITY AS p (value, nth);
    IF mode = 'plain' THEN
        EXECUTE 'EXECUTE qx_statement' || arguments;
        RETURN;
    END IF;
    FOR one IN EXECUTE 'EXECUTE qx_statement' || arguments LOOP
        affected := affected + 1;
        CONTINUE WHEN mode = 'count';
        IF affected > rows_max THEN
            RAISE EXCEPTION USING ERRCODE = 'QX001', MESSAGE = 'too many rows';
        END IF;
        line := pg_catalog.row_to_json(one)::text;
        bytes := bytes + pg_catalog.octet_length(line);
        IF bytes > bytes_max THEN
            RAISE EXCEPTION USING ERRCODE = 'QX002', MESSAGE = 'too many bytes';
        END IF;
        answer[affected] := line;
    END LOOP;
END
$qx$
