//! The certificates of a tenant's agents: how each stands. A row each, so that one more costs as much as the first.

use std::collections::{HashMap, HashSet};

use super::agent::AgentEntry;
use super::rows::set;
use crate::agent::{AgentState, Document};
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial};
use crate::issue::{Issued, Profile};
use crate::key::KeyRef;
use crate::revoke::{Cause, Halt, Receipt, Revocation, Said};
use crate::service::limits::{EXPIRY_NOTICE, MAX_LATENESS};
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
    /// Whether its owner was told that it ends soon.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) expiring: bool,
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

/// Most certificates that leave when one is issued: more than one, so that it comes to an end with those of before.
const LEAVE: usize = 4;
/// What is done with a certificate counts so long after its end, and a little longer: it stays.
const LEAST_RETENTION: u64 = 2 * MAX_LATENESS;

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

    /// Whether it may leave: it expired so long ago, and nobody took it away for what its agent did.
    fn is_over(&self, now: UnixTime, retention: u64) -> bool {
        let in_peace = match self.standing {
            Standing::Good => true,
            Standing::Held(_) => false,
            Standing::Revoked(revocation) => !revocation.cause.takes_trust(),
        };
        in_peace && self.facts.not_after.plus(retention.max(LEAST_RETENTION)) < now
    }

    /// Takes its rows away.
    pub(crate) fn gone(&self) -> [Change; 3] {
        let serial = self.facts.serial.as_bytes().to_vec();
        [(Kind::Standing, serial.clone()), (Kind::Standing, self.listed().key), (Kind::Certificate, serial)]
            .map(|(kind, key)| Change { kind, key, value: None })
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
    /// Certificates of an agent that may leave at `now`, by the log's time: the oldest, a few at once.
    fn over(&self, agent: &AgentId, now: UnixTime) -> Vec<Serial>;
    /// Forgets one that leaves.
    fn remove(&mut self, serial: &Serial);
}

/// As the log has them: those that stand, and others until so many milliseconds after they expired.
#[derive(Debug, Default)]
pub(crate) struct Issuances {
    retention: u64,
    states: HashMap<Serial, CertificateState>,
    keys: HashSet<IssuerId>,
    /// Those of each agent, by the index of their records.
    of: HashMap<AgentId, Vec<(u64, Serial)>>,
}

impl Issuances {
    /// None yet; each is kept for `retention` milliseconds after it expired.
    pub(crate) fn keeping(retention: u64) -> Self {
        Self { retention, ..Self::default() }
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = &CertificateState> {
        self.states.values()
    }

    /// Whether a certificate was issued for this key.
    fn has_key(&self, key: &IssuerId) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn extend(&mut self, drafted: HashMap<Serial, CertificateState>, left: &HashSet<Serial>) {
        drafted.into_values().for_each(|certificate| self.put(certificate));
        left.iter().for_each(|serial| self.remove(serial));
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
        let (agent, place) = (certificate.facts.agent, (certificate.index, certificate.facts.serial));
        if self.states.insert(place.1, certificate).is_none() {
            let of = self.of.entry(agent).or_insert_with(|| Vec::with_capacity(1));
            of.insert(of.partition_point(|other| *other < place), place);
        }
    }

    fn over(&self, agent: &AgentId, now: UnixTime) -> Vec<Serial> {
        let all = self.of.get(agent).into_iter().flatten().map(|(_, serial)| serial);
        let over = |serial: &&Serial| self.get(serial).is_some_and(|c| c.is_over(now, self.retention));
        all.filter(over).take(LEAVE).copied().collect()
    }

    fn remove(&mut self, serial: &Serial) {
        let Some(certificate) = self.states.remove(serial) else { return };
        certificate.key_id.map(|key| self.keys.remove(&key));
        if let Some(of) = self.of.get_mut(&certificate.facts.agent) {
            of.retain(|(_, other)| other != serial);
        }
    }
}

/// As they will be after a draft.
pub(crate) struct Drafted<'p> {
    base: &'p Issuances,
    pub(crate) changed: HashMap<Serial, CertificateState>,
    keys: HashSet<IssuerId>,
    /// Those that leave with it.
    pub(crate) left: HashSet<Serial>,
}

impl<'p> Drafted<'p> {
    pub(crate) fn over(base: &'p Issuances) -> Self {
        Self { base, changed: HashMap::new(), keys: HashSet::new(), left: HashSet::new() }
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
        let drafted = self.changed.get(serial).or_else(|| self.base.get(serial));
        drafted.filter(|_| self.left.is_empty() || !self.left.contains(serial))
    }

    fn put(&mut self, certificate: CertificateState) {
        self.keys.extend(certificate.key_id);
        self.changed.insert(certificate.facts.serial, certificate);
    }

    fn over(&self, agent: &AgentId, now: UnixTime) -> Vec<Serial> {
        let mut over = self.base.over(agent, now);
        // As they are after the draft so far.
        over.retain(|serial| self.get(serial).is_some_and(|c| c.is_over(now, self.base.retention)));
        over
    }

    fn remove(&mut self, serial: &Serial) {
        self.changed.remove(serial);
        self.left.insert(*serial);
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

/// From when on the owner of an agent is to be told that its newest certificate ends, unless they were: 7 days before, or
/// when a tenth of its life is left, whichever is later. An agent that renews itself did so long before.
pub(crate) fn told_from(all: &impl Certificates, entry: &AgentEntry) -> Option<UnixTime> {
    let newest = present(all, entry).filter(|newest| !newest.expiring)?;
    let Issued { not_before, not_after, .. } = newest.facts;
    Some(not_after.minus(EXPIRY_NOTICE.min(not_after.since(not_before) / 10)))
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
