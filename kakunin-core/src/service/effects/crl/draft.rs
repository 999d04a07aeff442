//! The next CRL of one coverage: what it says, held against the last one, then signed.

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::guard::goes_forward;
use super::index::{Index, Kept};
use super::published::PublishedCrl;
use crate::id::Serial;
use crate::issue::Place;
use crate::key::Signer;
use crate::service::error::Error;
use crate::service::state::crl_mark::Mark;
use crate::time::UnixTime;
use crate::x509::ca::Issuer;
use crate::x509::crl::{self, CRL_VALIDITY, Coverage};

/// A CRL that is yet to be signed.
pub(super) struct Draft {
    pub(super) shard: Option<u16>,
    octets: Vec<u8>,
    kept: Vec<Kept>,
    pub(super) cursor: u64,
    pub(super) content: [u8; 32],
}

impl Draft {
    /// What the index says of `shard`, or of all of them.
    pub(super) fn take(index: &mut Index, shard: Option<u16>, now: UnixTime) -> Self {
        let (octets, kept) = index.entries(shard, now);
        let content = Sha256::digest(&octets).into();
        Self { shard, octets, kept, cursor: index.cursor, content }
    }

    /// The serials on it.
    pub(super) fn serials(&self) -> HashSet<Serial> {
        self.kept.iter().map(|kept| kept.serial).collect()
    }

    /// Signs it, unless it would go back behind `last`.
    ///
    /// # Errors
    /// [`Error::CrlRegression`]; what lint and key provider say.
    pub(super) async fn sign(
        self,
        issuer: &Issuer,
        signer: &dyn Signer,
        place: &Place,
        mark: Mark,
        last: Option<&PublishedCrl>,
        at: UnixTime,
    ) -> Result<PublishedCrl, Error> {
        if let Some(last) = last {
            goes_forward(last, mark, self.cursor)?;
        }
        let Mark { number, this_update } = mark;
        let next_update = mark.until(at, CRL_VALIDITY);
        let uri = self.shard.map(|shard| place.crl_uri(&issuer.id(), shard));
        let coverage = uri.as_deref().map_or(Coverage::Full, Coverage::Shard);
        let der =
            crl::sign(issuer, signer, coverage, number, &self.octets, (this_update, next_update)).await?;
        let entries = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        Ok(PublishedCrl {
            der,
            number,
            at,
            this_update,
            next_update,
            cursor: self.cursor,
            content: self.content,
            // The full one is held against the shards.
            kept: if self.shard.is_some() { self.kept.into() } else { Arc::new([]) },
            entries,
        })
    }
}
