//! Where one endpoint's deliveries are worked at: what is to be sent, what became of it, and what is yet to be stored.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::attempt::{Landed, Outcome, To};
use super::outbox::Outbox;
use super::rows::{
    self, Cursor, Delivery, DeliveryState, MAX_KEPT, Waiting, behind, decoded, kept_index, kept_key,
    kept_prefix, place_of, waiting_prefix,
};
use crate::error::StoreError;
use crate::id::{AgentId, WebhookId};
use crate::log::entry::LogId;
use crate::service::effects::running::Running;
use crate::service::error::Error;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};
use crate::time::{DAY, SECOND, UnixTime};
use crate::webhook::{Disabled, Means, WebhookFacts, WebhookSecret, retry};

/// How long a delivery is kept for who asks what became of it.
pub(crate) const KEPT_FOR: u64 = 30 * DAY;
/// Attempts of one delivery that are kept.
const ATTEMPTS: usize = 10;
/// How long what became of deliveries is gathered before it is written, in milliseconds.
const GATHER: u64 = 100;
/// And how many, at the most.
const MANY: usize = 256;
/// How long it is not written that an endpoint is further, if nothing else is to be written, in milliseconds.
const MOVES: u64 = 10 * SECOND;

/// Where one endpoint's deliveries are worked at.
#[derive(Debug)]
pub(super) struct Desk {
    id: WebhookId,
    log: LogId,
    pub(super) outbox: Outbox,
    cursor: Cursor,
    /// Deliveries that are kept, by the index of their record.
    kept: BTreeSet<u64>,
    /// Rows of those that changed, for the next write.
    changes: Vec<Change>,
    written: UnixTime,
    /// Whether the endpoint was switched off when it was looked at last.
    off: bool,
    secrets: HashMap<String, Arc<WebhookSecret>>,
}

impl Desk {
    /// As it was left, or as the endpoint was made after the record below `since`.
    pub(super) async fn open(
        running: &Running,
        log: &LogId,
        id: WebhookId,
        since: u64,
    ) -> Result<Self, Error> {
        let state = &running.parts.state;
        let key = rows::cursor_key(&id);
        let row = state.get(log, Kind::Cursor, &key).await?;
        let row = row.and_then(|row| running.opened_one(log, Kind::Cursor, &key, &row));
        let cursor = row.map(|row| decoded::<Cursor>(&row)).transpose()?;
        let mut cursor = cursor.unwrap_or_default();
        // Of a log that was put back to an older one nothing is told twice.
        let size = running.commits.of(log).load(std::sync::atomic::Ordering::Acquire);
        cursor.next = cursor.next.max(since).min(size.max(since));
        let (kept, changes) = (BTreeSet::new(), Vec::new());
        let (outbox, secrets, written) = (Outbox::from(cursor.next), HashMap::new(), UnixTime::default());
        let mut desk =
            Self { id, log: log.clone(), outbox, cursor, kept, changes, written, off: false, secrets };
        desk.load_waiting(running).await?;
        desk.load_kept(running).await?;
        Ok(desk)
    }

    /// Reads the oldest that waits of each agent.
    async fn load_waiting(&mut self, running: &Running) -> Result<(), Error> {
        let (mut after, state) = (waiting_prefix(&self.id), &running.parts.state);
        loop {
            let first = state.scan(&self.log, Kind::Delivery, Some(&after), 1).await?.pop();
            let Some((agent, _)) = first.and_then(|(key, _)| place_of(&self.id, &key)) else { return Ok(()) };
            self.feed(running, agent).await?;
            after = behind(&self.id, &agent);
        }
    }

    /// Reads what waits of an agent; all that is here of it has been written.
    pub(super) async fn feed(&mut self, running: &Running, agent: AgentId) -> Result<(), Error> {
        let after = [&waiting_prefix(&self.id)[..], agent.as_bytes()].concat();
        let most = self.outbox.appetite();
        let found = running.parts.state.scan(&self.log, Kind::Delivery, Some(&after), most + 1).await?;
        let own = |(key, _): &(Vec<u8>, Vec<u8>)| place_of(&self.id, key).is_some_and(|(of, _)| of == agent);
        let found: Vec<_> = found.into_iter().take_while(own).collect();
        let mut more = found.len() > most;
        let mut stored = Vec::with_capacity(most);
        for (key, value) in running.opened(&self.log, Kind::Delivery, found).await?.into_iter().take(most) {
            let Some((_, index)) = place_of(&self.id, &key) else { continue };
            let waiting: Waiting = decoded(&value)?;
            let rests = waiting.next.is_some();
            stored.push((index, waiting));
            if rests {
                // What is behind it waits in the store.
                more = true;
                break;
            }
        }
        self.outbox.restore(agent, stored, more, running.now());
        Ok(())
    }

