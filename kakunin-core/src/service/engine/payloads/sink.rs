//! The sink that the engine sees: what it appends is encrypted, what it reads is decrypted, and what was erased is not there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::aead::Cipher;
use super::cache::DataKey;
use super::form::{self, KeyId, Under};
use super::keys::DataKeys;
use super::name::Slot;
use super::of_log::OfLog;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::{Entry, LogId, Payload};
use crate::log::glance::Glance;
use crate::log::merkle::Frontier;
use crate::log::record::{Body, Control, EVENT, Record};
use crate::month::Month;
use crate::service::engine::parts::Parts;
use crate::service::engine::seal::SealKey;
use crate::service::state::erasures::{Erasure, Erasures};
use crate::store::audit::{Append, AuditSink, Head, Room, Turn};
use crate::time::UnixTime;

/// Kind code of [`Control::PayloadErased`].
const ERASED: u16 = 66;

/// A sink of which the store sees no payload.
#[derive(Debug)]
pub(crate) struct SealedSink {
    store: Arc<dyn AuditSink>,
    seal_key: SealKey,
    keys: DataKeys,
    logs: Mutex<HashMap<LogId, Arc<OfLog>>>,
}

/// What records say was erased, and of whom.
type Told = Vec<(AgentId, Erasure)>;

/// How one payload is stored.
struct Place {
    commitment: [u8; 32],
    /// Of an event: what its key is for.
    slot: Option<Slot>,
}

impl SealedSink {
    /// Over the store of these parts, which is theirs from here on.
    pub(crate) fn between(parts: &mut Parts, seal_key: &SealKey) -> Arc<Self> {
        let keys = DataKeys::new(seal_key.clone(), parts.vault(), parts.entropy.clone());
        let sink = Arc::new(Self::over(parts.sink.clone(), seal_key.clone(), keys));
        parts.sink = sink.clone();
        sink
    }

    pub(super) fn over(store: Arc<dyn AuditSink>, seal_key: SealKey, keys: DataKeys) -> Self {
        Self { store, seal_key, keys, logs: Mutex::default() }
    }

