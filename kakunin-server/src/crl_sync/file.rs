//! The file: what is believed before it is replaced, and that readers see the old one or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kakunin_core::id::IssuerId;
use kakunin_core::time::UnixTime;
use kakunin_core::x509::ca::Issuer;
use kakunin_core::x509::crl::{CrlRefused, CrlView};
use kakunin_core::x509::pem;

use crate::pem_file;
use crate::replace;

/// Why the file stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No certificates of CAs.
    #[error("--ca: {path} holds no certificates of CAs: {why}", path = path.display())]
    NoCas {
        /// Which file.
        path: PathBuf,
        /// What it holds, and what to do.
        why: String,
    },
    /// The answer is not CRLs.
    #[error("the answer is not CRLs, PEM")]
    NotCrls,
    /// A CRL is not believed.
    #[error("the CRL of {issuer} is refused: {why}")]
    Refused {
        /// Whose.
        issuer: IssuerId,
        /// Why.
        why: CrlRefused,
    },
    /// A CRL is older than the one in the file.
    #[error("the CRL of {issuer} has number {number}, the file has {last}")]
    Older {
        /// Whose.
        issuer: IssuerId,
        /// Its number.
        number: u64,
        /// The number in the file.
        last: u64,
    },
    /// A CRL that the file has is not in the answer.
    #[error("the answer has no CRL of {0}, whose last one stays in the file; a private one takes --key-file")]
    Missing(IssuerId),
}

/// What became of the file.
pub(super) struct Replaced {
    pub(super) changed: bool,
    /// Set if a CRL was carried over.
    pub(super) missing: Option<TargetError>,
}

/// The file, and whose CRLs may be in it.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    cas: Vec<Issuer>,
}

impl Target {
    /// A file for CRLs of the CAs whose certificates are in `cas`.
    pub(super) fn open(path: &Path, cas: &Path) -> Result<Self, TargetError> {
        let octets = fs::read(cas).map_err(unusable(cas))?;
        let none = |why| TargetError::NoCas { path: cas.to_owned(), why };
        let ders = pem::decode(pem::CERTIFICATE, &String::from_utf8_lossy(&octets))
            .map_err(|_| none(pem_file::instead(cas, &octets, pem::CERTIFICATE)))?;
        let cas = (1..).zip(ders).map(|(number, der)| {
            Issuer::from_der(der).map_err(|error| none(format!("certificate {number}: {error}")))
        });
        let cas = cas.collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), cas })
    }

    /// Replaces the file by what was answered, if it is believed and the file does not say it already. CRLs
    /// of CAs that are not named are left out: nobody checked them. One that the file has and the answer lacks
    /// stays for as long as it is valid, and keeps no other from being replaced.
    pub(super) fn replace(&self, answer: &[u8], now: UnixTime) -> Result<Replaced, TargetError> {
        let text = core::str::from_utf8(answer).map_err(|_| TargetError::NotCrls)?;
        let ders = pem::decode(pem::CRL, text).map_err(|_| TargetError::NotCrls)?;
        let next = self.by_issuer(&ders)?;
        for (id, (issuer, crl)) in &next {
            let refused = |why| TargetError::Refused { issuer: *id, why };
            crl.check(issuer, now).map_err(refused)?;
            if crl.partial {
                return Err(refused(CrlRefused::Issuer));
            }
        }
        if next.is_empty() {
            return Err(TargetError::NotCrls);
        }
        let there = replace::current(&self.path).map_err(unusable(&self.path))?;
        let mut written: Vec<&[u8]> =
            ders.iter().map(Vec::as_slice).filter(|der| self.is_named(der)).collect();
        let mut missing = None;
        // A file that is no CRLs, or not by these CAs, binds nobody.
        let kept = pem::decode(pem::CRL, &there).unwrap_or_default();
        for (id, (issuer, last)) in &self.by_issuer(&kept).unwrap_or_default() {
            if last.check(issuer, now).is_err() {
                continue;
            }
            match next.get(id) {
                Some((_, crl)) if crl.number < last.number => {
                    return Err(TargetError::Older { issuer: *id, number: crl.number, last: last.number });
                }
                Some(_) => {}
                None => {
                    missing = Some(TargetError::Missing(*id));
                    let its = |der: &&[u8]| CrlView::parse(der).is_ok_and(|crl| crl.names(issuer));
                    written.extend(kept.iter().map(Vec::as_slice).find(its));
                }
            }
        }
        let written: String = written.into_iter().map(|der| pem::encode(pem::CRL, der)).collect();
        let changed = there != written;
        if changed {
            replace::file(&self.path, written.as_bytes()).map_err(unusable(&self.path))?;
        }
        Ok(Replaced { changed, missing })
    }

    fn by_issuer<'a>(
        &'a self,
        ders: &'a [Vec<u8>],
    ) -> Result<BTreeMap<IssuerId, (&'a Issuer, CrlView<'a>)>, TargetError> {
        let mut found = BTreeMap::new();
        for der in ders {
            let view = CrlView::parse(der).map_err(|_| TargetError::NotCrls)?;
            if let Some(issuer) = self.cas.iter().find(|ca| view.names(ca))
                && found.insert(issuer.id(), (issuer, view)).is_some()
            {
                return Err(TargetError::NotCrls);
            }
        }
        Ok(found)
    }

    fn is_named(&self, der: &[u8]) -> bool {
        CrlView::parse(der).is_ok_and(|view| self.cas.iter().any(|ca| view.names(ca)))
    }
}

fn unusable(path: &Path) -> impl Fn(io::Error) -> TargetError {
    move |source| TargetError::File { path: path.to_owned(), source }
}
