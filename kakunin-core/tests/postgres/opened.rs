//! What a store looks at before it is opened: a row of the check each. It says what to do.

use kakunin_core::error::StoreError;
use kakunin_core::store::postgres::{Migrated, PostgresStore, Roles, migrate};
use pollster::block_on;

use crate::cluster::{ADMIN, APPLICATION, Cluster, Database, OWNER, database, shared};
use crate::logs::{checked_size, grow, tenant};

/// Why it is not opened.
fn refused_for(database: &Database<'_>, user: &str) -> String {
    match block_on(PostgresStore::open(&database.options(user))) {
        Err(StoreError::Foreign(why)) => why,
        other => panic!("opened, or refused otherwise: {other:?}"),
    }
}

fn refused(database: &Database<'_>) -> String {
    refused_for(database, APPLICATION)
}

fn assert_says(why: &str, words: &[&str]) {
    for word in words {
        assert!(why.contains(word), "{word}: {why}");
    }
}

/// A login of its own, with these roles.
fn login(database: &Database<'_>, of: &str) -> String {
    let name = format!("login_{}", database.name);
    database.admin(&format!("CREATE ROLE {name} LOGIN IN ROLE {of}"));
    name
}

#[test]
fn a_superuser_is_refused() {
    assert_says(&refused_for(&database(), ADMIN), &["superuser", "log in as the application's role"]);
}

#[test]
fn a_member_of_the_owner_is_refused() {
    let database = database();
    let member = login(&database, &format!("{APPLICATION}, {OWNER}"));
    assert_says(&refused_for(&database, &member), &["member of the role", "revoke the membership"]);
}

#[test]
fn a_member_of_the_application_is_not() {
    let database = database();
    let member = login(&database, APPLICATION);
    block_on(PostgresStore::open(&database.options(&member))).unwrap();
}

#[test]
fn a_login_without_the_applications_role_is_refused() {
    let database = database();
    let stranger = format!("login_{}", database.name);
    database.admin(&format!("CREATE ROLE {stranger} LOGIN"));
    assert_says(&refused_for(&database, &stranger), &["may not use schemas", "grant that role"]);
}

#[test]
fn a_login_that_may_change_entries_is_refused() {
    for what in ["UPDATE", "DELETE", "TRUNCATE", "UPDATE (leaf)"] {
        let database = database();
        database.unguarded(&format!("GRANT {what} ON audit.entry TO {APPLICATION}"));
        assert_says(&refused(&database), &["may update, delete or truncate audit.entry", "revoke"]);
    }
}

#[test]
fn a_database_without_tables_is_refused() {
    assert_says(&refused(&shared().empty()), &["no tables of ours", "`kakunin migrate`"]);
}

/// What nothing but a superuser's hand does.
fn change_migrations(database: &Database<'_>, change: &str) {
    database.unguarded(&format!(
        "ALTER TABLE audit.migration DISABLE TRIGGER deny; {change}; ALTER TABLE audit.migration ENABLE ALWAYS TRIGGER deny"
    ));
}

/// What a migration of another version left.
fn say_version(database: &Database<'_>, version: i32, compatible_from: i32) {
    database.admin(&format!(
        "INSERT INTO audit.migration(version, name, sha256, compatible_from) VALUES ({version}, 'other', '', {compatible_from})"
    ));
}

#[test]
fn an_older_schema_is_refused() {
    let database = database();
    change_migrations(&database, "DELETE FROM audit.migration");
    say_version(&database, 0, 0);
    assert_says(&refused(&database), &["version 0", "`kakunin migrate`"]);
}

#[test]
fn a_newer_schema_that_only_grew_is_used() {
    let database = database();
    say_version(&database, 2, 1);
    let store = database.open();
    grow(&store, &tenant(1), 3).unwrap();
    let again = block_on(migrate(&database.options(ADMIN), &Roles::default())).unwrap();
    assert_eq!(again, Migrated { version: 2, guarded: true, ..Migrated::default() });
}

#[test]
fn a_newer_schema_that_took_something_away_is_refused() {
    let database = database();
    say_version(&database, 3, 2);
    assert_says(&refused(&database), &["version 3", "update it"]);
}