    /// Which deliveries are kept; those from long ago are taken away.
    async fn load_kept(&mut self, running: &Running) -> Result<(), Error> {
        let (prefix, now) = (kept_prefix(&self.id), running.now());
        let found = running.parts.state.scan(&self.log, Kind::Delivery, Some(&prefix), 2 * MAX_KEPT).await?;
        for (key, value) in running.opened(&self.log, Kind::Delivery, found).await? {
            let Some(index) = kept_index(&self.id, &key) else { break };
            let delivery: Delivery = decoded(&value)?;
            if delivery.is_kept(now) {
                self.kept.insert(index);
            } else {
                self.changes.push(Change { kind: Kind::Delivery, key, value: None });
            }
        }
        Ok(())
    }

    pub(super) const fn id(&self) -> WebhookId {
        self.id
    }

    /// Whom it goes to. Secrets are read once.
    pub(super) async fn to(&mut self, running: &Running, facts: &Arc<WebhookFacts>) -> Result<To, Error> {
        let names = [Some(&facts.secret), facts.former_at(running.now())];
        let LogId::Tenant(tenant) = &self.log else { return Err(Error::NotFound("tenant")) };
        let mut secrets = Vec::new();
        for name in names.into_iter().flatten() {
            let secret = match self.secrets.get(&name.name) {
                Some(secret) => secret.clone(),
                None => Arc::new(running.webhook_secret(tenant, facts, name).await?),
            };
            secrets.push((name.name.clone(), secret));
        }
        // Others sign no more.
        self.secrets = secrets.iter().cloned().collect();
        let mut secrets = secrets.into_iter().map(|(_, secret)| secret);
        let lost = || StoreError::Corrupt("an endpoint has no secret".into());
        Ok(To { facts: facts.clone(), secret: secrets.next().ok_or_else(lost)?, former: secrets.next() })
    }

    /// Takes in how an attempt ended; says if the endpoint is to be disabled for it.
    pub(super) async fn landed(
        &mut self,
        running: &Running,
        landed: Landed,
    ) -> Result<Option<Disabled>, Error> {
        let Landed { agent, item, at, ref outcome, .. } = landed;
        let (now, waiting) = (running.now(), item.waiting);
        let (means, mut disabled) = match outcome {
            Outcome::Answered(answer) => (answer.means(), None),
            Outcome::Failed(_) => (Means::Again(None), None),
            Outcome::Damaged => (Means::Gone, None),
        };
        let attempts = waiting.attempts.saturating_add(1);
        let first = waiting.first.unwrap_or(at);
        let mut next = None;
        let state = match (means, outcome) {
            (Means::Delivered, _) => {
                self.cursor.delivered_at = Some(now);
                running.webhooks.counts.delivered();
                DeliveryState::Delivered
            }
            (_, Outcome::Damaged) => DeliveryState::Failed,
            (means, _) => {
                running.webhooks.counts.failed();
                let asked = if let Means::Again(asked) = means { asked } else { None };
                disabled = (means == Means::Gone).then_some(Disabled::Gone);
                next = retry::wait(attempts, asked, &*running.parts.entropy);
                if next.is_none() && self.cursor.delivered_at.is_none_or(|last| last < first) {
                    disabled = disabled.or(Some(Disabled::Failing));
                }
                if next.is_some() { DeliveryState::Retrying } else { DeliveryState::Failed }
            }
        };
        let next =
            next.map(|wait| Waiting { attempts, first: Some(first), next: Some(now.plus(wait)), wait });
        self.keep(running, &landed, state, next.and_then(|waiting| waiting.next)).await?;
        match next {
            Some(waiting) => self.outbox.failed(agent, waiting, now),
            None => self.outbox.landed(agent, now),
        }
        Ok(disabled)
    }

