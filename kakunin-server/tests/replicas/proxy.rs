//! What is between a server and its database: it hangs, cuts connections, and loses answers, as a test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How an append's transaction begins and ends on the wire.
const BEGIN: &[u8] = b"BEGIN\0";
const COMMIT: &[u8] = b"COMMIT\0";

/// What happens to the next transaction that comes along.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// So many octets of it get through, then the connection is gone.
    CutAfter(usize),
    /// All of it gets through, and instead of its answer the connection's end.
    LoseAnswer,
    /// All of it gets through; its answer does not, nor anything else over that connection, and nobody is told.
    SwallowAnswer,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Nothing gets through in either direction, and nobody is told.
    hangs: bool,
    /// How often all connections were cut, and how often they were left behind.
    cuts: u64,
    strands: u64,
    database: u16,
}

/// A way to a database.
pub(crate) struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    next: Arc<Mutex<Option<Fault>>>,
}

impl Proxy {
    /// To this port.
    pub(crate) async fn to(database: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(State { database, ..State::default() });
        let next = Arc::<Mutex<Option<Fault>>>::default();
        let shared = next.clone();
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let way = Way { state: seen.clone(), next: shared.clone(), answers: None, is_stuck: false };
                tokio::spawn(way.carry(from));
            }
        });
        Self { port, state, next }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn hang(&self) {
        self.state.send_modify(|state| state.hangs = true);
    }

    /// What hung is gone by now, as it is for a network that was away; whatever is opened from here on gets through.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| *state = State { hangs: false, cuts: state.cuts + 1, ..*state });
    }

    /// What is open gets nothing through any more, and nobody is told; whatever is opened from here on gets through.
    pub(crate) fn strand(&self) {
        self.state.send_modify(|state| state.strands += 1);
    }

    /// Leads to another database from here on.
    pub(crate) fn lead_to(&self, database: u16) {
        self.state.send_modify(|state| *state = State { database, cuts: state.cuts + 1, ..*state });
    }

    /// For the next transaction.
    pub(crate) fn arm(&self, fault: Fault) {
        *self.next.lock().unwrap() = Some(fault);
    }

    /// Whether a transaction met what was said for it.
    pub(crate) fn is_spent(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

/// One connection.
struct Way {
    state: watch::Receiver<State>,
    next: Arc<Mutex<Option<Fault>>>,
    /// What becomes of the answer to COMMIT.
    answers: Option<Fault>,
    is_stuck: bool,
}

impl Way {
    async fn carry(mut self, mut from: TcpStream) {
        let before = *self.state.borrow_and_update();
        let Ok(mut to) = TcpStream::connect(("127.0.0.1", before.database)).await else { return };
        _ = (from.set_nodelay(true), to.set_nodelay(true));
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            let hangs = self.is_stuck || self.state.borrow().hangs;
            tokio::select! {
                changed = self.state.changed() => {
                    let now = *self.state.borrow();
                    if changed.is_err() || now.cuts != before.cuts {
                        return;
                    }
                    self.is_stuck |= now.strands != before.strands;
                }
                read = from.read(&mut asked), if !hangs => {
                    let Ok(count @ 1..) = read else { return };
                    let octets = &asked[..count];
                    let gets_through = self.meet(octets).unwrap_or(count);
                    if to.write_all(&octets[..gets_through]).await.is_err() {
                        return;
                    }
                    if gets_through < count {
                        // What was sent arrives before the end does.
                        _ = to.shutdown().await;
                        return;
                    }
                }
                read = to.read(&mut answered), if !hangs => {
                    let Ok(count @ 1..) = read else { return };
                    let octets = &answered[..count];
                    if let Some(fault) = self.answers && holds(octets, COMMIT).is_some() {
                        match fault {
                            Fault::SwallowAnswer => self.is_stuck = true,
                            _ => return,
                        }
                        continue;
                    }
                    if from.write_all(octets).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// How many of these octets get through, if not all.
    fn meet(&mut self, octets: &[u8]) -> Option<usize> {
        let begins = holds(octets, BEGIN)?;
        match self.next.lock().unwrap().take()? {
            Fault::CutAfter(some) => Some((begins + some).min(octets.len() - 1)),
            fault => {
                self.answers = Some(fault);
                None
            }
        }
    }
}

fn holds(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|some| some == what)
}

/// Lets so much time go by.
pub(crate) async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
