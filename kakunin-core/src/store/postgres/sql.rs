//! Every statement there is. Each names the log, or the issuer, that its rows belong to; those that cannot say why.

/// Moves the head of a log from what is expected to what comes next.
pub(super) const ADVANCE: &str = "SELECT state.advance($1, $2, $3, $4, $5, $6, $7, $8)";

/// Entries from an index on, with what their leaves say.
pub(super) const ENTRIES: &str = "INSERT INTO audit.entry(log, month, idx, kind, agent, at, leaf, salt, payload) \
    SELECT $1, $2, $3 + e.n - 1, e.kind, encode(e.agent, 'hex')::uuid, e.at, e.leaf, e.salt, e.payload \
    FROM unnest($4::int4[], $5::bytea[], $6::timestamptz[], $7::bytea[], $8::bytea[], $9::bytea[]) \
    WITH ORDINALITY AS e(kind, agent, at, leaf, salt, payload, n)";

/// The first entry of a month, in a log.
pub(super) const SPAN: &str = "INSERT INTO audit.span(log, first, month) VALUES ($1, $2, $3)";

/// Whose keys are. For the whole deployment: a key is one agent's, whatever the tenant.
pub(super) const BIND: &str = "SELECT audit.bind($1, $2)";

/// The partition of a month, for all logs.
pub(super) const MAKE_MONTH: &str = "SELECT audit.make_month($1)";

pub(super) const PUT: &str = "INSERT INTO state.row(log, kind, key, value) \
    SELECT $1, p.kind, p.key, p.value FROM unnest($2::int2[], $3::bytea[], $4::bytea[]) AS p(kind, key, value) \
    ON CONFLICT (log, kind, key) DO UPDATE SET value = excluded.value";

pub(super) const REMOVE: &str = "DELETE FROM state.row AS r USING unnest($2::int2[], $3::bytea[]) AS g(kind, key) \
    WHERE r.log = $1 AND r.kind = g.kind AND r.key = g.key";

pub(super) const APPLY: &str = "SELECT state.apply($1, $2, $3, $4, $5, $6, $7)";

pub(super) const APPLIED: &str = "SELECT size FROM state.applied WHERE log = $1";

pub(super) const GET: &str = "SELECT value FROM state.row WHERE log = $1 AND kind = $2 AND key = $3";

/// From the first key on.
pub(super) const SCAN: &str =
    "SELECT key, value FROM state.row WHERE log = $1 AND kind = $2 ORDER BY key LIMIT $3";

/// From behind a key on.
pub(super) const SCAN_AFTER: &str =
    "SELECT key, value FROM state.row WHERE log = $1 AND kind = $2 AND key > $4 ORDER BY key LIMIT $3";

pub(super) const SWAP_NEW: &str = "INSERT INTO state.row(log, kind, key, value) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (log, kind, key) DO NOTHING";

pub(super) const SWAP: &str =
    "UPDATE state.row SET value = $4 WHERE log = $1 AND kind = $2 AND key = $3 AND value = $5";

pub(super) const SWAP_GONE: &str =
    "DELETE FROM state.row WHERE log = $1 AND kind = $2 AND key = $3 AND value = $4";

pub(super) const HEAD: &str = "SELECT size, at, frontier, checkpoint FROM state.head WHERE log = $1";

pub(super) const SIZE: &str = "SELECT size FROM state.head WHERE log = $1";

/// Entries between two indices, from the partitions that they lie in.
pub(super) const READ: &str = "SELECT idx, leaf, salt, payload FROM audit.entry WHERE log = $1 AND idx >= $2 AND idx < $3 \
    AND month >= (SELECT s.month FROM audit.span s WHERE s.log = $1 AND s.first <= $2 ORDER BY s.first DESC LIMIT 1) \
    AND month <= (SELECT s.month FROM audit.span s WHERE s.log = $1 AND s.first < $3 ORDER BY s.first DESC LIMIT 1) \
    ORDER BY idx";

/// The same without payloads of events, whose kind is $4.
pub(super) const READ_LEAVES: &str = "SELECT idx, leaf, CASE WHEN kind <> $4 THEN salt END, CASE WHEN kind <> $4 THEN payload END \
    FROM audit.entry WHERE log = $1 AND idx >= $2 AND idx < $3 \
    AND month >= (SELECT s.month FROM audit.span s WHERE s.log = $1 AND s.first <= $2 ORDER BY s.first DESC LIMIT 1) \
    AND month <= (SELECT s.month FROM audit.span s WHERE s.log = $1 AND s.first < $3 ORDER BY s.first DESC LIMIT 1) \
    ORDER BY idx";

/// All logs, for who asks for just that.
pub(super) const LOGS: &str = "SELECT log FROM state.head ORDER BY log";

/// How far all logs are: of the whole deployment, once a second, for what no notice told.
pub(super) const SIZES: &str = "SELECT log, size FROM state.head";

pub(super) const REVOKE: &str = "SELECT state.revoke($1, $2, $3, $4, $5, $6, $7)";

