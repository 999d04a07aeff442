//! Which agent each public key belongs to.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::store_error;
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId};
use crate::store::bound::Binding;

/// Makes each key its agent's, in the transaction of the append that says so.
pub(super) fn bind(connection: &Connection, bindings: &[Binding]) -> Result<(), StoreError> {
    for bound in bindings {
        match holder(connection, bound)? {
            None => put(connection, bound)?,
            Some(agent) if agent == bound.agent => {}
            Some(agent) => return Err(StoreError::KeyTaken { key: bound.key, agent }),
        }
    }
    Ok(())
}

fn holder(connection: &Connection, bound: &Binding) -> Result<Option<AgentId>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT agent FROM bound_key WHERE key = ?1").map_err(store_error)?;
    let found = statement.query_row([bound.key.as_bytes()], |row| row.get::<_, [u8; 16]>(0)).optional();
    Ok(found.map_err(store_error)?.map(AgentId::from_bytes))
}

pub(super) fn put(connection: &Connection, bound: &Binding) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO bound_key(key, agent) VALUES (?1, ?2)")
        .and_then(|mut s| s.execute(params![bound.key.as_bytes(), bound.agent.as_bytes()]))
        .map(|_| ())
        .map_err(store_error)
}

/// Those of keys above one, in order.
pub(super) fn after(
    connection: &Connection,
    after: Option<&IssuerId>,
    limit: i64,
) -> Result<Vec<Binding>, StoreError> {
    let sql = "SELECT key, agent FROM bound_key WHERE key > ?1 ORDER BY key LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let least: &[u8] = after.map_or(&[], |key| key.as_bytes());
    let one = |row: &rusqlite::Row<'_>| {
        Ok(Binding { key: IssuerId::from_bytes(row.get(0)?), agent: AgentId::from_bytes(row.get(1)?) })
    };
    let found = statement.query_map(params![least, limit], one).map_err(store_error)?;
    found.collect::<Result<_, _>>().map_err(store_error)
}
