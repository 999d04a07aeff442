//! What an operator is told before it is too late.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kakunin_core::id::IssuerId;
use kakunin_core::log::record::{CaRole, Stage};
use kakunin_core::service::{Kakunin, RootCrlEnding};
use kakunin_core::store::audit::Room;
use kakunin_core::time::{Clock, DAY, SECOND, SystemClock};

use super::listening::Listening;
use super::tls::LOOK;
use super::{exposed, pair};
use crate::http::{App, FAILURES, chain};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(30);

/// Warns of authorities that end, once a day and whenever one is nearer than before, of those that their root has revoked,
/// of CRLs of roots that end or cannot be made, and of a log whose time is ahead of
/// the clock, once when it begins and again when it grew; for as long as the server runs.
pub(super) async fn warn(kakunin: Kakunin) {
    let (mut told, mut untold, mut ahead) = (Vec::new(), false, 0);
    let (mut revoked, mut crls) = (Vec::new(), Vec::new());
    loop {
        let news = of_ends(&kakunin, &mut told);
        if (news || untold) && !told.is_empty() {
            let done = kakunin.tell_of_endings().await;
            untold = done.is_err();
            if let Err(error) = done {
                tracing::warn!(error = %chain(&error), "tenants could not be told of an authority that ends; tried again");
            }
        }
        ahead = of_lead(&kakunin, ahead);
        of_revoked(&kakunin, &mut revoked);
        kakunin.tend_root_crls().await;
        of_root_crls(&kakunin, &mut crls);
        FAILURES.tell(false);
        tokio::time::sleep(EVERY).await;
    }
}

/// What was told last: of whom, at which stage, with how many days left.
type Told = (IssuerId, Stage, u64);

/// Says whether there is anything new.
fn of_ends(kakunin: &Kakunin, told: &mut Vec<Told>) -> bool {
    let near: Vec<_> = kakunin.endings().into_iter().filter(|ending| ending.stage > Stage::Far).collect();
    let now: Vec<Told> = near.iter().map(|e| (e.issuer, e.stage, e.left / DAY)).collect();
    for (ending, _) in near.iter().zip(&now).filter(|(_, now)| !told.contains(now)) {
        let (issuer, ends, days) = (ending.issuer, ending.not_after, ending.left / DAY);
        let tenant = ending.tenant.as_ref().map_or("all without their own", |tenant| tenant.as_str());
        let role = match ending.role {
            CaRole::Root => "root",
            CaRole::Issuing => "issuing CA",
        };
        match ending.stage {
            Stage::Ended => tracing::error!(
                %issuer, role, tenant, %ends,
                "a certificate authority has ended: nothing is issued under it; stop the server and replace it (kakunin ca rotate, or request and install)"
            ),
            _ => tracing::warn!(
                %issuer, role, tenant, %ends, days,
                "a certificate authority ends soon; replace it before (kakunin ca rotate, or request and install)"
            ),
        }
    }
    let news = *told != now;
    *told = now;
    news
}

fn of_revoked(kakunin: &Kakunin, told: &mut Vec<IssuerId>) {
    let revoked = kakunin.revoked_authorities();
    for ca in revoked.iter().filter(|ca| !told.contains(&ca.issuer.id())) {
        let tenant = ca.tenant.as_ref().map_or("all without their own", |tenant| tenant.as_str());
        tracing::error!(
            issuer = %ca.issuer.id(), tenant,
            "an issuing CA is on its root's CRL: nothing is issued under it, and nobody accepts what was; stop the server and replace it (kakunin ca rotate, or request and install)"
        );
    }
    *told = revoked.iter().map(|ca| ca.issuer.id()).collect();
}