    fn of(&self, log: &LogId) -> Result<Arc<OfLog>, StoreError> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = logs.get(log) {
            return Ok(known.clone());
        }
        let number = u32::try_from(logs.len()).unwrap_or(u32::MAX);
        let of = Arc::new(OfLog::new(log.clone(), number, &self.seal_key)?);
        logs.insert(log.clone(), of.clone());
        Ok(of)
    }

    /// All that is on record as erased in a log, for who has read the whole of it.
    pub(crate) fn know(&self, log: &LogId, erased: HashMap<AgentId, Erasures>) -> Result<(), StoreError> {
        self.of(log).map(|of| of.know(erased))
    }

    /// Which record erased the payload of an agent's event that was recorded at this index and time.
    pub(crate) fn erased(&self, log: &LogId, (index, time): (u64, UnixTime), agent: &AgentId) -> Option<u64> {
        self.of(log).ok()?.erased(agent, Month::of(time), index)
    }

    /// Destroys the keys of an agent that what is on record destroys, and says how many there still were.
    pub(crate) async fn destroy(&self, log: &LogId, agent: &AgentId) -> Result<usize, StoreError> {
        let of = self.of(log)?;
        let Some(tenant) = of.tenant() else { return Ok(0) };
        let erased = of.of(agent);
        let count = self.keys.destroy((tenant, of.number), agent, &erased).await?;
        of.destroyed(agent, &erased);
        Ok(count)
    }

    /// Forgets keys of an agent, of which another process destroys some.
    pub(crate) fn forget(&self, log: &LogId, agent: &AgentId) -> Result<(), StoreError> {
        self.keys.forget(self.of(log)?.number, agent);
        Ok(())
    }

    /// Agents of which keys may have to be destroyed still.
    pub(crate) fn to_destroy(&self, log: &LogId) -> Result<Vec<AgentId>, StoreError> {
        Ok(self.of(log)?.to_destroy())
    }

    /// Encrypts what is appended to one log; gives what it says was erased.
    async fn close(&self, of: &OfLog, append: &mut Append) -> Result<Told, StoreError> {
        let (places, erased) = places(of, append)?;
        let keys = match self.keys_for(of, &places).await {
            Ok(keys) => keys,
            // What takes trust away waits for no vault: it is erased by its record, and its key is the log's.
            Err(_) if append.reserved => HashMap::new(),
            Err(error) => return Err(error),
        };
        let refused = || StoreError::unavailable("a payload cannot be encrypted");
        for (entry, place) in append.entries.iter_mut().zip(places) {
            let (Some(payload), Some(Place { commitment, slot })) = (&mut entry.payload, place) else {
                continue;
            };
            let key = slot.and_then(|slot| keys.get(&slot));
            let cipher = key.map_or(&of.own, |key| &key.cipher);
            form::close(payload, &commitment, cipher, key.map(|key| &key.id)).ok_or_else(refused)?;
        }
        if let Some(hidden) = self.seal_key.hidden(&append.log, &append.changes)? {
            append.changes = hidden.into();
        }
        Ok(erased)
    }

    /// Encrypts events before it is their turn to be written. Nothing that erases may be under way, or among them.
    pub(crate) async fn closed(&self, mut append: Append) -> Result<Append, StoreError> {
        let of = self.of(&append.log)?;
        self.close(&of, &mut append).await?;
        Ok(append)
    }

    /// Appends what was encrypted.
    pub(crate) async fn append_closed(&self, append: Append) -> Result<(), StoreError> {
        self.store.append(vec![append]).await
    }

    async fn keys_for(
        &self,
        of: &OfLog,
        places: &[Option<Place>],
    ) -> Result<HashMap<Slot, Arc<DataKey>>, StoreError> {
        let (mut keys, mut missing, mut last) = (HashMap::new(), Vec::new(), None);
        let Some(tenant) = of.tenant() else { return Ok(keys) };
        for slot in places.iter().flatten().filter_map(|place| place.slot) {
            // Events of one agent come together.
            if last.replace(slot) == Some(slot) || keys.contains_key(&slot) {
                continue;
            }
            match self.keys.current(of.number, slot) {
                Some(key) => _ = keys.insert(slot, key),
                None => missing.push(slot),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            keys.extend(self.keys.make((tenant, of.number), &missing).await?);
        }
        Ok(keys)
    }

    /// Decrypts what is under the log's own key, and gives what needs another one.
    fn open_own<'e>(&self, of: &OfLog, from: u64, entries: &'e mut [Entry]) -> Vec<(&'e mut Entry, Found)> {
        let mut sealed = Vec::new();
        for (index, entry) in (from..).zip(entries) {
            let Some(glance) = entry.payload.as_ref().and_then(|_| Glance::at(&entry.leaf)) else { continue };
            if let Some(found) = self.look(of, index, entry, &glance) {
                sealed.push((entry, found));
            }
        }
        sealed
    }

    /// Decrypts what was read of a log, from this index on.
    async fn open(&self, of: &OfLog, from: u64, entries: &mut [Entry]) -> Result<(), StoreError> {
        let sealed = self.open_own(of, from, entries);
        let (Some(tenant), false) = (of.tenant(), sealed.is_empty()) else { return Ok(()) };
        let get = |(slot, id): &(Slot, KeyId)| self.keys.get(of.number, *slot, id);
        let mut missing: Vec<_> =
            sealed.iter().map(|(_, (at, _))| *at).filter(|at| get(at).is_none()).collect();
        missing.sort_unstable();
        missing.dedup();
        let fetched = match missing.is_empty() {
            true => HashMap::new(),
            false => self.keys.fetch((tenant, of.number), &missing).await?,
        };
        for (entry, (at, commitment)) in sealed {
            // Without its key it is gone.
            match fetched.get(&at).cloned().or_else(|| get(&at)) {
                None => entry.payload = None,
                Some(key) => decrypt(entry, &commitment, &key.cipher),
            }
        }
        Ok(())
    }

    /// Decrypts what is under the log's own key, and takes away what was erased; says which key is needed else.
    fn look(&self, of: &OfLog, index: u64, entry: &mut Entry, glance: &Glance) -> Option<Found> {
        let (payload, commitment) = (entry.payload.as_ref()?, glance.commitment?);
        let slot = slot(of, index, glance);
        let erased = slot.and_then(|slot| of.erased(&slot.agent, slot.month, index));
        match (form::under(payload), slot) {
            _ if erased.is_some() => entry.payload = None,
            (Under::Month(id), Some(slot)) => return Some(((slot, id), commitment)),
            (Under::Log, _) => decrypt(entry, &commitment, &of.own),
            _ => {}
        }
        if let Some((agent, erasure)) = erasure(index, entry, glance) {
            of.add(agent, erasure);
        }
        None
    }
}

