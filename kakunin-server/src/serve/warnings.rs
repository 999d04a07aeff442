//! What an operator is told before it is too late.

use std::time::Duration;

use kakunin_core::id::IssuerId;
use kakunin_core::log::record::{CaRole, Stage};
use kakunin_core::log::sink::Room;
use kakunin_core::service::Kakunin;
use kakunin_core::time::{DAY, SECOND};

use crate::http::chain;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(30);

/// Warns of authorities that end, once a day and whenever one is nearer than before, and of a log whose time is ahead of
/// the clock, once when it begins and again when it grew; for as long as the server runs.
pub(super) async fn warn(kakunin: Kakunin) {
    let (mut told, mut untold, mut ahead) = (Vec::new(), false, 0);
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
