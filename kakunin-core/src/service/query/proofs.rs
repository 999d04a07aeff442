//! Proofs that records are in a tenant's log, and that the log only grew.

use std::ops::Range;

use crate::error::StoreError;
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::LogId;
use crate::log::merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion};
use crate::log::proof::TlogProof;
use crate::log::range::{RangeProof, verify_range};
use crate::log::subtrees::{around, consistency, inclusion, roots};
use crate::service::effects::running::Running;
use crate::service::effects::tenant::Tenant;
use crate::service::engine::nodes::Nodes;
use crate::service::error::Error;

/// Most leaves that one range proof is over.
pub const MAX_PROVEN: u64 = 16_384;

/// A leaf, and the proof that it is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenLeaf {
    /// The leaf, which holds the record: see `docs/AUDIT-LOG.md`.
    pub leaf: Vec<u8>,
    /// The proof.
    pub proof: TlogProof,
}

/// Leaves that follow each other, and the proof that they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRange {
    /// The leaves.
    pub leaves: Vec<Vec<u8>>,
    /// Their hashes.
    pub hashes: Vec<Hash>,
    /// The proof.
    pub proof: RangeProof,
}

/// Proof that a log only grew, and the checkpoint that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The hashes: see [`verify_consistency`].
    pub hashes: Vec<Hash>,
    /// Signed note over the log as it is now.
    pub checkpoint: String,
}

/// The signed head of a log, which a proof from stored rows must lead to.
struct Signed {
    note: String,
    size: u64,
    root: Hash,
}

impl Tenant {
    /// Proves that the record of this index is in the log, by the checkpoint that was signed with it if that is not long
    /// ago, else by the newest. The time that takes does not grow with the log.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
    /// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// # acme.register(NewAgent::new("desk-7", model, ["read:mail"])?).await?;
    /// use kakunin_core::log::note::VerifierKey;
    /// use kakunin_core::log::proof::TlogProof;
    ///
    /// let proven = acme.prove(0).await?;
    /// let text = proven.proof.to_text();
    ///
    /// // Whoever has the leaf, the text and the log's key needs nothing else.
    /// let key = VerifierKey::parse(&acme.log_verifier().await?)?;
    /// let signed = TlogProof::parse(&text)?.verify(&proven.leaf, &key)?;
    /// assert!(signed.size > 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`StoreError::Corrupt`] if the log does not lead to what was signed.
    pub async fn prove(&self, index: u64) -> Result<ProvenLeaf, Error> {
        let log = self.log_of().await?;
        let range = index..index.checked_add(1).ok_or(Error::NotFound("record"))?;
        if let Some(recent) = self.inner.recent.with(&log, &range) {
            let hashes = roots(&inclusion(index, recent.size()), |subtree| recent.root(subtree));
            if let Some((hashes, leaf)) = hashes.zip(recent.leaf(index)) {
                let proof = TlogProof { extra: None, index, hashes, checkpoint: recent.checkpoint.clone() };
                return Ok(ProvenLeaf { leaf: leaf.to_vec(), proof });
            }
        }
        let signed = self.inner.signed(&log).await?;
        let leaf = self.inner.leaves(&log, &range, &signed).await?.pop().ok_or(Error::NotFound("record"))?;
        let (spans, hash) = (inclusion(index, signed.size), leaf_hash(&leaf));
        let holds =
            |hashes: &[Hash]| verify_inclusion(index, signed.size, &hash, hashes, &signed.root).is_ok();
        let hashes = self.inner.proven(&log, &signed, &spans, holds).await?;
        Ok(ProvenLeaf { leaf, proof: TlogProof { extra: None, index, hashes, checkpoint: signed.note } })
    }

