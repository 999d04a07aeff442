//! Which database, by flags.

use std::path::{Path, PathBuf};

use kakunin_core::store::postgres::PostgresOptions;
use kakunin_server::serve::Database;

use crate::config_error::ConfigError;

/// What was said of where the deployment is.
pub(crate) struct Place<'p> {
    pub(crate) data: Option<&'p Path>,
    pub(crate) url: Option<String>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) seal: Option<String>,
    pub(crate) admin_key_file: Option<PathBuf>,
}

/// The database that was named, if one was.
pub(crate) fn database_of(place: Place<'_>) -> Result<Option<Database>, ConfigError> {
    let Place { data, url, file, seal, admin_key_file } = place;
    let Some(url) = url_of(url, file.as_deref())? else {
        return match (seal, admin_key_file) {
            (Some(_), _) => Err(ConfigError::NoDatabase("--seal")),
            (_, Some(_)) => Err(ConfigError::NoDatabase("--admin-key-file")),
            (None, None) => Ok(None),
        };
    };
    if data.is_some() {
        return Err(ConfigError::FolderAndDatabase);
    }
    let seal = seal.ok_or(ConfigError::NoSeal)?.parse()?;
    Ok(Some(Database { url, seal, admin_key_file }))
}

/// The URL, said or in a file.
pub(crate) fn url_of(
    url: Option<String>,
    file: Option<&Path>,
) -> Result<Option<PostgresOptions>, ConfigError> {
    let text = match (url, file) {
        (Some(_), Some(_)) => return Err(ConfigError::TwoDatabases),
        (Some(url), None) => url,
        (None, Some(path)) => {
            let refused = |why| ConfigError::DatabaseFile { path: path.to_owned(), why };
            kakunin_kms::private::given(path)?;
            std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?
        }
        (None, None) => return Ok(None),
    };
    PostgresOptions::parse(text.trim()).map(Some).map_err(ConfigError::Database)
}
