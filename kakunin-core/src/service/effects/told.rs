//! What relying parties were told of revocations, and whether it is enough to go on from an older copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::running::Running;
use crate::feed::{self, FeedError, Snapshot};
use crate::id::{IssuerId, Serial, SerialNumber, hex_encode};
use crate::revoke::Reason;
use crate::service::engine::cas::Ca;
use crate::service::engine::guard::{Known, Knowns};
use crate::service::error::Error;
use crate::store::guard::GuardError;
use crate::x509::crl::{CrlRefused, CrlView};

/// What relying parties were told of revocations, as they have it.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// A CRL, DER. One that is not valid any more tells as well what was revoked.
    Crl(Vec<u8>),
    /// A snapshot of the revocation feed, as the API answers it.
    FeedSnapshot(Vec<u8>),
}

/// How to recover.
#[derive(Clone, Debug, Default)]
pub struct RecoveryOptions {
    /// The newest that is known of what was revoked.
    pub evidence: Vec<Evidence>,
    /// Goes on also where nothing was brought of an issuing CA, or too little: what it revoked since is accepted again.
    pub accept_unknown: bool,
}

/// What was brought, by issuing CA, and the latest epoch that it tells of.
#[derive(Default)]
pub(super) struct Told {
    pub(super) by: BTreeMap<IssuerId, Of>,
    pub(super) epoch: u64,
    /// What is by no issuing CA in use here.
    pub(super) left_out: Vec<String>,
}

/// What was brought of one issuing CA.
pub(super) struct Of {
    pub(super) ca: Arc<Ca>,
    pub(super) revoked: BTreeMap<Serial, Reason>,
    /// Whether something tells of all that it revoked, and is no older than the copy.
    whole: bool,
}

impl Running {
    /// What was brought, once it is known to be theirs. `known` is what the copy knew before its recovery began.
    pub(super) fn told(&self, options: &RecoveryOptions, known: &Knowns) -> Result<Told, Error> {
        let mut told = Told::default();
        for evidence in &options.evidence {
            match evidence {
                Evidence::Crl(der) => self.told_by_crl(der, known, &mut told)?,
                Evidence::FeedSnapshot(octets) => self.told_by_feed(octets, known, &mut told)?,
            }
        }
        for ca in self.cas.all().iter().filter(|_| !options.accept_unknown) {
            let issuer = ca.issuer.id().to_string();
            match told.by.get(&ca.issuer.id()) {
                None => return Err(GuardError::Untold { issuer }.into()),
                Some(of) if !of.whole => return Err(GuardError::PartlyTold { issuer }.into()),
                Some(_) => {}
            }
        }
        Ok(told)
    }

    /// Nothing of a root's, which is brought with those of a chain.
    fn told_by_crl(&self, der: &[u8], known: &Knowns, told: &mut Told) -> Result<(), Error> {
        let crl = CrlView::parse(der).map_err(CrlRefused::from)?;
        if self.cas.roots().iter().any(|root| crl.names(&root.issuer)) {
            return Ok(());
        }
        let Some(ca) = self.cas.all().into_iter().find(|ca| crl.names(&ca.issuer)) else {
            let by = crl.authority_key_id();
            let ended =
                <[u8; 20]>::try_from(by).is_ok_and(|id| self.cas.has_ended(&IssuerId::from_bytes(id)));
            let why = if ended { "it has ended" } else { "it is not known here" };
            told.left_out.push(format!("CRL {} of issuing CA {}: {why}", crl.number, hex_encode(by)));
            return Ok(());
        };
        // As of its own time.
        crl.check(&ca.issuer, crl.this_update)?;
        let ours = |(number, reason): (SerialNumber, Reason)| {
            Some((Serial::from_der_integer(number.digits())?, reason))
        };
        // That of a shard says nothing of the others.
        let whole = !crl.partial && known.get(&ca.issuer.id()).is_none_or(|known| crl.number >= known.crl);
        told.take(ca, crl.revoked().filter_map(ours), whole);
        Ok(())
    }

    fn told_by_feed(&self, octets: &[u8], known: &Knowns, told: &mut Told) -> Result<(), Error> {
        let mut refused = None;
        for ca in self.cas.all() {
            let origin = feed::origin(&self.feed_key.key, &ca.issuer.id())?;
            match Snapshot::open(octets, &self.feed_key.key, &origin) {
                Ok((checkpoint, _, standing)) => {
                    let epoch = origin.epoch(&checkpoint).unwrap_or_default();
                    told.epoch = told.epoch.max(epoch);
                    let at = (epoch, checkpoint.size);
                    let whole =
                        known.get(&ca.issuer.id()).is_none_or(|known| at >= (known.epoch, known.size));
                    told.take(ca, standing.revoked, whole);
                    return Ok(());
                }
                Err(FeedError::OtherLog) => {}
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) => Err(error.into()),
            None => {
                told.left_out.push("a feed snapshot: its issuing CA is not known here, or has ended".into());
                Ok(())
            }
        }
    }

    /// What the copy itself knows of each issuing CA.
    pub(super) async fn known(&self) -> Result<Knowns, Error> {
        let mut all = Knowns::new();
        for ca in self.cas.all() {
            let issuer = ca.issuer.id();
            let (epoch, size) = (self.origins.epoch(), ca.log.lock().await.size());
            let crl = self.mark_on_record(&issuer, None).await?.number;
            all.insert(issuer, Known { epoch, size, crl });
        }
        Ok(all)
    }
}

impl Told {
    fn take(&mut self, ca: Arc<Ca>, revoked: impl IntoIterator<Item = (Serial, Reason)>, whole: bool) {
        let new = || Of { ca: ca.clone(), revoked: BTreeMap::new(), whole: false };
        let of = self.by.entry(ca.issuer.id()).or_insert_with(new);
        of.whole |= whole;
        for (serial, reason) in revoked {
            let standing = of.revoked.entry(serial).or_insert(reason);
            // Of a hold and a revocation, the revocation.
            if *standing == Reason::CertificateHold {
                *standing = reason;
            }
        }
    }
}