    /// Proves that the records of these indices, at most 16,384, are in the log, as [`Tenant::prove`] does of one.
    ///
    /// # Errors
    /// As those of [`Tenant::prove`].
    pub async fn prove_range(&self, range: Range<u64>) -> Result<ProvenRange, Error> {
        if range.is_empty() || range.end - range.start > MAX_PROVEN {
            return Err(Error::NotFound("range of 1 to 16384 records"));
        }
        let log = self.log_of().await?;
        if let Some(recent) = self.inner.recent.with(&log, &range) {
            let spans = around(&range, recent.size());
            let [left, right] = [&spans.left, &spans.right].map(|spans| roots(spans, |s| recent.root(s)));
            let leaves = range.clone().map(|index| recent.leaf(index).map(<[u8]>::to_vec)).collect();
            let hashes = recent.hashes(&range).map(<[Hash]>::to_vec);
            if let (Some(left), Some(right), Some(leaves), Some(hashes)) = (left, right, leaves, hashes) {
                let checkpoint = recent.checkpoint.clone();
                let proof = RangeProof { first: range.start, left, right, checkpoint };
                return Ok(ProvenRange { leaves, hashes, proof });
            }
        }
        let signed = self.inner.signed(&log).await?;
        let leaves = self.inner.leaves(&log, &range, &signed).await?;
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let spans = around(&range, signed.size);
        let middle = spans.left.len();
        let holds = |proof: &[Hash]| {
            let sides = proof.split_at_checked(middle);
            sides.is_some_and(|sides| {
                verify_range((range.start, &hashes), sides, (signed.size, &signed.root)).is_ok()
            })
        };
        let all = [spans.left.as_slice(), &spans.right].concat();
        let mut left = self.inner.proven(&log, &signed, &all, holds).await?;
        let right = left.split_off(middle);
        let proof = RangeProof { first: range.start, left, right, checkpoint: signed.note };
        Ok(ProvenRange { leaves, hashes, proof })
    }

    /// Proves that the log as it is now is the one that had `first` records, and grew.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it never had so many; else as those of [`Tenant::prove`].
    pub async fn prove_growth(&self, first: u64) -> Result<Grown, Error> {
        let log = self.log_of().await?;
        let signed = self.inner.signed(&log).await?;
        if first > signed.size {
            return Err(Error::NotFound("log of this size"));
        }
        let mut spans = consistency(first, signed.size);
        if spans.is_empty() {
            return Ok(Grown { hashes: Vec::new(), checkpoint: signed.note });
        }
        // With the root of the smaller tree, against which it is checked.
        spans.insert(0, 0..first);
        let holds = |found: &[Hash]| {
            found.split_first().is_some_and(|(old, hashes)| {
                verify_consistency((first, old), (signed.size, &signed.root), hashes).is_ok()
            })
        };
        let mut hashes = self.inner.proven(&log, &signed, &spans, holds).await?;
        hashes.remove(0);
        Ok(Grown { hashes, checkpoint: signed.note })
    }
}

impl Running {
    /// The head of a log, as its key signed it.
    async fn signed(&self, log: &LogId) -> Result<Signed, Error> {
        let (_, note) = self.parts.sink.head(log).await?;
        let note = note.ok_or(Error::NotFound("record"))?;
        let signed = Checkpoint::open(&note, &self.log_key(log)?)
            .map_err(|_| StoreError::Corrupt(format!("the checkpoint of log {log} is not by its log key")))?;
        Ok(Signed { note, size: signed.size, root: signed.root })
    }

    async fn leaves(&self, log: &LogId, range: &Range<u64>, signed: &Signed) -> Result<Vec<Vec<u8>>, Error> {
        if range.end > signed.size {
            return Err(Error::NotFound("record"));
        }
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let entries = self.parts.sink.read_leaves(log, range.start, count).await?;
        Ok(entries.into_iter().map(|entry| entry.leaf).collect())
    }

    /// The roots of these spans. Stored ones are not believed: what they make must lead to the root that was signed; if
    /// it does not, they are made anew from the leaves.
    async fn proven(
        &self,
        log: &LogId,
        signed: &Signed,
        spans: &[Range<u64>],
        holds: impl Fn(&[Hash]) -> bool,
    ) -> Result<Vec<Hash>, Error> {
        let hashes = Nodes::new(&self.parts, log, signed.size).roots(spans).await?;
        if holds(&hashes) {
            return Ok(hashes);
        }
        let hashes = Nodes::from_leaves(&self.parts, log, signed.size).roots(spans).await?;
        if !holds(&hashes) {
            self.damages.note(format!("log {log} does not lead to the root that was signed"));
            return Err(StoreError::Corrupt(format!("log {log} is not what its checkpoint signed")).into());
        }
        self.damages
            .note(format!("stored hashes of log {log} were not what was written; they are made anew"));
        self.forget_tiles(log).await?;
        Ok(hashes)
    }
}
