//! The certificates of a tenant's agents: how each stands. A row each, so that one more costs as much as the first.

use std::collections::{HashMap, HashSet};

use super::agent::AgentEntry;
use super::rows::set;
use crate::agent::{AgentState, Document};
use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::issue::{Issued, Profile};
use crate::key::KeyRef;
use crate::revoke::{Cause, Halt, Receipt, Revocation, Said};
use crate::service::limits::MAX_LATENESS;
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;

/// A certificate of an agent, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEntry {
    /// What it says.
    pub facts: Issued,
    /// The profile it was issued under.
    pub profile: Profile,
    /// Where its key is; `None` when the workload keeps it.
    pub key: Option<KeyRef>,
    /// Its revocation or hold.
    pub revocation: Option<Revocation>,
    /// What whoever ordered that had to say.
    pub said: Said,
}

/// A certificate of an agent, and whether it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct CertificateState {
    pub(crate) facts: Issued,
    pub(crate) profile: Profile,
    pub(crate) key: Option<KeyRef>,
    /// Its key identifier; `None` for what was planned and given up, whose key may be asked for again.
    #[serde(default)]
    pub(crate) key_id: Option<IssuerId>,
    pub(crate) constraints: Option<Document>,
    pub(crate) standing: Standing,
    /// What whoever revoked or held it had to say.
    #[serde(default)]
    pub(crate) said: Said,
    /// Index of the record that made it known; its place among those of its agent.
    #[serde(default)]
    pub(crate) index: u64,
    /// When it was issued; not known of those that older versions issued.
    #[serde(default)]
    pub(crate) issued_at: Option<UnixTime>,
    /// Whether somebody was granted its key at the provider, and still may use it.
    #[serde(default)]
    pub(crate) granted: bool,
    /// The certificate that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<Serial>,
    /// The stop that took it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) halt: Option<Halt>,
    /// The receipt of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receipt: Option<Receipt>,
}

/// Whether a certificate is accepted, expiry apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Good,
    Held(Revocation),
    Revoked(Revocation),
}

/// What is done with a certificate counts against its agent
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reckoning {
    /// because it stands.
    Everything,
    /// although it was replaced or ran out at that time, at most [`MAX_LATENESS`] ago: whoever reports may be
    /// late, and renewal is no way out of what was done.
    Until(UnixTime),
    /// not at all: it is held or was taken away, ended too long ago, or before somebody decided to trust the
    /// agent again.
    Nothing,
}

impl CertificateState {
    pub(crate) fn entry(&self) -> CertificateEntry {
        let revocation = match self.standing {
            Standing::Good => None,
            Standing::Held(revocation) | Standing::Revoked(revocation) => Some(revocation),
        };
        CertificateEntry {
            facts: self.facts,
            profile: self.profile,
            key: self.key.clone(),
            revocation,
            said: self.said.clone(),
        }
    }

    /// Its row.
    pub(crate) fn change(&self) -> Result<Change, StoreError> {
        set(Kind::Standing, self.facts.serial.as_bytes().to_vec(), self)
    }

    /// Its place among those of its agent, newest first.
    pub(crate) fn listed(&self) -> Change {
        let key = [self.facts.agent.as_bytes().as_slice(), &(u64::MAX - self.index).to_be_bytes()].concat();
        Change { kind: Kind::Standing, key, value: Some(self.facts.serial.as_bytes().to_vec()) }
    }
}

/// Where a record finds the certificates that it changes.
pub(crate) trait Certificates {
    fn get(&self, serial: &Serial) -> Option<&CertificateState>;
    fn put(&mut self, certificate: CertificateState);
}

/// As the log has them.
#[derive(Debug, Default)]
pub(crate) struct Issuances {
    states: HashMap<Serial, CertificateState>,
    keys: HashSet<IssuerId>,
}

impl Issuances {
    pub(crate) fn states(&self) -> impl Iterator<Item = &CertificateState> {
        self.states.values()
    }