fn of_root_crls(kakunin: &Kakunin, told: &mut Vec<(RootCrlEnding, u64)>) {
    let now = kakunin.root_crl_endings().into_iter().map(|crl| {
        let days = crl.next_update.map_or(0, |end| end.since(SystemClock.now()) / DAY);
        (crl, if crl.stage > Stage::Far { days } else { 0 })
    });
    let now: Vec<_> = now.collect();
    for (crl, days) in now.iter().filter(|now| !told.contains(now)) {
        let root = crl.root;
        match (crl.next_update, crl.stage) {
            _ if crl.failing => tracing::error!(
                %root, "the CRL of a root cannot be made: its key is gone, or does not sign; who checks whole chains refuses every agent once the last one ends"
            ),
            (None, _) if crl.offline => tracing::warn!(
                %root, "there is no CRL of the offline root here, and certificates below it say that there is: who checks whole chains refuses them (kakunin ca sign-crl there, ca install-crl here)"
            ),
            (Some(ends), Stage::Ended) => tracing::error!(
                %root, %ends, "the CRL of the offline root has ended: who checks whole chains refuses every agent; install the next one (kakunin ca sign-crl there, ca install-crl here)"
            ),
            (Some(ends), Stage::Near | Stage::Urgent) => tracing::warn!(
                %root, %ends, days, "the CRL of the offline root ends soon; install the next one before (kakunin ca sign-crl there, ca install-crl here)"
            ),
            _ => {}
        }
    }
    *told = now;
}

/// Says once that there is no room left, and once that there is some again.
pub(super) async fn of_room(kakunin: &Kakunin, last: Room) -> Room {
    let room = kakunin.room().await;
    match (last.full, room.full) {
        (false, true) => tracing::error!(
            code = "storage_full",
            reserve = room.reserve,
            "no space left for the database: certificates are verified, revoked, halted and held, and nothing else is recorded; free space on its volume"
        ),
        (true, false) => tracing::info!(reserve = room.reserve, "there is space for the database again"),
        (true, true) if room.reserve == 0 && last.reserve > 0 => tracing::error!(
            code = "storage_full",
            "the space that was set aside for revocations is used up: they are not recorded any more; free space on the database's volume"
        ),
        _ => {}
    }
    room
}

fn of_lead(kakunin: &Kakunin, last: u64) -> u64 {
    let ahead = kakunin.log_ahead();
    match (last, ahead) {
        (0, 0) => {}
        (_, 0) => tracing::info!("the clock has caught up with the log"),
        (0, _) => tracing::warn!(
            seconds = ahead / SECOND,
            "the log's time is ahead of the clock: the clock is behind, or was ahead before; validity and ends go by the clock, records by the log"
        ),
        // It shrinks as time goes by, unless the clock was set back again.
        (last, ahead) if ahead > last => {
            tracing::warn!(
                seconds = ahead / SECOND,
                "the log's time is further ahead of the clock than before"
            );
        }
        _ => {}
    }
    ahead
}

/// Looks after the TLS pair, and files that others can read.
#[derive(Debug)]
pub(super) struct Watch {
    listening: Arc<Listening>,
    /// Any of those that there are, with what they share.
    app: App,
    watched: Mutex<Watched>,
}

#[derive(Debug)]
struct Watched {
    files: Vec<(PathBuf, u32)>,
    exposed: BTreeSet<PathBuf>,
    pair: pair::Told,
}

impl Watch {
    /// Looks for the first time, too.
    pub(super) fn new(listening: Arc<Listening>, app: &App, files: Vec<(PathBuf, u32)>) -> Self {
        let watched = Mutex::new(Watched { files, exposed: BTreeSet::new(), pair: None });
        let watch = Self { listening, app: app.clone(), watched };
        watch.look();
        watch
    }

    pub(super) fn set_files(&self, files: Vec<(PathBuf, u32)>) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).files = files;
    }

    pub(super) fn look(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched { files, exposed, pair } = &mut *watched;
        let (public_url, seen) = (&self.app.kakunin.place().public_url, &self.app.surroundings);
        let host = pair::host_of(public_url);
        let tls = self.listening.tls.as_ref();
        let now = tls.and_then(|tls| pair::pair_of(&tls.chain(), host.as_deref()));
        seen.set_pair(now);
        pair::warn(now, self.app.now(), public_url, pair);
        seen.set_exposed(exposed::warn(files, exposed));
    }

    pub(super) async fn look_for_ever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look();
        }
    }
}
