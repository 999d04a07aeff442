//! Whoever would change what was written: a row of the table of attacks each. What nothing in a database stops is what a
//! checkpoint held elsewhere is for.

use kakunin_core::error::StoreError;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::postgres::PostgresStore;
use pollster::block_on;

use crate::cluster::{ADMIN, APPLICATION, AUDITOR, Database, OWNER, database};
use crate::logs::{checked_size, grow, tenant};

/// A log of a month that has a partition of its own, and one that has none.
fn grown() -> (Database<'static>, PostgresStore, String) {
    let database = database();
    let store = database.open();
    grow(&store, &tenant(1), 3).unwrap();
    let month = database.admin("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')");
    crate::cluster::until("partitions are made ahead of time", || {
        database.admin(&format!("SELECT to_regclass('audit.entry_{month}') IS NOT NULL")) == "t"
    });
    database.admin("INSERT INTO audit.entry(log, month, idx, leaf) VALUES ('other', date_trunc('month', now() AT TIME ZONE 'UTC')::date, 0, 'x')");
    (database, store, format!("audit.entry_{month}"))
}

/// Every way to change a table that has rows.
fn changes(table: &str) -> [String; 4] {
    let column = match table {
        "audit.bound_key" => "agent",
        "audit.span" => "first",
        "audit.migration" => "name",
        _ => "leaf",
    };
    [
        format!("UPDATE {table} SET {column} = {column}"),
        format!("UPDATE {table} SET {column} = {column} WHERE false"),
        format!("DELETE FROM {table}"),
        format!("TRUNCATE {table}"),
    ]
}

fn tables(partition: &str) -> [&str; 6] {
    ["audit.entry", partition, "audit.entry_other", "audit.bound_key", "audit.span", "audit.migration"]
}

fn all_refused(user: &str, before: &str, words: &str) {
    let (database, store, partition) = grown();
    for table in tables(&partition) {
        for change in changes(table) {
            let refused = database.sql(user, &format!("{before} {change}")).unwrap_err();
            assert!(refused.contains(words), "{change}: {refused}");
        }
    }
    assert_eq!(checked_size(&store, &tenant(1)), 3);
    assert_eq!(block_on(store.check_again()).unwrap(), Vec::<String>::new());
}

#[test]
fn the_application_is_permitted_no_change() {
    all_refused(APPLICATION, "", "permission denied");
}

#[test]
fn the_auditor_is_permitted_no_change() {
    all_refused(AUDITOR, "", "permission denied");
}

#[test]
fn the_owner_is_refused_by_triggers() {
    all_refused(ADMIN, &format!("SET ROLE {OWNER};"), "append-only");
}

#[test]
fn a_superuser_is_refused_by_triggers() {
    all_refused(ADMIN, "", "append-only");
}

#[test]
fn a_superuser_in_the_role_of_a_replica_is_refused_by_triggers() {
    all_refused(ADMIN, "SET session_replication_role = replica;", "append-only");
}

#[test]
fn an_insert_that_would_update_is_refused() {
    let (database, _store, partition) = grown();
    for (user, table) in [(APPLICATION, "audit.entry"), (ADMIN, "audit.entry"), (ADMIN, partition.as_str())] {
        let upsert = format!(
            "INSERT INTO {table} SELECT * FROM audit.entry WHERE log = 'other' ON CONFLICT (log, idx, month) DO UPDATE SET leaf = 'y'"
        );
        let refused = database.sql(user, &upsert).unwrap_err();
        assert!(refused.contains("permission denied") || refused.contains("append-only"), "{refused}");
    }
}