    /// Whether a certificate was issued for this key.
    fn has_key(&self, key: &IssuerId) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn extend(&mut self, drafted: HashMap<Serial, CertificateState>) {
        drafted.into_values().for_each(|certificate| self.put(certificate));
    }

    /// The certificate of an agent that is neither revoked nor expired, held or not: its newest, or none.
    pub(crate) fn standing(&self, entry: &AgentEntry, now: UnixTime) -> Option<&CertificateState> {
        standing(self, entry, now)
    }
}

impl Certificates for Issuances {
    fn get(&self, serial: &Serial) -> Option<&CertificateState> {
        self.states.get(serial)
    }

    fn put(&mut self, certificate: CertificateState) {
        self.keys.extend(certificate.key_id);
        self.states.insert(certificate.facts.serial, certificate);
    }
}

/// As they will be after a draft.
pub(crate) struct Drafted<'p> {
    base: &'p Issuances,
    pub(crate) changed: HashMap<Serial, CertificateState>,
    keys: HashSet<IssuerId>,
}

impl<'p> Drafted<'p> {
    pub(crate) fn over(base: &'p Issuances) -> Self {
        Self { base, changed: HashMap::new(), keys: HashSet::new() }
    }

    pub(crate) fn has_key(&self, key: &IssuerId) -> bool {
        self.keys.contains(key) || self.base.has_key(key)
    }

    pub(crate) fn standing(&self, entry: &AgentEntry, now: UnixTime) -> Option<&CertificateState> {
        standing(self, entry, now)
    }
}

impl Certificates for Drafted<'_> {
    fn get(&self, serial: &Serial) -> Option<&CertificateState> {
        self.changed.get(serial).or_else(|| self.base.get(serial))
    }

    fn put(&mut self, certificate: CertificateState) {
        self.keys.extend(certificate.key_id);
        self.changed.insert(certificate.facts.serial, certificate);
    }
}

// None is issued while another stands, unless in place of that.
fn standing<'c>(
    all: &'c impl Certificates,
    entry: &AgentEntry,
    now: UnixTime,
) -> Option<&'c CertificateState> {
    present(all, entry).filter(|newest| now <= newest.facts.not_after)
}

/// The newest certificate of an agent, unless it was taken away: what it loses when its score crosses.
pub(crate) fn present<'c>(all: &'c impl Certificates, entry: &AgentEntry) -> Option<&'c CertificateState> {
    let newest = all.get(&entry.row.agent.certificate?)?;
    (!matches!(newest.standing, Standing::Revoked(_))).then_some(newest)
}

/// Whether what is done with a certificate of an agent counts against it: see [`Reckoning`].
pub(crate) fn reckons(
    all: &impl Certificates,
    entry: &AgentEntry,
    serial: &Serial,
    now: UnixTime,
) -> Reckoning {
    let Some(certificate) = all.get(serial) else { return Reckoning::Nothing };
    let ended = match certificate.standing {
        Standing::Good if now <= certificate.facts.not_after => return Reckoning::Everything,
        Standing::Good => certificate.facts.not_after,
        Standing::Revoked(r) if r.cause == Cause::Superseded => r.at,
        Standing::Held(_) | Standing::Revoked(_) => return Reckoning::Nothing,
    };
    let row = &entry.row;
    let stands =
        row.agent.state != AgentState::Retired && row.halt.is_none() && present(all, entry).is_some();
    if stands && certificate.index >= row.reinstated && now.since(ended) <= MAX_LATENESS {
        Reckoning::Until(ended)
    } else {
        Reckoning::Nothing
    }
}

/// One stored row of [`Kind::Standing`], if it is a certificate's.
pub(crate) fn load(key: &[u8], value: &[u8]) -> Result<Option<CertificateState>, StoreError> {
    if key.len() != 16 {
        return Ok(None);
    }
    let certificate = serde_json::from_slice(value);
    certificate.map(Some).map_err(|_| StoreError::Corrupt("a certificate's standing does not decode".into()))
}