#[test]
fn migrating_again_changes_nothing_and_many_at_once_do_it_once() {
    let database = shared().empty();
    let done: Vec<_> = std::thread::scope(|scope| {
        let migrates = || block_on(migrate(&database.options(ADMIN), &Roles::default())).unwrap();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(migrates)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|done| done.run == ["0001_logs"]).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|done| done.run.is_empty()).count(), 5, "{done:?}");
    grow(&database.open(), &tenant(1), 1).unwrap();
}

#[test]
fn a_migration_that_was_run_otherwise_is_refused() {
    let database = database();
    change_migrations(&database, "UPDATE audit.migration SET sha256 = 'other'");
    let refused = block_on(migrate(&database.options(ADMIN), &Roles::default())).unwrap_err();
    assert!(matches!(&refused, StoreError::Foreign(why) if why.contains("0001_logs")), "{refused}");
}

#[test]
fn a_migrator_needs_to_be_no_superuser() {
    let database = shared().empty();
    let (name, migrator) = (&database.name, format!("migrator_{}", database.name));
    database.admin(&format!("CREATE ROLE {migrator} LOGIN CREATEROLE"));
    database.admin(&format!("GRANT CREATE ON DATABASE {name} TO {migrator}"));
    let roles = Roles {
        application: format!("app_{name}"),
        auditor: format!("auditor_{name}"),
        owner: format!("owner_{name}"),
    };
    let done = block_on(migrate(&database.options(&migrator), &roles)).unwrap();
    assert_eq!((done.roles.len(), done.version, done.guarded), (3, 1, false));
    let logins = format!("SELECT count(*) FROM pg_roles WHERE rolname LIKE '%_{name}' AND rolcanlogin");
    assert_eq!(database.admin(&logins), "1", "none but the migrator's");
    database.admin(&format!("ALTER ROLE app_{name} LOGIN"));
    let store = block_on(PostgresStore::open(&database.options(&roles.application))).unwrap();
    grow(&store, &tenant(1), 2).unwrap();
    assert_eq!(checked_size(&store, &tenant(1)), 2);
    assert!(block_on(store.notes()).unwrap()[0].contains("no event triggers"));
}

#[test]
fn an_unsynchronous_commit_is_refused() {
    let database = database();
    database.admin(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name));
    assert_says(&refused(&database), &["synchronous_commit is off", "set it to on"]);
}

#[test]
fn a_database_that_only_reads_is_refused() {
    let database = database();
    database.admin(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name));
    assert_says(&refused(&database), &["default_transaction_read_only is on", "turn it off"]);
}

#[test]
fn a_server_that_loses_what_it_acknowledged_is_refused() {
    let cluster = Cluster::start();
    let database = cluster.database();
    for (setting, word) in [("fsync", "fsync is off"), ("full_page_writes", "full_page_writes is off")] {
        database.admin(&format!("ALTER SYSTEM SET {setting} = off"));
        database.admin("SELECT pg_reload_conf()");
        crate::cluster::until("the server reads its settings", || {
            database.admin(&format!("SHOW {setting}")) == "off"
        });
        assert_says(&refused(&database), &[word, "postgresql.conf"]);
        database.admin(&format!("ALTER SYSTEM RESET {setting}"));
        database.admin("SELECT pg_reload_conf()");
        crate::cluster::until("the server reads its settings", || {
            database.admin(&format!("SHOW {setting}")) == "on"
        });
    }
    database.open();
}

#[test]
fn a_standby_is_refused_until_it_is_promoted() {
    let cluster = Cluster::start();
    let database = cluster.database();
    grow(&database.open(), &tenant(1), 5).unwrap();
    let standby = cluster.standby();
    let there = Database { cluster: &standby, name: database.name.clone() };
    assert_says(&refused(&there), &["a standby", "promote it"]);
    drop(database);
    cluster.crash();
    standby.promote();
    let store = there.open();
    grow(&store, &tenant(1), 1).unwrap();
    assert_eq!(checked_size(&store, &tenant(1)), 6);
}

#[test]
fn a_server_that_is_not_there_is_said_to_have_taken_nothing() {
    let options = "postgres://kakunin_app@127.0.0.1:1/nothing";
    let options = kakunin_core::store::postgres::PostgresOptions::parse(options).unwrap();
    let refused = block_on(PostgresStore::open(&options)).unwrap_err();
    assert!(matches!(refused, StoreError::NotWritten(_)), "{refused:?}");
}