#[test]
fn the_application_writes_to_no_partition_and_changes_no_structure() {
    let (database, _store, partition) = grown();
    for attempt in [
        format!("INSERT INTO {partition} SELECT * FROM audit.entry"),
        format!("DROP TABLE {partition}"),
        format!("ALTER TABLE {partition} DISABLE TRIGGER deny"),
        "ALTER TABLE audit.entry ADD COLUMN x int".to_owned(),
        "CREATE TABLE audit.mine(x int)".to_owned(),
        "DROP TRIGGER deny ON audit.entry".to_owned(),
        "CREATE OR REPLACE FUNCTION audit.deny() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            .to_owned(),
        format!("SET ROLE {OWNER}"),
        "SET session_replication_role = replica".to_owned(),
        "INSERT INTO audit.migration(version, name, sha256, compatible_from) VALUES (9, '', '', 9)".to_owned(),
    ] {
        let refused = database.sql(APPLICATION, &attempt).unwrap_err();
        let denied = ["permission denied", "must be owner"].iter().any(|words| refused.contains(words));
        assert!(denied, "{attempt}: {refused}");
    }
}

#[test]
fn the_auditor_reads_logs_and_no_secrets() {
    let (database, _store, _) = grown();
    assert_eq!(database.sql(AUDITOR, "SELECT count(*) FROM audit.entry").unwrap(), "4");
    assert_eq!(database.sql(AUDITOR, "SELECT size FROM state.head WHERE log = 't1'").unwrap(), "3");
    for secret in ["state.row", "state.named_row"] {
        let refused = database.sql(AUDITOR, &format!("SELECT * FROM {secret}")).unwrap_err();
        assert!(refused.contains("permission denied"), "{refused}");
    }
}

#[test]
fn nobody_makes_partitions_without_end() {
    let (database, _store, _) = grown();
    let before = database.admin("SELECT count(*) FROM pg_inherits");
    for month in [
        "'1970-01-01'",
        "now() - interval '2 months'",
        "now() + interval '4 months'",
        "'9999-12-01'",
        "'infinity'",
    ] {
        let made = database.sql(APPLICATION, &format!("SELECT audit.make_month(({month})::date)"));
        assert!(made.is_err() || made.as_deref() == Ok("f"), "{month}: {made:?}");
    }
    assert_eq!(database.admin("SELECT count(*) FROM pg_inherits"), before);
    for _ in 0..2 {
        let made = database.sql(APPLICATION, "SELECT audit.make_month((now() + interval '1 month')::date)");
        assert_eq!(made.unwrap(), "t");
    }
}

/// What the check says after somebody did this as a superuser, and that a store is not opened then.
fn found_after(attack: &str, words: &[&str]) {
    let (database, store, partition) = grown();
    let attack = attack.replace("PARTITION", &partition).replace("$P", &format!("PARTITION {partition}"));
    // Where nobody puts the guards aside, none of that is done, by the owner or in the role of a replica. They are about
    // the tables of logs; what moves heads is held against its source alone.
    let guarded = !attack.contains("advance");
    for who in [format!("SET ROLE {OWNER}"), "SET session_replication_role = replica".to_owned()] {
        let done = database.sql(ADMIN, &format!("BEGIN; {who}; {attack}; ROLLBACK"));
        let refused = done
            .as_ref()
            .is_err_and(|error| error.contains("append-only") || error.contains("permission denied"));
        assert_eq!(refused, guarded, "{attack}: {done:?}");
    }
    assert_eq!(block_on(store.check_again()).unwrap(), Vec::<String>::new());
    database.unguarded(&attack);
    let found = block_on(store.check_again()).unwrap().join("; ");
    for word in words {
        assert!(found.contains(&word.replace("PARTITION", &partition)), "{attack}: {found}");
    }
    let refused = block_on(PostgresStore::open(&database.options(APPLICATION))).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused:?}");
}

#[test]
fn a_disabled_trigger_is_found() {
    found_after(
        "ALTER TABLE audit.entry DISABLE TRIGGER deny",
        &["audit.entry has no trigger", "enable it ALWAYS"],
    );
}

#[test]
fn a_disabled_trigger_of_a_partition_is_found() {
    found_after("ALTER TABLE PARTITION DISABLE TRIGGER deny", &["PARTITION has no trigger"]);
}