/// What the key of a payload is for, and its name; what the payload's leaf commits to.
type Found = ((Slot, KeyId), [u8; 32]);

/// What the key of an event is for; nothing of other records.
fn slot(of: &OfLog, index: u64, glance: &Glance) -> Option<Slot> {
    let (agent, month) = (glance.agent.filter(|_| glance.kind == EVENT)?, Month::of(glance.time));
    Some(Slot { agent, month, since: of.since(&agent, month, index) })
}

/// What does not open fits no leaf.
fn decrypt(entry: &mut Entry, commitment: &[u8; 32], cipher: &Cipher) {
    let nothing = || Payload { salt: [0; 32], octets: Vec::new() };
    let opened = entry.payload.take().map(|payload| form::open(payload, commitment, cipher));
    entry.payload = opened.map(|opened| opened.unwrap_or_else(nothing));
}

/// What an entry that is not encrypted says was erased.
fn erasure(index: u64, entry: &Entry, glance: &Glance) -> Option<(AgentId, Erasure)> {
    if glance.kind != ERASED {
        return None;
    }
    match Record::open(entry).ok()? {
        Record { agent: Some(agent), body: Body::Control(control), .. } => match *control {
            Control::PayloadErased { from, to, .. } => {
                Some((agent, Erasure { record: index, from, to, at: Month::of(glance.time) }))
            }
            _ => None,
        },
        _ => None,
    }
}

/// How each payload of an append is stored, in the order of its entries, and what these say was erased.
fn places(of: &OfLog, append: &Append) -> Result<(Vec<Option<Place>>, Told), StoreError> {
    let (mut places, mut erased) = (Vec::with_capacity(append.entries.len()), Vec::new());
    for (index, entry) in (append.expected.frontier.size()..).zip(&append.entries) {
        // It says where the key is by which all others are opened.
        if entry.payload.is_none() || (&of.log, index) == (&LogId::System, 0) {
            places.push(None);
            continue;
        }
        let glance = Glance::at(&entry.leaf);
        let found = glance.as_ref().and_then(|glance| Some((glance, glance.commitment?)));
        let (glance, commitment) =
            found.ok_or_else(|| StoreError::unavailable("a payload of which its leaf says nothing"))?;
        let mut slot = slot(of, index, glance);
        if let Some(Slot { agent, month, since }) = &mut slot {
            let here =
                erased.iter().rev().find(|(of, one): &&(AgentId, Erasure)| of == agent && one.spans(*month));
            *since = here.map_or(*since, |(_, one)| one.record);
        }
        erased.extend(erasure(index, entry, glance));
        places.push(Some(Place { commitment, slot }));
    }
    Ok((places, erased))
}

#[async_trait]
impl AuditSink for SealedSink {
    async fn append(&self, mut appends: Vec<Append>) -> Result<(), StoreError> {
        let mut erased = Vec::new();
        for append in &mut appends {
            let of = self.of(&append.log)?;
            erased.extend(self.close(&of, append).await?.into_iter().map(|one| (of.clone(), one)));
        }
        self.store.append(appends).await?;
        erased.into_iter().for_each(|(of, (agent, erasure))| of.add(agent, erasure));
        Ok(())
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.store.head(log).await
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.store.read(log, from, limit).await?;
        self.open(&*self.of(log)?, from, &mut entries).await?;
        Ok(entries)
    }

    async fn read_leaves(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.store.read_leaves(log, from, limit).await?;
        let sealed = self.open_own(&*self.of(log)?, from, &mut entries);
        sealed.into_iter().for_each(|(entry, _)| entry.payload = None);
        Ok(entries)
    }

    async fn frontier(&self, log: &LogId, size: u64) -> Result<Frontier, StoreError> {
        self.store.frontier(log, size).await
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.store.logs().await
    }

    async fn room(&self) -> Room {
        let room = self.store.room().await;
        // Where no key can be kept no event is: an operator sees it as a disk that is full, which it is.
        Room { full: room.full || self.keys.is_full().await, ..room }
    }

    async fn turn(&self, log: &LogId) -> Result<Box<dyn Turn>, StoreError> {
        self.store.turn(log).await
    }

    async fn grown(&self) -> Vec<(LogId, u64)> {
        self.store.grown().await
    }
}
