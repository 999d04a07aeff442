//! Makes the tables, and brings them up to date: by a login of the operator's, and never by the application's.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::error::undone;
use super::options::PostgresOptions;
use super::runs::Runs;
use super::turns::number_of;
use crate::error::StoreError;
use crate::id::hex_encode;

/// A numbered file. It is never changed after a release: what it says is on record by its SHA-256.
pub(super) struct Migration {
    pub(super) version: i32,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    /// The oldest schema whose programs work with this one: they go on while a newer program is rolled out.
    pub(super) compatible_from: i32,
}

/// All of them, in order. One that takes something away comes a release after the one that no longer needs it.
pub(super) const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "0001_logs",
    sql: include_str!("migrations/0001_logs.sql"),
    compatible_from: 1,
}];

/// Guards of structure, for who may make them. They are no migration: they are made anew by each program that is newer.
const GUARDS: &str = include_str!("migrations/guards.sql");
/// A migration may change structure.
const UNGUARD: &str = "DROP EVENT TRIGGER IF EXISTS kakunin_structure; DROP EVENT TRIGGER IF EXISTS kakunin_drop; \
    DROP EVENT TRIGGER IF EXISTS kakunin_rewrite;\n";

/// The schema that this program knows.
pub(super) const VERSION: i32 = 1;

/// The roles of a deployment. Those that are missing are made, without a login: the operator gives it to them, with whatever
/// password or certificate it is to have.
#[derive(Clone, Debug)]
pub struct Roles {
    /// Whom servers log in as. It inserts and selects, and keeps projections up to date.
    pub application: String,
    /// Who reads logs, heads and what is revoked, and no secrets.
    pub auditor: String,
    /// Whose the tables are. Nobody logs in as this one.
    pub owner: String,
}

