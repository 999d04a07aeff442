//! The certificates of a tenant's agents: how each stands. A row each, so that one more costs as much as the first.

use std::collections::{HashMap, HashSet};

use super::error::Error;
use super::lifecycle::CertificateEntry;
use super::projection::{AgentEntry, set};
use super::{Kakunin, MAX_LATENESS};
use crate::agent::{AgentState, Document};
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial, TenantId};
use crate::issue::{Issued, Profile};
use crate::key::KeyRef;
use crate::log::entry::LogId;
use crate::revoke::{Cause, Halt, Receipt, Revocation, Said};
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;

/// Most certificates of one agent in a list: the newest.
pub const MAX_CERTIFICATES_LISTED: usize = 1_000;

/// A certificate of an agent, and whether it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct CertificateState {
    pub(super) facts: Issued,
    pub(super) profile: Profile,
    pub(super) key: Option<KeyRef>,
    /// Its key identifier; `None` for what was planned and given up, whose key may be asked for again.
    #[serde(default)]
    pub(super) key_id: Option<IssuerId>,
    pub(super) constraints: Option<Document>,
    pub(super) standing: Standing,
    /// What whoever revoked or held it had to say.
    #[serde(default)]
    pub(super) said: Said,
    /// Index of the record that made it known; its place among those of its agent.
    #[serde(default)]
    pub(super) index: u64,
    /// When it was issued; not known of those that older versions issued.
    #[serde(default)]
    pub(super) issued_at: Option<UnixTime>,
    /// Whether somebody was granted its key at the provider, and still may use it.
    #[serde(default)]
    pub(super) granted: bool,
    /// The certificate that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<Serial>,
    /// The stop that took it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) halt: Option<Halt>,
    /// The receipt of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receipt: Option<Receipt>,
}

/// Whether a certificate is accepted, expiry apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    Good,
    Held(Revocation),
    Revoked(Revocation),
}

/// What is done with a certificate counts against its agent
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reckoning {
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
    pub(super) fn entry(&self) -> CertificateEntry {
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
    pub(super) fn change(&self) -> Result<Change, StoreError> {
        set(Kind::Standing, self.facts.serial.as_bytes().to_vec(), self)
    }

    /// Its place among those of its agent, newest first.
    pub(super) fn listed(&self) -> Change {
        let key = [self.facts.agent.as_bytes().as_slice(), &(u64::MAX - self.index).to_be_bytes()].concat();
        Change { kind: Kind::Standing, key, value: Some(self.facts.serial.as_bytes().to_vec()) }
    }
}

/// Where a record finds the certificates that it changes.
pub(super) trait Certificates {
    fn get(&self, serial: &Serial) -> Option<&CertificateState>;
    fn put(&mut self, certificate: CertificateState);
}

/// As the log has them.
#[derive(Debug, Default)]
pub(super) struct Issuances {
    states: HashMap<Serial, CertificateState>,
    keys: HashSet<IssuerId>,
}

impl Issuances {
    pub(super) fn states(&self) -> impl Iterator<Item = &CertificateState> {
        self.states.values()
    }

    /// Whether a certificate was issued for this key.
    fn has_key(&self, key: &IssuerId) -> bool {
        self.keys.contains(key)
    }

    pub(super) fn extend(&mut self, drafted: HashMap<Serial, CertificateState>) {
        drafted.into_values().for_each(|certificate| self.put(certificate));
    }

    /// The certificate of an agent that is neither revoked nor expired, held or not: its newest, or none.
    pub(super) fn standing(&self, entry: &AgentEntry, now: UnixTime) -> Option<&CertificateState> {
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
pub(super) struct Drafted<'p> {
    base: &'p Issuances,
    pub(super) changed: HashMap<Serial, CertificateState>,
    keys: HashSet<IssuerId>,
}

impl<'p> Drafted<'p> {
    pub(super) fn over(base: &'p Issuances) -> Self {
        Self { base, changed: HashMap::new(), keys: HashSet::new() }
    }

    pub(super) fn has_key(&self, key: &IssuerId) -> bool {
        self.keys.contains(key) || self.base.has_key(key)
    }

    pub(super) fn standing(&self, entry: &AgentEntry, now: UnixTime) -> Option<&CertificateState> {
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
pub(super) fn present<'c>(all: &'c impl Certificates, entry: &AgentEntry) -> Option<&'c CertificateState> {
    let newest = all.get(&entry.row.agent.certificate?)?;
    (!matches!(newest.standing, Standing::Revoked(_))).then_some(newest)
}

/// Whether what is done with a certificate of an agent counts against it: see [`Reckoning`].
pub(super) fn reckons(
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
pub(super) fn load(key: &[u8], value: &[u8]) -> Result<Option<CertificateState>, StoreError> {
    if key.len() != 16 {
        return Ok(None);
    }
    let certificate = serde_json::from_slice(value);
    certificate.map(Some).map_err(|_| StoreError::Corrupt("a certificate's standing does not decode".into()))
}

impl Kakunin {
    /// The certificates of an agent, the newest [`MAX_CERTIFICATES_LISTED`] of them, oldest first. Older ones are
    /// found by their serial numbers, and in the log.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn certificates(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
    ) -> Result<Vec<CertificateEntry>, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        if !inner.settled(&tenant).await?.projection.agents.contains_key(agent) {
            return Err(Error::NotFound("agent"));
        }
        let log = LogId::Tenant(tenant.id.clone());
        let (state, own) = (&*inner.parts.state, agent.as_bytes().as_slice());
        let listed = state.scan(&log, Kind::Standing, Some(own), MAX_CERTIFICATES_LISTED).await?;
        let listed = listed.into_iter().filter(|(key, _)| key.starts_with(own) && key.len() == 24);
        let opened = |(key, row): (Vec<u8>, Vec<u8>)| inner.opened_one(&log, Kind::Standing, &key, &row);
        let serials: Vec<_> = listed.filter_map(opened).collect();
        let sequencer = inner.settled(&tenant).await?;
        let corrupt = || StoreError::Corrupt("a certificate is listed and not there".into());
        let entry = |serial: Vec<u8>| {
            let serial = serial.try_into().ok().and_then(Serial::from_bytes).ok_or_else(corrupt)?;
            Ok(sequencer.projection.certificates.get(&serial).ok_or_else(corrupt)?.entry())
        };
        serials.into_iter().rev().map(entry).collect()
    }
}
