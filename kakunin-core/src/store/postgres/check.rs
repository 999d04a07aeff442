//! Looks whether the database is one to write a log to, and whether its tables are as they were made.

use sha2::{Digest, Sha256};

use super::link::Link;
use super::migrate::{VERSION, body};
use super::rows::column;
use crate::error::StoreError;
use crate::id::hex_encode;

/// The oldest server: the first that ends sessions which do nothing.
const OLDEST: i32 = 140_000;

/// Functions that are what they were, or the tables are not.
const FUNCTIONS: [&str; 6] =
    ["audit.deny", "audit.make_month", "audit.bind", "state.advance", "state.apply", "state.revoke"];

/// What the server is, and how it keeps what it acknowledges. Of no log.
const SERVER: &str = "SELECT current_setting('server_version_num')::int4, pg_is_in_recovery(), \
    current_setting('default_transaction_read_only')::bool, current_setting('fsync')::bool, \
    current_setting('full_page_writes')::bool, current_setting('synchronous_commit'), current_setting('server_version')";

/// Who we are. Of no log.
const LOGIN: &str = "SELECT r.rolsuper, coalesce(bool_or(pg_has_role(current_user, n.nspowner, 'MEMBER')), false), \
    count(n.nspname), coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE')), false) \
    FROM pg_roles r LEFT JOIN pg_namespace n ON n.nspname IN ('audit', 'state') \
    WHERE r.rolname = current_user GROUP BY r.rolsuper";

/// What may be done to the tables of logs, and who would refuse it. Of no log.
const TABLES: &str = "SELECT c.relname::text, \
    has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE') \
      OR has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(c.oid, 'TRUNCATE'), \
    (SELECT t.tgenabled::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'deny' AND NOT t.tgisinternal \
      AND t.tgtype = 58 AND t.tgqual IS NULL AND t.tgattr = '' \
      AND t.tgfoid = to_regprocedure('audit.deny()')), \
    c.relispartition OR c.relname IN ('entry', 'span', 'bound_key', 'migration'), \
    (SELECT count(*) FROM pg_rewrite w WHERE w.ev_class = c.oid) + (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname <> 'deny') \
    FROM pg_class c WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname";

/// What functions consist of. Of no log.
const SOURCES: &str = "SELECT n.nspname || '.' || p.proname, encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex') \
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('audit', 'state')";

/// The schema that is there. Of no log.
const SCHEMA: &str = "SELECT max(version), max(compatible_from) FROM audit.migration";

/// Whether event triggers guard the tables against changes of structure. Of no log.
const EVENTS: &str =
    "SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'kakunin%' AND evtenabled = 'A'";

/// The statements of this file.
#[cfg(test)]
pub(super) const ALL: [&str; 6] = [SERVER, LOGIN, TABLES, SOURCES, SCHEMA, EVENTS];

/// What is wrong, a sentence each that says what to do.
pub(super) async fn findings(link: &Link) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    server(link, &mut found).await?;
    if !login(link, &mut found).await? {
        return Ok(found);
    }
    if !schema(link, &mut found).await? {
        return Ok(found);
    }
    functions(link, &mut found).await?;
    tables(link, &mut found).await?;
    Ok(found)
}

/// The server's version, as it names it.
pub(super) async fn version(link: &Link) -> Result<String, StoreError> {
    let row = link.query_one(SERVER, &[]).await?;
    row.map_or_else(|| Ok(String::new()), |row| column(&row, 6))
}

/// What could be better, and is no reason to refuse.
pub(super) async fn notes(link: &Link) -> Result<Vec<String>, StoreError> {
    let guards: i64 = link.query_one(EVENTS, &[]).await?.map_or(Ok(0), |row| column(&row, 0))?;
    let mut notes = Vec::new();
    if guards < 3 {
        notes.push(
            "no event triggers guard the tables of logs: whoever becomes their owner can change their structure, which the \
             next check notices; run `kakunin migrate` once as a superuser, who alone can make them"
                .to_owned(),
        );
    }
    Ok(notes)
}

