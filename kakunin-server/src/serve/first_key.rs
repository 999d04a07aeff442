//! The first admin key.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kakunin_core::access::{ApiKey, Role};
use kakunin_core::id::TenantId;
use kakunin_core::service::{Error as ServiceError, Kakunin};

use super::options::ServeError;

/// The first admin key, and where it was written to; it is shown once where that is nowhere.
pub(super) type FirstKey = (Option<ApiKey>, Option<PathBuf>);

/// Makes the first key, if there never was one: who revoked the last one meant it. It is written to a file of the folder.
pub(super) async fn in_folder(
    kakunin: &Kakunin,
    tenant: &TenantId,
    file: PathBuf,
) -> Result<FirstKey, ServeError> {
    if kakunin.had_admin_key().await? {
        return Ok((None, Some(file)));
    }
    let key = new(kakunin, tenant).await?;
    let _ = fs::remove_file(&file);
    write_private(&file, key.reveal())?;
    Ok((Some(key), Some(file)))
}

/// The same where several servers may do it at once: one makes it. What it cannot write down is lost, and it says so; it
/// serves all the same, for others do.
pub(super) async fn of_several(
    kakunin: &Kakunin,
    tenant: &TenantId,
    file: Option<&Path>,
) -> Result<FirstKey, ServeError> {
    let label = "admin".parse().map_err(ServiceError::from)?;
    if kakunin.had_admin_key().await? {
        return Ok((None, None));
    }
    let made = kakunin.tenant(tenant).create_first_admin_key(label).await?;
    let Some((facts, key)) = made else { return Ok((None, None)) };
    let Some(path) = file else { return Ok((Some(key), None)) };
    match write_private(path, key.reveal()) {
        Ok(()) => Ok((Some(key), Some(path.to_owned()))),
        Err(error) => {
            let error = error.to_string();
            tracing::error!(
                error,
                id = %facts.id,
                "the first admin key was made and cannot be written down, so nobody has it: run `kakunin admin-key` with the same options for another one, and revoke this one"
            );
            Ok((None, None))
        }
    }
}

pub(super) async fn new(kakunin: &Kakunin, tenant: &TenantId) -> Result<ApiKey, ServeError> {
    let label = "admin".parse().map_err(ServiceError::from)?;
    Ok(kakunin.tenant(tenant).create_api_key(Role::Admin, label, None).await?.1)
}

/// Writes a file that is not there yet, for its owner alone.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), ServeError> {
    let unusable = |source| ServeError::File { path: path.to_owned(), source };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unusable)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(unusable)
}
