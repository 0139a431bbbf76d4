//! Whether a role is fit to be a component's: what the host checks of every connection
//! before a guest uses it, and `qx-host doctor` of every role that is granted.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// Everything that is asked of a role, in one look at the catalogs.
const LOOK: &str = "
    SELECT current_user::text AS host,
        current_database()::text AS database,
        r.oid IS NOT NULL AS is_there,
        coalesce(r.rolsuper, false) AS superuser,
        coalesce(r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication, false) AS privileged,
        coalesce(r.rolcanlogin, false) AS login,
        coalesce(pg_has_role(current_user, r.oid, 'MEMBER'), false) AS lent,
        coalesce((
            SELECT string_agg(m.rolname, ', ' ORDER BY m.rolname) FROM pg_roles AS m
            WHERE m.oid <> r.oid AND pg_has_role(r.oid, m.oid, 'MEMBER') AND (
                m.rolname = current_user OR m.rolsuper OR m.rolcreaterole OR m.rolname IN (
                    'pg_read_all_data', 'pg_write_all_data', 'pg_read_all_settings', 'pg_monitor',
                    'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_read_server_files',
                    'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend',
                    'pg_checkpoint', 'pg_maintain', 'pg_create_subscription'))
        ), '') AS member_of,
        coalesce(has_database_privilege(r.oid, current_database(), 'TEMP'), false) AS temporary,
        coalesce((
            SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class AS c
            WHERE c.relname LIKE 'qx\\_%' AND c.relnamespace = (
                    SELECT relnamespace FROM pg_class WHERE oid = to_regclass('qx_inbox'))
                AND CASE WHEN c.relkind IN ('r', 'p', 'v', 'm', 'f')
                    THEN has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
                        OR has_table_privilege(r.oid, c.oid, 'DELETE, TRUNCATE, TRIGGER')
                    WHEN c.relkind = 'S' THEN has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE')
                    ELSE false END
        ), '') AS tables,
        coalesce((
            SELECT n.nspname::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.oid = to_regclass('qx_inbox') AND has_schema_privilege(r.oid, n.oid, 'CREATE')
        ), '') AS may_create_in
    FROM (VALUES ($1::text)) AS asked (name) LEFT JOIN pg_roles AS r ON r.rolname = asked.name";

/// What was found of a role.
#[derive(Debug, Clone)]
pub struct RoleReport {
    /// The role.
    pub role: String,
    /// The host's own.
    pub host: String,
    /// The database.
    pub database: String,
    /// What speaks against it, the worst first.
    pub flaws: Vec<RoleFlaw>,
}

/// Something that speaks against a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleFlaw {
    /// It does not exist.
    Missing,
    /// The host may not act as it.
    NotLent,
    /// It is a superuser: nothing holds it.
    Superuser,
    /// It is the host's own, or may act as one that can do too much.
    MemberOf(String),
    /// It may read or write tables of the host.
    Tables(String),
    /// It may not have what the host needs in each connection.
    NoTemporary,
    /// It may make roles or databases, replicate, or see past row security.
    Privileged,
    /// It may make things where the host's tables are.
    MayCreate(String),
    /// Somebody may sign in as it.
    Login,
}

impl RoleFlaw {
    /// Whether no statement may run as such a role.
    pub const fn is_grave(&self) -> bool {
        match self {
            Self::Missing
            | Self::NotLent
            | Self::Superuser
            | Self::MemberOf(_)
            | Self::Tables(_)
            | Self::NoTemporary
            | Self::Privileged => true,
            Self::MayCreate(_) | Self::Login => false,
        }
    }

    /// What is wrong, and the SQL that puts it right.
    pub fn sentence(&self, report: &RoleReport) -> String {
        let RoleReport {
            role,
            host,
            database,
            flaws: _,
        } = report;
        let (name, host) = (quoted(role), quoted(host));
        match self {
            Self::Missing => format!(
                "role {role} does not exist: CREATE ROLE {name} NOLOGIN; CREATE SCHEMA {name} AUTHORIZATION {name}; GRANT {name} TO {host};"
            ),
            Self::NotLent => {
                format!("the host may not act as role {role}: GRANT {name} TO {host};")
            }
            Self::Superuser => {
                format!("role {role} is a superuser: ALTER ROLE {name} NOSUPERUSER;")
            }
            Self::MemberOf(roles) => format!(
                "role {role} may act as {roles}, which can do more than a component may: revoke it (REVOKE … FROM {name};), or make another role"
            ),
            Self::Tables(tables) => format!(
                "role {role} has rights on tables of the host ({tables}): REVOKE ALL ON {tables} FROM {name}, PUBLIC;"
            ),
            Self::NoTemporary => format!(
                "role {role} may make nothing temporary, which the host needs for it: GRANT TEMPORARY ON DATABASE {} TO {name};",
                quoted(database)
            ),
            Self::Privileged => format!(
                "role {role} may do what no component should: ALTER ROLE {name} NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;"
            ),
            Self::MayCreate(schema) => format!(
                "role {role} may make tables and functions beside those of the host: REVOKE CREATE ON SCHEMA {} FROM {name}, PUBLIC;",
                quoted(schema)
            ),
            Self::Login => format!(
                "role {role} can sign in by itself, which the host does not need: ALTER ROLE {name} NOLOGIN;"
            ),
        }
    }
}

/// Looks at a role.
pub(super) async fn look(conn: &mut PgConnection, role: &str) -> Result<RoleReport, sqlx::Error> {
    let row = sqlx::query(LOOK).bind(role).fetch_one(conn).await?;
    let is = |column: &str| row.try_get::<bool, _>(column);
    let text = |column: &str| row.try_get::<String, _>(column);
    let host = text("host")?;
    let mut flaws = Vec::new();
    if is("is_there")? {
        let member_of = if role == host {
            host.clone()
        } else {
            text("member_of")?
        };
        let (tables, schema) = (text("tables")?, text("may_create_in")?);
        let superuser = is("superuser")?;
        let found = [
            (!is("lent")?, RoleFlaw::NotLent),
            (superuser, RoleFlaw::Superuser),
            // A superuser is a member of all, and may do all: said once.
            (
                !superuser && !member_of.is_empty(),
                RoleFlaw::MemberOf(member_of),
            ),
            (!superuser && !tables.is_empty(), RoleFlaw::Tables(tables)),
            (!is("temporary")?, RoleFlaw::NoTemporary),
            (is("privileged")?, RoleFlaw::Privileged),
            (
                !superuser && !schema.is_empty(),
                RoleFlaw::MayCreate(schema),
            ),
            (is("login")?, RoleFlaw::Login),
        ];
        flaws.extend(
            found
                .into_iter()
                .filter(|(is, _)| *is)
                .map(|(_, flaw)| flaw),
        );
    } else {
        flaws.push(RoleFlaw::Missing);
    }
    Ok(RoleReport {
        role: role.to_owned(),
        host,
        database: text("database")?,
        flaws,
    })
}

/// A name as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}
