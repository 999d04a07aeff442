//! Drives all followers: the one list of them, and the one loop.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::crl::{CrlRecords, Crls, OfRoots};
use super::ending::Endings;
use super::erasures::Erasures;
use super::expiring::Expiring;
use super::feed::Feeds;
use super::follower::Follower;
use super::graces::Graces;
use super::guards::Guards;
use super::indexing::Indexing;
use super::key_tasks::KeyTasks;
use super::plans::Plans;
use super::receipts::Receipts;
use super::running::{Kakunin, Running};
use super::sealing::Checks;
use super::snapshots::Snapshots;
use super::status::FollowerStatus;
use super::sweep::Tenants;
use super::tiles::Tiles;
use super::unit::{GATHER, Unit};
use super::webhooks::Webhooks;
use crate::time::SECOND;

/// What takes trust away comes first.
const FOLLOWERS: [&dyn Follower; 18] = [
    &KeyTasks,
    &Crls,
    &Feeds,
    &Receipts,
    &Webhooks,
    &Graces,
    &Erasures,
    &Tenants,
    &CrlRecords,
    &OfRoots,
    &Guards,
    &Plans,
    &Endings,
    &Expiring,
    &Checks,
    &Snapshots,
    &Tiles,
    &Indexing,
];

/// How long appends are gathered while more wait for a turn than there are at once, in milliseconds.
const HURRY: u64 = 5;
/// How long it sleeps at the most: a clock that jumped is noticed then.
const NAP: u64 = SECOND;

impl Kakunin {
    /// Does what follows from the logs, for as long as it is polled: tells the key provider what was decided, publishes
    /// CRLs, cosigns the feed, has receipts signed, tells webhooks, ends graces, destroys keys of what was erased, tells inboxes of authorities and certificates that end, stores risk histories and hashes of the logs,
    /// indexes logs, and looks after what is stored. An append wakes it; `sleep` waits for the rest, for example `tokio::time::sleep`:
    ///
    /// ```no_run
    /// # mod tokio {
    /// #     pub mod time { pub async fn sleep(_: std::time::Duration) {} }
    /// #     pub fn spawn(_: impl Future + Send + 'static) {}
    /// # }
    /// # fn spawned(kakunin: kakunin_core::service::Kakunin) {
    /// tokio::spawn(kakunin.clone().run(tokio::time::sleep));
    /// # }
    /// ```
    ///
    /// One that fails is tried again, after 1 s and then twice as long, up to a minute, and holds up no other; how each
    /// stands is in [`Kakunin::followers`]. It never ends. Dropped and begun again it loses nothing; two at once do each
    /// thing once. All tenants are loaded, so that theirs are done too.
    ///
    /// Over a store that other processes share it also hears what they append: whoever has not polled it for 15 s is refused
    /// what it reads and decides, since trust may have been taken away elsewhere.
    pub async fn run<S, F>(self, sleep: S) -> Infallible
    where
        S: Fn(Duration) -> F + Send,
        F: Future<Output = ()> + Send,
    {
        let running = &*self.inner;
        let followers = pin!(running.run_followers(sleep));
        match select(followers, pin!(running.follow_others())).await {
            Either::Left((never, _)) | Either::Right((never, _)) => never,
        }
    }

    /// How each follower stands: see [`Kakunin::run`].
    #[must_use]
    pub fn followers(&self) -> Vec<FollowerStatus> {
        let (units, now) = (&self.inner.units, self.inner.now());
        let of = |follower: &&dyn Follower| {
            let status = units.status(follower.name(), now);
            if self.inner.is_due_here(*follower) { status } else { status.elsewhere() }
        };
        FOLLOWERS.iter().map(of).collect()
    }
}

impl Running {
    /// Gives each follower its turns.
    async fn run_followers<S, F>(&self, sleep: S) -> Infallible
    where
        S: Fn(Duration) -> F + Send,
        F: Future<Output = ()> + Send,
    {
        let (mut turns, mut units, mut listed) = (Turns::default(), Vec::new(), None);
        loop {
            // Before the look, so that what is appended in between wakes it.
            let grown = self.commits.listen();
            let now = self.now();
            // Tenants and authorities come seldom, and there may be many.
            if listed.is_none_or(|at| at > now || now.since(at) >= SECOND) {
                self.look_at_duty().await;
                units = self.all_units();
                listed = Some(now);
            }
            let nap = turns.begin(self, &units);
            self.rounds.notify(usize::MAX);
            turns.until(grown, sleep(Duration::from_millis(nap.max(GATHER))), true).await;
            // What comes after a quiet time is looked at at once.
            let gather = if turns.crowded { HURRY } else { GATHER };
            let gather = gather.saturating_sub(self.now().since(now));
            if gather > 0 {
                turns.until(pending(), sleep(Duration::from_millis(gather)), false).await;
            }
        }
    }

    /// Each follower at each of its logs.
    fn all_units(&self) -> Vec<(usize, Arc<Unit>)> {
        let of = |(n, follower): (usize, &&dyn Follower)| {
            self.units_of(*follower).into_iter().map(move |unit| (n, unit)).collect::<Vec<_>>()
        };
        FOLLOWERS.iter().enumerate().flat_map(of).collect()
    }
}

/// Turns that are under way.
#[derive(Default)]
struct Turns<'r> {
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = usize> + Send + 'r>>>,
    /// How many, of each follower.
    of: [usize; FOLLOWERS.len()],
    /// Whether some wait for others to end.
    crowded: bool,
    /// Whose turn it is first, so that nobody is passed over for ever.
    first: usize,
}

impl<'r> Turns<'r> {
    /// Begins the turn of everyone whose turn it is, and says in how many milliseconds it is somebody else's.
    fn begin(&mut self, running: &'r Running, units: &[(usize, Arc<Unit>)]) -> u64 {
        let (now, mut nap) = (running.now(), NAP);
        let first = self.first.min(units.len());
        let (after, before) = units.split_at(first);
        self.crowded = false;
        for (at, (n, unit)) in (first..).zip(before).chain((0..).zip(after)) {
            if FOLLOWERS.get(*n).is_some_and(|follower| !running.is_due_here(*follower)) {
                continue;
            }
            let wait = unit.wait(now);
            if wait > 0 {
                nap = nap.min(wait);
                continue;
            }
            let (Some(follower), Some(of)) = (FOLLOWERS.get(*n), self.of.get_mut(*n)) else { continue };
            if *of >= follower.at_once() {
                self.crowded = true;
                continue;
            }
            // Somebody else has it: a caller, or another that runs.
            let Some(mut memory) = unit.turn.try_lock_arc() else { continue };
            (*of, self.first) = (*of + 1, at + 1);
            let (n, unit) = (*n, unit.clone());
            self.under_way.push(Box::pin(async move {
                // What fails is in the status, and tried again.
                let _ = running.turn(*follower, &unit, &mut memory).await;
                n
            }));
        }
        nap
    }

    /// Goes on with all of them until one of the two ends, or, if that `counts`, one of them.
    async fn until(&mut self, one: impl Future<Output = ()>, other: impl Future<Output = ()>, counts: bool) {
        let (mut one, mut other) = (pin!(one), pin!(other));
        poll_fn(|context| {
            let mut ended = false;
            while let Poll::Ready(Some(n)) = self.under_way.poll_next_unpin(context) {
                if let Some(of) = self.of.get_mut(n) {
                    *of -= 1;
                }
                ended = counts;
            }
            // Both are polled, so that both wake it.
            let (one, other) = (one.as_mut().poll(context), other.as_mut().poll(context));
            if ended || one.is_ready() || other.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