pub(super) const REVOCATIONS_APPLIED: &str = "SELECT size FROM state.revocation_applied WHERE issuer = $1";

pub(super) const FIND: &str = "SELECT record FROM state.revocation WHERE issuer = $1 AND serial = $2";

pub(super) const AFTER: &str =
    "SELECT idx, record FROM state.revocation WHERE issuer = $1 AND idx >= $2 ORDER BY idx LIMIT $3";

pub(super) const FORGET: &str = "DELETE FROM state.revocation WHERE issuer = $1";

pub(super) const STANDING: &str = "INSERT INTO state.revocation(issuer, idx, serial, held, cause, record) \
    SELECT $1, r.idx, r.serial, r.held, r.cause, r.record \
    FROM unnest($2::int8[], $3::bytea[], $4::bool[], $5::text[], $6::text[]) AS r(idx, serial, held, cause, record)";

pub(super) const SET_REVOCATIONS_APPLIED: &str = "INSERT INTO state.revocation_applied(issuer, size) VALUES ($1, $2) \
    ON CONFLICT (issuer) DO UPDATE SET size = excluded.size";

/// Half a megabyte, which is given up again.
pub(super) const FILL: &str = "INSERT INTO state.room(log, filler) \
    SELECT n::text, string_agg(md5(random()::text), '') FROM generate_series(1, 64) AS n, generate_series(1, 256) GROUP BY n";

/// Rights over locks, of a session.
pub(super) const LOCK: &str = "SELECT pg_advisory_lock($1)";
pub(super) const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1)";
pub(super) const UNLOCK: &str = "SELECT pg_advisory_unlock($1)";
pub(super) const PING: &str = "SELECT 1";

pub(super) const NOTIFY: &str = "SELECT pg_notify('kakunin', n) FROM unnest($1::text[]) AS n";

/// Milliseconds since 1970.
pub(super) const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8";

/// What each connection that appends has ready.
pub(super) const OF_WRITERS: [&str; 8] = [ADVANCE, ENTRIES, SPAN, BIND, PUT, REMOVE, REVOKE, APPLY];
/// What a connection of turns has ready beside that.
pub(super) const OF_TURNS: [&str; 3] = [LOCK, UNLOCK, SIZE];

#[cfg(test)]
mod tests {
    use super::super::{check, migrate};

    /// Those that are about all logs, each with its reason above.
    const OF_ALL: [&str; 5] = ["BIND", "MAKE_MONTH", "LOGS", "SIZES", "FILL"];
    /// What a statement carries whose rows belong to a log or an issuer.
    const OWNED: [&str; 10] = [
        "log = $1",
        "issuer = $1",
        "(log, month, idx, kind, agent, at, leaf, salt, payload) SELECT $1,",
        "(log, first, month) VALUES ($1,",
        "(log, kind, key, value) SELECT $1,",
        "(log, kind, key, value) VALUES ($1,",
        "(issuer, idx, serial, held, cause, record) SELECT $1,",
        "(issuer, size) VALUES ($1,",
        "state.advance($1,",
        "state.apply($1,",
    ];

    /// Names and texts of the constants of this file.
    fn statements() -> Vec<(&'static str, String)> {
        let source = include_str!("sql.rs").split("#[cfg(test)]").next().unwrap();
        let constants = source.split("const ").skip(1).filter_map(|constant| constant.split_once(": &str ="));
        let statement = |text: &str| text.split('"').nth(1).unwrap().replace('\\', "");
        let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        constants.map(|(name, text)| (name, one_line(statement(text)))).collect()
    }

    #[test]
    fn every_statement_over_tables_says_whose_rows_it_means() {
        let statements = statements();
        assert!(statements.len() > 25, "{statements:?}");
        for (name, sql) in &statements {
            let tables = sql.contains("audit.") || sql.contains("state.");
            let owned = OWNED.iter().any(|words| sql.contains(words)) || sql.contains("state.revoke($1,");
            assert_eq!(tables && !owned, OF_ALL.contains(name), "{name}: {sql}");
            // Each table of a statement has its own.
            let reads = sql.matches("FROM audit.").count() + sql.matches("FROM state.").count();
            let named = sql.matches("log = $1").count() + sql.matches("issuer = $1").count();
            assert!(OF_ALL.contains(name) || reads <= named, "{name}: {sql}");
        }
    }

    #[test]
    fn statements_of_checks_read_no_rows_of_logs() {
        for sql in check::ALL {
            let tables = sql.matches("FROM audit.").count() + sql.matches("FROM state.").count();
            assert_eq!(tables, sql.matches("FROM audit.migration").count(), "{sql}");
        }
    }

    #[test]
    fn functions_say_whose_rows_they_mean() {
        for function in ["state.advance", "state.apply", "state.revoke"] {
            for statement in migrate::body(function).unwrap().split(';') {
                let tables = ["FROM state.", "INTO state.", "UPDATE state.", "JOIN state."];
                let touches = tables.iter().any(|words| statement.contains(words));
                let owned = statement.contains("the_log") || statement.contains("the_issuer");
                assert!(!touches || owned, "{function}: {statement}");
            }
        }
    }
}
