//! CAs that are made and signed at once, each named after its key.

use super::error::SignCaError;
use super::issuer::Issuer;
use super::prepare::{Binding, prepare_issuing, prepare_root};
use crate::brand::PRODUCT;
use crate::id::Serial;
use crate::key::{Signer, Spki};
use crate::time::UnixTime;
use crate::x509::name::NameParts;
use crate::x509::published::Published;

/// Makes a self-signed root, named after its key. It begins [`BACKDATE`](super::BACKDATE) before now, as all that is signed here. What
/// checks the CRL of every CA of a chain looks for its own too, where `published` says.
///
/// # Errors
/// [`SignCaError`].
pub async fn sign_root(
    key: &dyn Signer,
    serial: &Serial,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<Issuer, SignCaError> {
    let common_name = format!("kakunin root CA {}", mark(key.public_key()));
    let prepared = prepare_root(&named(&common_name), key.public_key(), serial, published, now)?;
    let signature = key.sign(prepared.to_be_signed()).await?;
    Ok(prepared.assemble(&signature)?)
}

/// Makes an issuing CA below `root`, named after its key: a name has one key (RFC 5280, 4.1.2.4). It begins
/// [`BACKDATE`](super::BACKDATE) before now and lives [`ISSUING_VALIDITY`](super::ISSUING_VALIDITY), or as long as the root if that is shorter. It names the
/// root's CRL and certificate where `published` says.
///
/// # Errors
/// [`SignCaError`].
pub async fn sign_issuing(
    root: &Issuer,
    root_key: &dyn Signer,
    spki: &Spki,
    serial: &Serial,
    binding: Binding<'_>,
    published: Option<&Published>,
    now: UnixTime,
) -> Result<Issuer, SignCaError> {
    let common_name = format!("kakunin issuing CA {}", mark(spki));
    let prepared = prepare_issuing(root, &named(&common_name), spki, serial, binding, published, now)?;
    let signature = root_key.sign(prepared.to_be_signed()).await?;
    Ok(prepared.assemble(&signature)?)
}

fn named(common_name: &str) -> NameParts<'_> {
    NameParts { organization: Some(PRODUCT), common_name: Some(common_name), ..NameParts::default() }
}

/// The first eight digits of a key's identifier.
fn mark(spki: &Spki) -> String {
    spki.key_id().to_string().chars().take(8).collect()
}
