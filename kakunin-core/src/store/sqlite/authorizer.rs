//! What our own connections may do once they are set up: SQL that found its way in here changes no history.
//!
//! SQLite asks when a statement is prepared, and statements are kept: a write costs nothing more.

use std::cell::Cell;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, Result};

/// Tables whose rows change; everywhere else rows are only added.
const MUTABLE: [&str; 4] = ["state", "state_applied", "revocation", "revocation_applied"];
/// Tables to which rows are added.
const GROWING: [&str; 5] = ["log", "batch", "leaf", "payload", "bound_key"];
/// Pragmas that say something, while they are given no value.
const SAYING: [&str; 4] = ["data_version", "application_id", "user_version", "page_size"];
/// The writer copies the WAL itself, and says how much of it is kept.
const WAL: [&str; 2] = ["wal_checkpoint", "journal_size_limit"];
/// Functions that reach beyond the database.
const FUNCTIONS: [&str; 4] = ["load_extension", "readfile", "writefile", "edit"];

thread_local! {
    static MENDING: Cell<bool> = const { Cell::new(false) };
}

/// From here on the connection writes rows as the store does, and nothing else.
pub(super) fn writes_rows(connection: &mut Connection) -> Result<()> {
    connection.authorizer(Some(|asked: AuthContext<'_>| {
        allowed(may_write(&asked.action) || MENDING.get() && may_mend(&asked.action))
    }))
}

/// From here on the connection reads.
pub(super) fn reads(connection: &mut Connection) -> Result<()> {
    connection.authorizer(Some(|asked: AuthContext<'_>| allowed(may_read(&asked.action))))
}

/// Makes triggers, views and indexes what they must be, for which the writer of this thread may drop and make them.
pub(super) fn while_mending<T>(mend: impl FnOnce() -> T) -> T {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            MENDING.set(false);
        }
    }
    MENDING.set(true);
    let _ends = Ends;
    mend()
}

const fn allowed(is_allowed: bool) -> Authorization {
    if is_allowed { Authorization::Allow } else { Authorization::Deny }
}

fn may_read(action: &AuthAction<'_>) -> bool {
    match *action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Recursive
        | AuthAction::Transaction { .. } => true,
        AuthAction::Pragma { pragma_name, pragma_value } => {
            pragma_value.is_none() && SAYING.contains(&pragma_name)
        }
        AuthAction::Function { function_name } => !FUNCTIONS.contains(&function_name),
        _ => false,
    }
}

fn may_write(action: &AuthAction<'_>) -> bool {
    match *action {
        AuthAction::Insert { table_name } => is_ours(table_name),
        AuthAction::Update { table_name, .. } | AuthAction::Delete { table_name } => {
            MUTABLE.contains(&table_name)
        }
        AuthAction::Savepoint { .. } => true,
        AuthAction::Pragma { pragma_name, .. } if WAL.contains(&pragma_name) => true,
        _ => may_read(action),
    }
}

/// SQLite writes its own table of what there is with it. Tables are neither made nor dropped.
fn may_mend(action: &AuthAction<'_>) -> bool {
    match *action {
        AuthAction::CreateTrigger { .. }
        | AuthAction::DropTrigger { .. }
        | AuthAction::DropView { .. }
        | AuthAction::CreateIndex { .. }
        | AuthAction::DropIndex { .. }
        | AuthAction::Reindex { .. } => true,
        AuthAction::Insert { table_name } | AuthAction::Update { table_name, .. } => is_schema(table_name),
        // Of a view that is dropped it asks as of a table.
        AuthAction::Delete { table_name } => is_schema(table_name) || !is_ours(table_name),
        _ => false,
    }
}

fn is_schema(name: &str) -> bool {
    ["sqlite_master", "sqlite_schema"].contains(&name)
}

fn is_ours(name: &str) -> bool {
    MUTABLE.contains(&name) || GROWING.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

    /// What SQL that was slipped in might try, with what no trigger sees.
    const ATTACKS: [&str; 22] = [
        "UPDATE leaf SET leaf = x'00'",
        "UPDATE leaf SET leaf = x'00' WHERE idx < 0",
        "DELETE FROM leaf",
        "DELETE FROM payload WHERE 0",
        "UPDATE payload SET octets = x''",
        "DELETE FROM batch",
        "UPDATE batch SET root = zeroblob(32)",
        "UPDATE log SET name = 'x'",
        "DELETE FROM bound_key",
        "INSERT INTO leaf VALUES (1, 0, x'00') ON CONFLICT DO UPDATE SET leaf = excluded.leaf",
        "DROP TABLE leaf",
        "DROP TRIGGER leaf_update",
        "ALTER TABLE leaf RENAME TO other",
        "ALTER TABLE leaf ADD COLUMN x TEXT",
        "CREATE TABLE y(z)",
        "CREATE TRIGGER t AFTER INSERT ON leaf BEGIN SELECT 1; END",
        "CREATE TEMP TRIGGER t AFTER INSERT ON leaf BEGIN SELECT 1; END",
        "ATTACH ':memory:' AS other",
        "PRAGMA writable_schema = ON",
        "PRAGMA ignore_check_constraints = ON",
        "PRAGMA recursive_triggers = OFF",
        "SELECT load_extension('x')",
    ];

    fn refuses(connection: &Connection, sql: &str) {
        let refused = connection.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("not authorized") || refused.contains("prohibited"), "{sql}: {refused}");
    }

    #[test]
    fn sql_that_was_slipped_in_changes_no_history_and_no_table() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.db");
        let writer = schema::open_writer(&path).unwrap();
        writer
            .execute_batch("INSERT INTO log(name) VALUES ('acme'); INSERT INTO leaf VALUES (1, 0, x'01')")
            .unwrap();
        let reader = schema::open_reader(&path).unwrap();
        for attack in ATTACKS {
            refuses(&writer, attack);
            refuses(&reader, attack);
        }
        for write in ["INSERT INTO leaf VALUES (1, 1, x'02')", "DELETE FROM state", "PRAGMA query_only = OFF"]
        {
            refuses(&reader, write);
        }
        refuses(&writer, "INSERT INTO sqlite_schema VALUES ('a', 'b', 'c', 1, 'd')");
        let leaf: Vec<u8> = reader.query_row("SELECT leaf FROM leaf", [], |row| row.get(0)).unwrap();
        assert_eq!(leaf, [1], "what is allowed goes on, and nothing was changed");
    }

    #[test]
    fn what_mends_the_tables_may_do_no_more_than_that_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.db");
        let writer = schema::open_writer(&path).unwrap();
        let foreign = Connection::open(&path).unwrap();
        foreign
            .execute_batch(
                "DROP TRIGGER leaf_update; CREATE VIEW seen AS SELECT 1; CREATE INDEX i ON leaf(leaf)",
            )
            .unwrap();
        while_mending(|| {
            ["DELETE FROM leaf", "DROP TABLE leaf"].iter().for_each(|sql| refuses(&writer, sql))
        });
        assert_eq!(schema::mend(&writer).unwrap().len(), 3);
        assert!(schema::mend(&writer).unwrap().is_empty(), "all is what it must be");
        refuses(&writer, "DROP TRIGGER leaf_update");
    }
}
