//! The arguments of `kakunin backup` and `kakunin restore`.

use std::path::PathBuf;

use clap::Args;
use kakunin_server::backup::{self, Places};

use crate::config::Serve;

/// What is backed up, and to where.
#[derive(Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) serve: Box<Serve>,
    #[command(flatten)]
    pub(crate) places: Folders,
}

/// Where the parts of a backup are.
#[derive(Args)]
pub(crate) struct Folders {
    /// Folder of the backup: `database`, `vault`, `keys` and `secret` in it.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Folder of the vault, if not in DIR.
    #[arg(long, value_name = "DIR")]
    vault_part: Option<PathBuf>,
    /// Folder of the keys, if not in DIR.
    #[arg(long, value_name = "DIR")]
    keys_part: Option<PathBuf>,
    /// Folder of what decrypts the keys, if not in DIR.
    #[arg(long, value_name = "DIR")]
    secret_part: Option<PathBuf>,
}

impl From<Folders> for Places {
    fn from(Folders { folder, vault_part, keys_part, secret_part }: Folders) -> Self {
        Self { folder, vault: vault_part, keys: keys_part, secret: secret_part }
    }
}

/// What is restored, and to where.
#[derive(Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    places: Folders,
    /// Folder of the deployment, in which none is.
    #[arg(long, env = "KAKUNIN_DATA")]
    data: PathBuf,
    /// Part that is brought back by hand, or lies elsewhere: `vault`, `keys` or `secret`.
    #[arg(long, value_name = "PART", value_parser = ["vault", "keys", "secret"])]
    without: Vec<String>,
}

impl From<Restore> for backup::Restore {
    fn from(Restore { places, data, without }: Restore) -> Self {
        Self { from: places.into(), without, data }
    }
}