    /// Keeps what became of it, in place of the oldest if there are too many.
    async fn keep(
        &mut self,
        running: &Running,
        landed: &Landed,
        state: DeliveryState,
        next: Option<UnixTime>,
    ) -> Result<(), Error> {
        let index = landed.item.index;
        let key = kept_key(&self.id, index);
        let known = match self.kept.contains(&index) {
            true => self.kept_row(running, &key).await?,
            false => None,
        };
        let agent = Some(landed.agent).filter(|agent| *agent.as_bytes() != [0; 16]);
        let new = Delivery {
            index,
            event: landed.event,
            agent,
            state,
            attempts: Vec::new(),
            count: 0,
            next,
            answer: String::new(),
        };
        let mut delivery = Delivery { state, next, ..known.unwrap_or(new) };
        delivery.count = delivery.count.saturating_add(1);
        if delivery.attempts.len() == ATTEMPTS {
            delivery.attempts.remove(0);
        }
        let (attempt, answer) = landed.outcome.told(landed.at, landed.took);
        delivery.attempts.push(attempt);
        delivery.answer = answer;
        self.changes.push(set(Kind::Delivery, key, &delivery)?);
        self.kept.insert(index);
        while self.kept.len() > MAX_KEPT {
            let Some(oldest) = self.kept.pop_first() else { break };
            let key = kept_key(&self.id, oldest);
            self.changes.push(Change { kind: Kind::Delivery, key, value: None });
        }
        Ok(())
    }

    /// What is kept of it, written or about to be.
    async fn kept_row(&self, running: &Running, key: &[u8]) -> Result<Option<Delivery>, Error> {
        let unwritten = self.changes.iter().rev().find(|change| change.key == key);
        let row = match unwritten {
            Some(change) => change.value.clone(),
            None => {
                let row = running.parts.state.get(&self.log, Kind::Delivery, key).await?;
                row.and_then(|row| running.opened_one(&self.log, Kind::Delivery, key, &row))
            }
        };
        Ok(row.map(|row| decoded(&row)).transpose()?)
    }

    /// Whether it is time to write what became of deliveries.
    pub(super) fn is_due(&self, now: UnixTime) -> bool {
        let has = self.outbox.has_rows() || !self.changes.is_empty();
        let many = self.changes.len() >= MANY || !self.has_room();
        has && (many || now.since(self.written) >= GATHER || now < self.written)
    }

    /// Writes it, with how far the endpoint is, in one change.
    pub(super) async fn write(&mut self, running: &Running) -> Result<(), Error> {
        let now = running.now();
        let (rows, next) = (self.outbox.write(), self.outbox.next);
        let mut changes = last_of_each(std::mem::take(&mut self.changes));
        for (place, waiting) in rows {
            changes.push(rows::waiting_row(&self.id, place, waiting.as_ref())?);
        }
        // That nothing was to be told is read again quickly.
        let rests = now >= self.written && now.since(self.written) < MOVES;
        let moved = next != self.cursor.next && !rests;
        if !moved && changes.is_empty() {
            return Ok(());
        }
        self.cursor.next = next;
        changes.push(rows::cursor_row(&self.id, &self.cursor)?);
        let tagged = changes.iter().map(|change| running.seal_key.tagged(&self.log, change.clone()));
        if let Err(error) = running.parts.state.put(&self.log, &tagged.collect::<Vec<_>>()).await {
            // Whatever was delivered stays so: it is written once there is room.
            self.changes = changes;
            return Err(error.into());
        }
        self.written = now;
        Ok(())
    }

    /// Whether it sends. Once an endpoint is switched on again, what rested after failures is due: its owner mended it.
    pub(super) fn goes_on(&mut self, active: bool) -> bool {
        if active && std::mem::replace(&mut self.off, !active) {
            self.outbox.rouse();
        }
        self.off = !active;
        active
    }

    /// Whether there is room for more, here and among what is yet to be written.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.has_room() && self.changes.len() < 4 * MANY
    }

    /// Reads what waits of agents of which nothing is here.
    pub(super) async fn feed_hungry(&mut self, running: &Running) -> Result<(), Error> {
        let hungry = self.outbox.hungry();
        if !hungry.is_empty() {
            self.look_again(running, hungry).await?;
        }
        Ok(())
    }

    /// Reads anew what waits of some agents, because somebody had a hand in it.
    pub(super) async fn look_again(&mut self, running: &Running, agents: Vec<AgentId>) -> Result<(), Error> {
        match self.write(running).await {
            Err(Error::Store(StoreError::Full)) => {
                self.outbox.starve(agents);
                return Ok(());
            }
            written => written?,
        }
        for agent in agents {
            self.feed(running, agent).await?;
        }
        Ok(())
    }
}

impl Delivery {
    /// Whether it is shown still.
    pub(crate) fn is_kept(&self, now: UnixTime) -> bool {
        self.attempts.last().is_none_or(|last| now.since(last.at) < KEPT_FOR)
    }
}

/// Of rows that changed more than once the last.
fn last_of_each(changes: Vec<Change>) -> Vec<Change> {
    let mut known = BTreeSet::new();
    let last = changes.into_iter().rev().filter(|change| known.insert(change.key.clone()));
    last.collect()
}