impl Default for Roles {
    fn default() -> Self {
        Self {
            application: "kakunin_app".into(),
            auditor: "kakunin_auditor".into(),
            owner: "kakunin_owner".into(),
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Roles that were made.
    pub roles: Vec<String>,
    /// Migrations that were run, by name.
    pub run: Vec<String>,
    /// The version of the schema now.
    pub version: i32,
    /// Whether event triggers guard the structure of the tables: a superuser alone can make them.
    pub guarded: bool,
}

/// Makes roles and tables that are missing, all under one lock: of several at once one does it. Run again it changes nothing.
///
/// The login needs CREATE on the database, and CREATEROLE where roles are missing.
///
/// # Errors
/// [`StoreError::Foreign`] if a migration that was run is not the one of this program; [`StoreError::NotWritten`] for whatever the
/// database refuses.
pub async fn migrate(options: &PostgresOptions, roles: &Roles) -> Result<Migrated, StoreError> {
    let runs = Runs::find()?;
    let (options, roles) = (options.clone(), roles.clone());
    let migrated = runs.spawn(async move {
        let config = options.config("migrate", "-c client_min_messages=warning -c lock_timeout=60s");
        let (client, connection) = config.connect(options.tls()).await.map_err(undone)?;
        let driver = tokio::spawn(connection);
        let done = run(&client, &roles).await;
        drop(client);
        _ = driver.await;
        done
    });
    migrated.await.map_err(StoreError::not_written)?
}

async fn run(client: &Client, roles: &Roles) -> Result<Migrated, StoreError> {
    // Of the session, so that it is given back when that ends.
    client.execute("SELECT pg_advisory_lock($1)", &[&number_of("migrate", "")]).await.map_err(undone)?;
    let mut done = Migrated::default();
    for role in [&roles.owner, &roles.application, &roles.auditor] {
        if make_role(client, role).await? {
            done.roles.push(role.clone());
        }
    }
    let before = versions(client).await?;
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    let superuser: bool = client.query_one(superuser, &[]).await.map_err(undone)?.get(0);
    for Migration { version, name, sql, compatible_from } in &MIGRATIONS {
        let sum = hex_encode(&Sha256::digest(sql));
        match before.iter().find(|(there, _)| there == version) {
            Some((_, there)) if *there == sum => continue,
            Some(_) => {
                return Err(StoreError::Foreign(format!(
                    "migration {name} was run with other statements than this program's; use the program that ran it"
                )));
            }
            None => {}
        }
        let mut script = String::from("BEGIN;\n");
        if superuser {
            script.push_str(UNGUARD);
        }
        belong(client, &roles.owner, &mut script).await?;
        script.push_str(&named(sql, roles));
        _ = write!(
            script,
            "\nRESET ROLE; SET LOCAL ROLE {}; INSERT INTO audit.migration(version, name, sha256, compatible_from) \
             VALUES ({version}, '{name}', '{sum}', {compatible_from}); COMMIT",
            quoted(&roles.owner)
        );
        client.batch_execute(&script).await.map_err(undone)?;
        done.run.push((*name).to_owned());
    }
    let newest = before.iter().map(|(version, _)| *version).max().unwrap_or_default();
    done.version = newest.max(VERSION);
    if superuser && newest <= VERSION {
        let sum = hex_encode(&Sha256::digest(body("audit.deny").unwrap_or_default()));
        let guards = GUARDS.replace(":'deny'", &format!("'{sum}'"));
        client.batch_execute(&format!("BEGIN;\n{guards}\nCOMMIT")).await.map_err(undone)?;
    }
    done.guarded = superuser;
    Ok(done)
}

/// Makes a role that is missing, and says whether it did.
async fn make_role(client: &Client, role: &str) -> Result<bool, StoreError> {
    let is_there = async || -> Result<bool, StoreError> {
        let there = client.query("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&role]).await;
        Ok(!there.map_err(undone)?.is_empty())
    };
    if is_there().await? {
        return Ok(false);
    }
    let made = client.batch_execute(&format!("CREATE ROLE {} NOLOGIN", quoted(role))).await;
    // Roles are the whole server's: another database's migration may have made it meanwhile.
    if made.is_err() && is_there().await? {
        return Ok(false);
    }
    made.map_err(undone).map(|()| true)
}

/// Who is no superuser belongs to the owner for as long as it makes what is the owner's.
async fn belong(client: &Client, owner: &str, script: &mut String) -> Result<(), StoreError> {
    let member =
        client.query("SELECT pg_has_role(session_user, $1, 'MEMBER')", &[&owner]).await.map_err(undone)?;
    if !member.first().is_some_and(|row| row.get(0)) {
        _ = writeln!(script, "GRANT {} TO CURRENT_USER;", quoted(owner));
    }
    Ok(())
}

/// The migrations that were run, with their sums.
async fn versions(client: &Client) -> Result<Vec<(i32, String)>, StoreError> {
    let there = "SELECT to_regclass('audit.migration') IS NOT NULL";
    if !client.query_one(there, &[]).await.map_err(undone)?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT version, sha256 FROM audit.migration", &[]).await.map_err(undone)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The statements with the names of roles in the place of psql's variables.
fn named(sql: &str, roles: &Roles) -> String {
    sql.replace(":\"owner\"", &quoted(&roles.owner))
        .replace(":\"application\"", &quoted(&roles.application))
        .replace(":\"auditor\"", &quoted(&roles.auditor))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The body of a function as the newest migration that defines it has it.
pub(super) fn body(function: &str) -> Option<&'static str> {
    MIGRATIONS.iter().rev().find_map(|migration| {
        let (_, behind) = migration.sql.split_once(&format!("FUNCTION {function}("))?;
        let (_, behind) = behind.split_once(" AS $")?;
        let (tag, behind) = behind.split_once('$')?;
        behind.split_once(&format!("${tag}$")).map(|(body, _)| body)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_and_their_functions_are_found() {
        for (number, migration) in (1..).zip(&MIGRATIONS) {
            assert_eq!(migration.version, number);
            assert!(migration.name.starts_with(&format!("{number:04}_")));
            assert!(migration.compatible_from <= number);
        }
        assert_eq!(MIGRATIONS.last().unwrap().version, VERSION);
        for function in ["audit.deny", "audit.make_month", "audit.bind", "state.advance"] {
            let body = body(function).unwrap();
            assert!(body.contains("BEGIN") && body.trim_end().ends_with("END"), "{function}");
        }
        assert_eq!(body("audit.nothing"), None);
    }

    #[test]
    fn names_of_roles_cannot_leave_their_quotes() {
        let roles = Roles { owner: "o\"; DROP".into(), ..Roles::default() };
        assert_eq!(named("TO :\"owner\"", &roles), "TO \"o\"\"; DROP\"");
    }
}