async fn server(link: &Link, found: &mut Vec<String>) -> Result<(), StoreError> {
    let Some(row) = link.query_one(SERVER, &[]).await? else { return Ok(()) };
    let (version, recovers, only_reads): (i32, bool, bool) =
        (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
    let (fsync, pages, commit): (bool, bool, &str) = (column(&row, 3)?, column(&row, 4)?, column(&row, 5)?);
    let named: &str = column(&row, 6)?;
    if version < OLDEST {
        found.push(format!("the server is PostgreSQL {named}; use 14 or later"));
    }
    if recovers {
        found.push("the server is a standby, which only reads; connect to the primary, or promote it".into());
    }
    if only_reads {
        found.push("default_transaction_read_only is on for this login; turn it off".into());
    }
    if !fsync {
        found
            .push("fsync is off: what is acknowledged can be lost; set fsync = on in postgresql.conf".into());
    }
    if !pages {
        found.push(
            "full_page_writes is off: a crash can damage what was written; set full_page_writes = on in postgresql.conf"
                .into(),
        );
    }
    if commit == "off" {
        found.push(
            "synchronous_commit is off: what is acknowledged can be lost; set it to on, for server, database and login".into(),
        );
    }
    Ok(())
}

/// Whether there are tables to look at.
async fn login(link: &Link, found: &mut Vec<String>) -> Result<bool, StoreError> {
    let Some(row) = link.query_one(LOGIN, &[]).await? else { return Ok(false) };
    let (superuser, owner, schemas): (bool, bool, i64) =
        (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
    if superuser {
        found.push("the login is a superuser, whom nothing refuses; log in as the application's role".into());
    } else if owner {
        found.push(
            "the login owns the tables, or is a member of the role that does; log in as the application's role, and revoke the membership"
                .into(),
        );
    }
    if schemas < 2 {
        found.push(
            "the database has no tables of ours; run `kakunin migrate` with a login that may make them"
                .into(),
        );
    }
    let usable: bool = column(&row, 3)?;
    if schemas == 2 && !usable {
        found.push(
            "the login may not use schemas audit and state; log in as the application's role, or grant that role to the login"
                .into(),
        );
    }
    Ok(schemas == 2 && usable)
}

/// Whether the tables are of a version that is known here.
async fn schema(link: &Link, found: &mut Vec<String>) -> Result<bool, StoreError> {
    let Some(row) = link.query_one(SCHEMA, &[]).await? else { return Ok(false) };
    let (version, compatible): (Option<i32>, Option<i32>) = (column(&row, 0)?, column(&row, 1)?);
    let (version, compatible) = (version.unwrap_or_default(), compatible.unwrap_or_default());
    if version < VERSION {
        found.push(format!(
            "the schema is of version {version}, and this program needs {VERSION}; run `kakunin migrate`"
        ));
    } else if compatible > VERSION {
        found.push(format!(
            "the schema is of version {version}, which programs of version {compatible} and later know; this one knows \
             {VERSION}: update it"
        ));
    }
    Ok(version >= VERSION && compatible <= VERSION)
}

async fn functions(link: &Link, found: &mut Vec<String>) -> Result<(), StoreError> {
    let mut there = Vec::new();
    for row in link.query(SOURCES, &[]).await? {
        there.push((column::<String>(&row, 0)?, column::<String>(&row, 1)?));
    }
    for name in FUNCTIONS {
        let expected = hex_encode(&Sha256::digest(body(name).unwrap_or_default()));
        let mut named = there.iter().filter(|(other, _)| other == name).peekable();
        if named.peek().is_none() || named.any(|(_, sum)| *sum != expected) {
            found.push(format!(
                "function {name} is not the one that was made: somebody changed it; stop, compare the log with a checkpoint \
                 held elsewhere, and restore the function"
            ));
        }
    }
    Ok(())
}

async fn tables(link: &Link, found: &mut Vec<String>) -> Result<(), StoreError> {
    for row in link.query(TABLES, &[]).await? {
        let (name, may_change): (&str, bool) = (column(&row, 0)?, column(&row, 1)?);
        let (trigger, ours, others): (Option<&str>, bool, i64) =
            (column(&row, 2)?, column(&row, 3)?, column(&row, 4)?);
        if may_change {
            found.push(format!(
                "the login may update, delete or truncate audit.{name}; revoke that: it needs INSERT and SELECT alone"
            ));
        }
        if ours && trigger != Some("A") {
            found.push(format!(
                "audit.{name} has no trigger that always refuses changes: somebody took it away or disabled it; stop, compare \
                 the log with a checkpoint held elsewhere, and enable it ALWAYS"
            ));
        }
        if !ours {
            found.push(format!(
                "audit.{name} is no part of any table of ours: a partition was detached, or somebody made it; compare the \
                 log with a checkpoint held elsewhere, and attach it or take it away"
            ));
        }
        if others > 0 {
            found.push(format!("audit.{name} has rules or triggers that are not ours; take them away"));
        }
    }
    Ok(())
}
