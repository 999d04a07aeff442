//! What an operator is told before it is too late.

use std::sync::Arc;
use std::time::Duration;

use kakunin_core::id::IssuerId;
use kakunin_core::log::record::{CaRole, Stage};
use kakunin_core::service::{
    FollowerError, FollowerState, FollowerStatus, Kakunin, RefusedCrl, RootCrlEnding,
};
use kakunin_core::store::audit::Room;
use kakunin_core::store::postgres::PostgresStore;
use kakunin_core::time::{Clock, DAY, SECOND, SystemClock};

use super::upkeep;
use crate::http::FAILURES;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// At which of those looks people are told of what grows all the time.
const SLOWLY: u32 = 30;

/// Warns of followers that fail, of a store that is full or that somebody else wrote to; of authorities that end, once a
/// day and whenever one is nearer than before, of those that their root has revoked, of CRLs of roots that end or cannot
/// be made, and of a log whose time is ahead of the clock, once when it begins and again when it grew; for as long as the
/// server runs.
pub(super) async fn warn(kakunin: Kakunin, store: Option<Arc<PostgresStore>>) {
    let mut database = store.map(|store| upkeep::Database::of(store, &kakunin));
    let (mut failing, mut refused, mut named, mut room) = (Vec::new(), Vec::new(), 0, Room::default());
    let (mut ends, mut revoked, mut crls) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ahead, mut disbelieved) = (0, false);
    for look in (0..SLOWLY).cycle() {
        if let Some(database) = &mut database {
            database.look(&kakunin, look == 0).await;
        }
        of_followers(&kakunin, &mut failing);
        of_refused(&kakunin, &mut refused);
        room = of_room(&kakunin, room).await;
        for what in kakunin.damage().named.iter().skip(named) {
            tracing::error!(%what, "the store was changed by somebody else");
            named += 1;
        }
        of_ends(&kakunin, &mut ends);
        of_revoked(&kakunin, &mut revoked);
        of_root_crls(&kakunin, &mut crls);
        if look == 0 {
            ahead = of_lead(&kakunin, ahead);
            disbelieved = of_clock(&kakunin, disbelieved);
            FAILURES.tell(false);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Says once of each follower that it fails, and with which code, and once that it does no more.
fn of_followers(kakunin: &Kakunin, told: &mut Vec<(&'static str, Option<&'static str>)>) {
    let all = kakunin.followers().into_iter().filter(|status| status.state == FollowerState::Failing);
    let all: Vec<_> = all.collect();
    let now: Vec<_> = all.iter().map(|status| (status.name, status.error.as_ref().map(|e| e.code))).collect();
    for (status, _) in all.iter().zip(&now).filter(|(_, now)| !told.contains(now)) {
        let FollowerStatus { name, left, failing, error, .. } = status;
        match error {
            Some(FollowerError { code, message }) => {
                tracing::warn!(
                    follower = name,
                    left,
                    logs = failing,
                    code,
                    error = message,
                    "a follower of the logs fails; it is tried again"
                );
            }
            None => tracing::warn!(
                follower = name,
                left,
                "an attempt of a follower of the logs does not end: whoever it waits for does not answer"
            ),
        }
    }
    let over = |name: &&str| now.iter().all(|(failing, _)| failing != name);
    let mut over: Vec<_> = told.iter().map(|(name, _)| *name).filter(over).collect();
    over.dedup();
    for follower in over {
        tracing::info!(follower, "a follower of the logs goes on");
    }
    *told = now;
}

fn of_refused(kakunin: &Kakunin, told: &mut Vec<RefusedCrl>) {
    let refused = kakunin.publishing().refused;
    for crl in refused.iter().filter(|crl| !told.contains(crl)) {
        tracing::error!(issuer = %crl.issuer, shard = crl.shard, why = %crl.why, "a CRL is not published");
    }
    *told = refused;
}

/// What was told last: of whom, at which stage, with how many days left.
type Told = (IssuerId, Stage, u64);

fn of_ends(kakunin: &Kakunin, told: &mut Vec<Told>) {
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
    *told = now;
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
async fn of_room(kakunin: &Kakunin, last: Room) -> Room {
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

/// Says once that the clock is not believed, and once that it is again.
fn of_clock(kakunin: &Kakunin, last: bool) -> bool {
    let seconds = kakunin.clock_disbelieved() / SECOND;
    let disbelieved = kakunin.clock_disbelieved() > 0;
    match (last, disbelieved) {
        (false, true) => tracing::error!(
            seconds,
            "the clock is further ahead of the last record than can be right, and the log goes on without it: put it right, or if it is, start once with --believe-clock"
        ),
        (true, false) => tracing::info!("the clock can be right again"),
        _ => {}
    }
    disbelieved
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