#[test]
fn a_trigger_that_replicas_pass_over_is_found() {
    found_after("ALTER TABLE PARTITION ENABLE TRIGGER deny", &["PARTITION has no trigger"]);
}

#[test]
fn a_trigger_that_is_gone_is_found() {
    for table in ["PARTITION", "audit.entry_other", "audit.bound_key", "audit.span", "audit.migration"] {
        found_after(&format!("DROP TRIGGER deny ON {table}"), &[&format!("{table} has no trigger")]);
    }
}

#[test]
fn a_trigger_that_refuses_less_is_found() {
    for less in ["UPDATE OR DELETE", "UPDATE OF leaf OR DELETE OR TRUNCATE"] {
        let attack = format!(
            "DROP TRIGGER deny ON PARTITION; CREATE TRIGGER deny BEFORE {less} ON PARTITION FOR EACH STATEMENT EXECUTE FUNCTION audit.deny(); ALTER TABLE PARTITION ENABLE ALWAYS TRIGGER deny"
        );
        found_after(&attack, &["PARTITION has no trigger"]);
    }
}

#[test]
fn a_changed_function_is_found() {
    let function = "CREATE OR REPLACE FUNCTION audit.deny() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    found_after(function, &["function audit.deny is not the one"]);
}

#[test]
fn a_changed_function_that_moves_heads_is_found() {
    let function = "DO $$ BEGIN EXECUTE (SELECT replace(pg_get_functiondef(oid), 'not the head', 'no head') FROM pg_proc WHERE proname = 'advance'); END $$";
    found_after(function, &["function state.advance is not the one"]);
}

#[test]
fn a_detached_partition_is_found() {
    found_after("ALTER TABLE audit.entry DETACH $P", &["PARTITION is no part"]);
}

#[test]
fn a_rule_is_found() {
    found_after(
        "CREATE RULE quiet AS ON INSERT TO audit.entry DO INSTEAD NOTHING",
        &["audit.entry has rules"],
    );
}

#[test]
fn another_trigger_is_found() {
    let attack = "CREATE FUNCTION public.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER skip BEFORE INSERT ON PARTITION FOR EACH ROW EXECUTE FUNCTION public.skip()";
    found_after(attack, &["PARTITION has rules or triggers"]);
}

/// Changes entries behind the triggers' back, as a superuser can.
fn behind_their_back(database: &Database<'_>, change: &str) {
    let set = |to: &str| {
        ["entry", "entry_other"].map(|table| format!("ALTER TABLE audit.{table} {to} TRIGGER deny;")).concat()
    };
    database.unguarded(&format!("{} {change}; {}", set("DISABLE"), set("ENABLE ALWAYS")));
}

#[test]
fn the_guards_refuse_what_else_would_change_rows() {
    let (database, store, partition) = grown();
    for attack in [
        "ALTER TABLE audit.entry ALTER COLUMN leaf TYPE bytea USING 'forged'::bytea".to_owned(),
        format!("ALTER TABLE {partition} ALTER COLUMN payload TYPE bytea USING NULL"),
        "ALTER TABLE audit.entry DROP COLUMN leaf".to_owned(),
        format!("DROP TABLE {partition}"),
        "DROP TABLE audit.entry".to_owned(),
        "DROP SCHEMA audit CASCADE".to_owned(),
        format!("DROP OWNED BY {OWNER} CASCADE"),
        "DROP FUNCTION audit.deny() CASCADE".to_owned(),
        "ALTER FUNCTION audit.deny() RENAME TO other".to_owned(),
        "ALTER TABLE audit.span RENAME TO other".to_owned(),
        format!("GRANT UPDATE ON audit.entry TO {APPLICATION}"),
        format!("GRANT UPDATE (leaf) ON {partition} TO {APPLICATION}"),
        "GRANT TRUNCATE ON audit.span TO PUBLIC".to_owned(),
        format!("ALTER TABLE audit.entry OWNER TO {APPLICATION}"),
        "CREATE TABLE public.t(log text, idx bigint, month date, PRIMARY KEY (log, idx, month)); \
         INSERT INTO public.t SELECT log, idx, month FROM audit.entry; \
         ALTER TABLE audit.entry ADD FOREIGN KEY (log, idx, month) REFERENCES public.t ON DELETE CASCADE"
            .to_owned(),
    ] {
        let refused = database.sql(ADMIN, &format!("BEGIN; {attack}; COMMIT")).unwrap_err();
        let known = ["append-only", "cannot alter", "cannot drop", "already exists"];
        assert!(known.iter().any(|words| refused.contains(words)), "{attack}: {refused}");
    }
    assert_eq!(checked_size(&store, &tenant(1)), 3);
    assert_eq!(block_on(store.check_again()).unwrap(), Vec::<String>::new());
    assert_eq!(block_on(store.notes()).unwrap(), Vec::<String>::new());
}

