//! Where a deployment is that has no folder.

use std::path::PathBuf;

use kakunin_core::store::postgres::PostgresOptions;
use kakunin_kms::seal::SealUrl;

/// A database that any number of servers share.
#[derive(Clone, Debug)]
pub struct Database {
    /// The database, and the login.
    pub url: PostgresOptions,
    /// What the log and feed key lie sealed under.
    pub seal: SealUrl,
    /// File that the first admin key is written to; it is printed if none is named.
    pub admin_key_file: Option<PathBuf>,
}
