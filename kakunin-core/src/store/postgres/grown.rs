//! What others appended, and who is told what this process did.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_listener::Event;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::error::undone;
use super::link::{BRIEF, Connector, Link};
use super::sql;
use crate::error::StoreError;
use crate::id::hex_encode;
use crate::log::entry::LogId;

/// Between two notices of one process.
const BETWEEN: Duration = Duration::from_millis(2);
/// After a notice that could not be sent: others look by themselves once a second.
const PAUSE: Duration = Duration::from_secs(1);
/// Octets of a notice: the server takes less than 8,000.
const MOST: usize = 7_000;

/// How large each log is known to be here, and which of them others made larger.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    tables: Mutex<Tables>,
    heard: Event,
}

#[derive(Debug, Default)]
struct Tables {
    known: HashMap<LogId, u64>,
    /// Appends of this process that are under way.
    ours: HashMap<LogId, usize>,
    grown: BTreeMap<LogId, u64>,
    /// Whether the database answered since somebody was told of it.
    answered: bool,
}

impl Sizes {
    /// What there is when the store is opened is nothing new.
    pub(super) fn begin(&self, sizes: Vec<(LogId, u64)>) {
        self.tables().known.extend(sizes);
    }

    /// An append of this process begins; it has ended when what this gives is dropped.
    pub(super) fn writes<'s>(&'s self, logs: impl Iterator<Item = &'s LogId>) -> Writes<'s> {
        let logs: Vec<_> = logs.collect();
        let mut tables = self.tables();
        for log in &logs {
            *tables.ours.entry((*log).clone()).or_default() += 1;
        }
        Writes { sizes: self, logs }
    }

    /// This process made a log that large.
    pub(super) fn wrote(&self, log: &LogId, size: u64) {
        let mut tables = self.tables();
        let known = tables.known.entry(log.clone()).or_default();
        *known = size.max(*known);
    }

    /// Somebody told of it.
    pub(super) fn hear(&self, told: impl IntoIterator<Item = (LogId, u64)>) {
        self.take(told, false);
    }

    /// All logs as they are. One to which this process appends is left for the next time: what it finds may be its own.
    pub(super) fn look(&self, sizes: Vec<(LogId, u64)>) {
        self.take(sizes, true);
    }

    fn take(&self, sizes: impl IntoIterator<Item = (LogId, u64)>, looked: bool) {
        let mut tables = self.tables();
        tables.answered |= looked;
        for (log, size) in sizes {
            let known = tables.known.get(&log).copied().unwrap_or_default();
            if size > known && !(looked && tables.ours.contains_key(&log)) {
                tables.known.insert(log.clone(), size);
                tables.grown.insert(log, size);
            }
        }
        if tables.answered || !tables.grown.is_empty() {
            drop(tables);
            self.heard.notify(usize::MAX);
        }
    }

    /// Waits until there is something, or the database said that there is nothing: whoever hears neither goes by what is old.
    /// It is taken at the moment it is given.
    pub(super) async fn grown(&self) -> Vec<(LogId, u64)> {
        loop {
            let heard = self.heard.listen();
            let (grown, answered) = {
                let mut tables = self.tables();
                (std::mem::take(&mut tables.grown), std::mem::take(&mut tables.answered))
            };
            if answered || !grown.is_empty() {
                return grown.into_iter().collect();
            }
            heard.await;
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An append that is under way.
pub(super) struct Writes<'s> {
    sizes: &'s Sizes,
    logs: Vec<&'s LogId>,
}

impl Drop for Writes<'_> {
    fn drop(&mut self) {
        let mut tables = self.sizes.tables();
        for log in &self.logs {
            if let Some(count) = tables.ours.get_mut(*log) {
                *count -= 1;
                if *count == 0 {
                    tables.ours.remove(*log);
                }
            }
        }
    }
}

/// Tells others. The notice is no part of the append: NOTIFY takes a lock on the whole server at commit.
#[derive(Debug)]
pub(super) struct Notifier(UnboundedSender<(LogId, u64)>);

impl Notifier {
    /// The queue, and the task that sends from it.
    pub(super) fn new(connector: &Connector, process: [u8; 16]) -> (Self, impl Future<Output = ()> + use<>) {
        let (sender, queue) = unbounded_channel();
        (Self(sender), send(connector.clone(), hex_encode(&process), queue))
    }