#[test]
fn without_guards_the_store_says_so_and_rows_that_were_written_anew_are_seen_by_the_root_alone() {
    let (database, store, _) = grown();
    database.unguarded("ALTER TABLE audit.entry ALTER COLUMN leaf TYPE bytea USING 'forged'::bytea");
    assert_eq!(block_on(store.check_again()).unwrap(), Vec::<String>::new());
    assert_ne!(root(&store), block_on(store.head(&tenant(1))).unwrap().0.frontier);
    database.admin("ALTER EVENT TRIGGER kakunin_rewrite ENABLE");
    assert!(block_on(store.notes()).unwrap()[0].contains("no event triggers"));
}

/// What the entries lead to.
fn root(store: &PostgresStore) -> Frontier {
    let mut frontier = Frontier::default();
    let entries = block_on(store.read(&tenant(1), 0, 9)).unwrap();
    entries.iter().for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
    frontier
}

#[test]
fn a_superuser_who_covers_up_is_seen_by_the_root_alone() {
    let (database, store, _) = grown();
    behind_their_back(&database, "UPDATE audit.entry SET leaf = 'forged' WHERE log = 't1' AND idx = 1");
    // Nothing in the database says so.
    assert_eq!(block_on(store.check_again()).unwrap(), Vec::<String>::new());
    assert_ne!(root(&store), block_on(store.head(&tenant(1))).unwrap().0.frontier);
}

#[test]
fn a_superuser_who_takes_an_entry_away_leaves_a_gap() {
    let (database, store, _) = grown();
    behind_their_back(&database, "DELETE FROM audit.entry WHERE log = 't1' AND idx = 1");
    let read = block_on(store.read(&tenant(1), 0, 9));
    assert!(matches!(&read, Err(StoreError::Corrupt(what)) if what.contains("index 1")), "{read:?}");
}

#[test]
fn a_head_that_was_put_back_does_not_go_on_over_what_is_there() {
    let (database, store, _) = grown();
    let head = block_on(store.head(&tenant(1))).unwrap().0;
    let before = database.admin("SELECT size, at, encode(frontier, 'hex') FROM state.head WHERE log = 't1'");
    grow(&store, &tenant(1), 1).unwrap();
    let [size, at, frontier] = before.split('|').collect::<Vec<_>>()[..] else { panic!("{before}") };
    // The application may do that, and whoever is it: a checkpoint held elsewhere says that the log was longer.
    let back = format!(
        "UPDATE state.head SET size = {size}, at = {at}, frontier = decode('{frontier}', 'hex') WHERE log = 't1'"
    );
    database.sql(APPLICATION, &back).unwrap();
    assert_eq!(block_on(store.head(&tenant(1))).unwrap().0, head);
    let forked = grow(&store, &tenant(1), 1);
    assert!(
        matches!(&forked, Err(StoreError::Corrupt(what)) if what.contains("beyond the head")),
        "{forked:?}"
    );
}
