//! The statements of dead letters, once for both databases: what differs between
//! them is given as fragments. Placeholders are `$n`, which both understand.
//!
//! Never: how letters are taken for their retry; that is a matter of locks, and
//! each adapter has its own.

/// The text of the statements, as constants, for one database.
///
/// `headers`, `payload`: the columns as text; `json`: makes JSON of a text before
/// it; `payload_bytes`: the column as bytes; `ids`, `names`: whether a row is among
/// those in $1 and $3; `reason`: whether its words have $8 in them; `now`,
/// `long_ago`: the time, and ten minutes before it.
macro_rules! statements {
    (
        headers: $headers:literal, payload: $payload:literal, json: $json:literal,
        payload_bytes: $payload_bytes:literal, ids: $ids:literal, names: $names:literal,
        reason: $reason:literal, now: $now:literal, long_ago: $long_ago:literal $(,)?
    ) => {
        macro_rules! columns {
            () => {
                concat!(
                    "id, component, digest, event_name, event_version, event_id, correlation_id,
                     tenant_id, subject, ", $headers, " AS headers, ", $payload, " AS payload, raw,
                     original, edited_at, delivered_count, kind, last_error, failed_at,
                     retry_requested_at"
                )
            };
        }

        /// The letters that a filter means; its values are $1 to $8. What the
        /// predecessor did not write reads as it is listed.
        macro_rules! meant {
            () => {
                concat!(
                    $ids, "
                     AND ($2 IS NULL OR coalesce(component, 'no-component') = $2)
                     AND ($3 IS NULL OR ", $names, ")
                     AND ($4 IS NULL OR coalesce(kind, 'exhausted') = $4)
                     AND ($5 IS NULL OR tenant_id = $5)
                     AND ($6 IS NULL OR failed_at < $6)
                     AND ($7 IS NULL OR failed_at >= $7)
                     AND ($8 IS NULL OR ", $reason, ")"
                )
            };
        }

        const NAMES: &str = "SELECT DISTINCT event_name FROM qx_dead_letters";

        const LIST: &str = concat!(
            "SELECT ", columns!(), " FROM qx_dead_letters WHERE ", meant!(),
            " ORDER BY failed_at DESC, id LIMIT $9"
        );

        const COUNT: &str = concat!("SELECT count(*) FROM qx_dead_letters WHERE ", meant!());

        const DROP: &str = concat!("DELETE FROM qx_dead_letters WHERE ", meant!());

        /// Only a letter that has a component can be given to it again.
        const REQUEST_RETRY: &str = concat!(
            "UPDATE qx_dead_letters SET retry_requested_at = ", $now, ", retry_taken_at = NULL
             WHERE component IS NOT NULL AND ", meant!()
        );

        /// A request that stands is kept, and so is what a person made of the body:
        /// the message that leads here can come twice.
        const BURY: &str = concat!(
            "INSERT INTO qx_dead_letters AS known (
                id, component, digest, event_name, event_version, event_id, correlation_id,
                tenant_id, subject, headers, payload, raw, delivered_count, kind, last_error,
                failed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10", $json, ", $11", $json, ", $12, $13,
                $14, $15, $16)
             ON CONFLICT (id) DO UPDATE SET
                digest = excluded.digest, subject = excluded.subject, headers = excluded.headers,
                delivered_count = excluded.delivered_count, kind = excluded.kind,
                last_error = excluded.last_error, failed_at = excluded.failed_at,
                payload = CASE WHEN known.edited_at IS NULL
                    THEN excluded.payload ELSE known.payload END,
                raw = CASE WHEN known.edited_at IS NULL THEN excluded.raw ELSE known.raw END,
                original = CASE WHEN known.edited_at IS NOT NULL THEN excluded.raw END"
        );

        /// A request that came while this one was worked on is not answered by it.
        const RETRY_FAILED: &str = concat!(
            "UPDATE qx_dead_letters SET
                retry_requested_at = CASE WHEN retry_taken_at IS NULL THEN retry_requested_at END,
                retry_taken_at = NULL,
                delivered_count = delivered_count + 1, digest = coalesce($2, digest),
                kind = $3, last_error = $4, failed_at = ", $now, "
             WHERE id = $1"
        );

        /// Not while a host calls the component with the letter: that call would end
        /// the letter, and the edit with it.
        const EDIT: &str = concat!(
            "UPDATE qx_dead_letters SET
                original = coalesce(original, raw, ", $payload_bytes, "),
                raw = $2, payload = $3", $json, ", event_id = coalesce(event_id, $4),
                edited_at = ", $now, ",
                retry_requested_at = CASE WHEN $5 AND component IS NOT NULL
                    THEN ", $now, " ELSE retry_requested_at END,
                retry_taken_at = CASE WHEN $5 THEN NULL ELSE retry_taken_at END
             WHERE id = $1 AND (retry_taken_at IS NULL OR retry_taken_at < ", $long_ago, ")"
        );

        const EXISTS: &str = "SELECT count(*) FROM qx_dead_letters WHERE id = $1";
    };
}

/// Binds the values of a filter, $1 to $8. `$ids` and `$names` are lists as the
/// database takes them, `$id` and `$time` make its values of ours.
macro_rules! bind_filter {
    ($query:expr, $filter:expr, $ids:expr, $names:expr, $id:expr, $time:expr) => {
        $query
            .bind($ids)
            .bind($filter.component.as_ref().map(ToString::to_string))
            .bind($names)
            .bind($filter.kind.map(DeadReasonKind::as_str))
            .bind($filter.tenant_id.map($id))
            .bind($filter.failed_before.map($time))
            .bind($filter.failed_since.map($time))
            .bind($filter.reason_text.clone())
    };
}

/// Binds a letter's columns, in the order of `BURY`.
macro_rules! bind_letter {
    ($query:expr, $columns:expr, $id:expr, $time:expr) => {
        $query
            .bind($id($columns.id))
            .bind($columns.component.clone())
            .bind($columns.digest.clone())
            .bind($columns.event_name.clone())
            .bind($columns.event_version)
            .bind($columns.event_id.map($id))
            .bind($columns.correlation_id.map($id))
            .bind($columns.tenant_id.map($id))
            .bind($columns.subject.clone())
            .bind($columns.headers.clone())
            .bind($columns.payload.clone())
            .bind($columns.raw.clone())
            .bind($columns.delivered_count)
            .bind($columns.kind)
            .bind($columns.last_error.clone())
            .bind($time($columns.failed_at))
    };
}

/// Reads a letter from a row. `$id` and `$time` read a column that may be NULL.
macro_rules! stored_letter {
    ($row:expr, $id:expr, $time:expr) => {
        StoredLetter {
            id: $id("id")?.unwrap_or_default(),
            component: $row.try_get("component")?,
            digest: $row.try_get("digest")?,
            event_name: $row.try_get("event_name")?,
            event_version: $row.try_get("event_version")?,
            event_id: $id("event_id")?,
            correlation_id: $id("correlation_id")?,
            tenant_id: $id("tenant_id")?,
            subject: $row.try_get("subject")?,
            headers: $row.try_get("headers")?,
            payload: $row.try_get("payload")?,
            raw: $row.try_get("raw")?,
            original: $row.try_get("original")?,
            edited_at: $time("edited_at")?,
            delivered_count: $row.try_get("delivered_count")?,
            kind: $row.try_get("kind")?,
            last_error: $row.try_get("last_error")?,
            failed_at: $time("failed_at")?.unwrap_or_default(),
            retry_requested_at: $time("retry_requested_at")?,
        }
    };
}

pub(crate) use {bind_filter, bind_letter, statements, stored_letter};