    pub(super) fn tell(&self, log: &LogId, size: u64) {
        // Where nobody sends any more, others look by themselves.
        _ = self.0.send((log.clone(), size));
    }
}

async fn send(connector: Connector, process: String, mut queue: UnboundedReceiver<(LogId, u64)>) {
    let mut link: Option<Arc<Link>> = None;
    while let Some((log, size)) = queue.recv().await {
        let mut sizes = BTreeMap::from([(log, size)]);
        while let Ok((log, size)) = queue.try_recv() {
            let told = sizes.entry(log).or_default();
            *told = size.max(*told);
        }
        let sent = notify(&connector, &mut link, notices(&process, &sizes)).await;
        tokio::time::sleep(if sent.is_ok() { BETWEEN } else { PAUSE }).await;
    }
}

async fn notify(
    connector: &Connector,
    link: &mut Option<Arc<Link>>,
    notices: Vec<String>,
) -> Result<(), StoreError> {
    let open = match link.take().filter(|link| !link.is_closed()) {
        Some(open) => open,
        // A notice that is lost is made up for.
        None => Arc::new(connector.open_with("notices", &[sql::NOTIFY], "-c synchronous_commit=off").await?),
    };
    let _limit = open.limit(BRIEF);
    open.client().execute(&open.statement(sql::NOTIFY)?, &[&notices]).await.map_err(undone)?;
    *link = Some(open);
    Ok(())
}

/// As texts: who sends it, and logs with their sizes.
fn notices(process: &str, sizes: &BTreeMap<LogId, u64>) -> Vec<String> {
    let mut notices = vec![process.to_owned()];
    for (log, size) in sizes {
        let part = format!(" {log}={size}");
        match notices.last_mut() {
            Some(last) if last.len() + part.len() <= MOST => last.push_str(&part),
            _ => notices.push(format!("{process}{part}")),
        }
    }
    notices
}

/// What a notice of another process says.
pub(super) fn read(process: &str, notice: &str) -> Vec<(LogId, u64)> {
    let mut words = notice.split(' ');
    if words.next().is_none_or(|sender| sender == process) {
        return Vec::new();
    }
    // Anybody may send anything there: what is no size of a log is nothing.
    let size = |word: &str| {
        let (log, size) = word.split_once('=')?;
        Some((log.parse().ok()?, size.parse().ok()?))
    };
    words.filter_map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_read_as_they_are_sent_and_none_is_too_long() {
        let log = |n: u64| LogId::Tenant(format!("a-tenant-with-a-long-name-{n}").parse().unwrap());
        let sizes: BTreeMap<_, _> = (0..500).map(|n| (log(n), n)).collect();
        let sent = notices("me", &sizes);
        assert!(sent.len() > 1 && sent.iter().all(|notice| notice.len() < 8_000));
        let read_back: BTreeMap<_, _> = sent.iter().flat_map(|notice| read("other", notice)).collect();
        assert_eq!(read_back, sizes);
        assert!(sent.iter().all(|notice| read("me", notice).is_empty()));
        assert_eq!(read("me", "x _system=2 nonsense y= =3 _nobody=4 _system=a"), [(LogId::System, 2)]);
    }

    #[test]
    fn what_this_process_appends_is_no_news_and_what_others_do_is_named_once() {
        let (sizes, log) = (Sizes::default(), LogId::System);
        sizes.begin(vec![(log.clone(), 3)]);
        let writes = sizes.writes([&log].into_iter());
        sizes.look(vec![(log.clone(), 4)]);
        sizes.wrote(&log, 4);
        drop(writes);
        sizes.look(vec![(log.clone(), 4)]);
        assert!(sizes.tables().grown.is_empty());
        sizes.hear([(log.clone(), 5)]);
        sizes.hear([(log.clone(), 5)]);
        assert_eq!(pollster::block_on(sizes.grown()), [(log.clone(), 5)]);
        sizes.look(vec![(log, 5)]);
        assert_eq!(pollster::block_on(sizes.grown()), [], "the database was heard, and nothing grew");
        assert!(sizes.tables().grown.is_empty());
    }
}
