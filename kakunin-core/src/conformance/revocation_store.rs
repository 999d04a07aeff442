//! [`RevocationStore`].

use std::sync::Arc;

use super::at_once;
use crate::id::{AgentId, IssuerId, Serial};
use crate::revoke::{Cause, Revocation, RevocationChange};
use crate::store::revocations::RevocationStore;
use crate::time::UnixTime;

/// Every property but surviving a restart, which needs [`acknowledged_is_present_after_reopening`]. The
/// store must be empty.
pub async fn all(store: &dyn RevocationStore) {
    applying_is_idempotent_by_index(store).await;
    the_first_revocation_wins(store).await;
    a_hold_gives_way_and_only_holds_are_released(store).await;
    what_stands_is_listed_in_order(store).await;
    issuers_are_apart(store).await;
    sixty_four_issuers_at_once(store).await;
}

const fn issuer(n: u8) -> IssuerId {
    IssuerId::from_bytes([n; 20])
}

fn serial(n: u8) -> Serial {
    Serial::from_bytes([n.saturating_add(1).min(0x7f); 16]).unwrap()
}

fn revoked(of: u8, n: u8, cause: Cause) -> RevocationChange {
    RevocationChange::Revoked(Revocation {
        issuer: issuer(of),
        serial: serial(n),
        agent: AgentId::from_bytes([n; 16]),
        at: UnixTime::from_secs(1_795_420_800),
        cause,
        expires: UnixTime::from_secs(1_800_000_000),
        shard: u16::from(n),
    })
}

fn released(of: u8, n: u8) -> RevocationChange {
    RevocationChange::Released { issuer: issuer(of), serial: serial(n) }
}

async fn cause(store: &dyn RevocationStore, of: u8, n: u8) -> Option<Cause> {
    store.find(&issuer(of), &serial(n)).await.unwrap().map(|r| r.cause)
}

/// An index that was applied is passed over.
pub async fn applying_is_idempotent_by_index(store: &dyn RevocationStore) {
    assert_eq!(store.applied(&issuer(1)).await.unwrap(), 0);
    let changes = [(0, revoked(1, 1, Cause::KeyCompromise)), (1, revoked(1, 2, Cause::Retired))];
    store.apply(&issuer(1), &changes).await.unwrap();
    store.apply(&issuer(1), &changes).await.unwrap();
    store.apply(&issuer(1), &[(1, revoked(1, 9, Cause::Retired))]).await.unwrap();
    assert_eq!(store.applied(&issuer(1)).await.unwrap(), 2);
    assert_eq!((cause(store, 1, 1).await, cause(store, 1, 9).await), (Some(Cause::KeyCompromise), None));
    store.apply(&issuer(1), &[]).await.unwrap();
}

/// A second revocation of a serial changes nothing.
pub async fn the_first_revocation_wins(store: &dyn RevocationStore) {
    store.apply(&issuer(2), &[(0, revoked(2, 1, Cause::Superseded))]).await.unwrap();
    store.apply(&issuer(2), &[(1, revoked(2, 1, Cause::KeyCompromise))]).await.unwrap();
    assert_eq!(cause(store, 2, 1).await, Some(Cause::Superseded));
    assert_eq!(store.applied(&issuer(2)).await.unwrap(), 2);
}

/// A hold becomes a revocation, or is released; a revocation is neither held nor released.
pub async fn a_hold_gives_way_and_only_holds_are_released(store: &dyn RevocationStore) {
    let changes = [
        revoked(3, 1, Cause::Hold),
        revoked(3, 1, Cause::RegulatoryOrder),
        released(3, 1),
        revoked(3, 1, Cause::Hold),
        revoked(3, 2, Cause::Hold),
        released(3, 2),
        released(3, 3),
        revoked(3, 2, Cause::Hold),
    ];
    let indexed: Vec<_> = (0..).zip(changes).collect();
    store.apply(&issuer(3), &indexed).await.unwrap();
    assert_eq!(cause(store, 3, 1).await, Some(Cause::RegulatoryOrder));
    assert_eq!((cause(store, 3, 2).await, cause(store, 3, 3).await), (Some(Cause::Hold), None));
    let indices: Vec<_> = store.after(&issuer(3), 0, 9).await.unwrap().into_iter().map(|(i, _)| i).collect();
    assert_eq!(indices, [1, 7], "what stands, with the index that made it so");
}

/// The list is strictly increasing, begins at the cursor and ends at the limit.
pub async fn what_stands_is_listed_in_order(store: &dyn RevocationStore) {
    let changes: Vec<_> = (0..20_u8).map(|n| (u64::from(n), revoked(4, n, Cause::Retired))).collect();
    store.apply(&issuer(4), &changes).await.unwrap();
    let (mut cursor, mut seen) = (0, Vec::new());
    loop {
        let page = store.after(&issuer(4), cursor, 6).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        cursor = last + 1;
        assert!(page.len() <= 6 && page.windows(2).all(|w| w[0].0 < w[1].0));
        seen.extend(page.into_iter().map(|(_, r)| r.serial));
    }
    assert_eq!(seen, (0..20).map(serial).collect::<Vec<_>>());
    assert!(store.after(&issuer(4), 20, 6).await.unwrap().is_empty());
}

/// One serial of another issuer is another certificate.
pub async fn issuers_are_apart(store: &dyn RevocationStore) {
    store.apply(&issuer(5), &[(0, revoked(5, 1, Cause::Retired))]).await.unwrap();
    assert_eq!(cause(store, 6, 1).await, None);
    assert_eq!(store.applied(&issuer(6)).await.unwrap(), 0);
}

/// Many issuers' lists grow at once, each with its own serials and no other's.
pub async fn sixty_four_issuers_at_once(store: &dyn RevocationStore) {
    at_once(64, |i| async move {
        let of = 100 + u8::try_from(i).unwrap();
        for n in 0..5 {
            store.apply(&issuer(of), &[(u64::from(n), revoked(of, n, Cause::Retired))]).await.unwrap();
        }
        let standing = store.after(&issuer(of), 0, 9).await.unwrap();
        assert_eq!(standing.len(), 5);
        assert!(standing.iter().all(|(_, r)| r.issuer == issuer(of)));
    });
}

/// A revocation outlives the process, and is not applied twice.
pub async fn acknowledged_is_present_after_reopening(open: impl Fn() -> Arc<dyn RevocationStore>) {
    for n in 0..3_u8 {
        let store = open();
        assert_eq!(store.applied(&issuer(7)).await.unwrap(), u64::from(n));
        let again = u64::from(n.saturating_sub(1));
        if n > 0 {
            store.apply(&issuer(7), &[(again, revoked(7, 9, Cause::Retired))]).await.unwrap();
        }
        store.apply(&issuer(7), &[(u64::from(n), revoked(7, n, Cause::Retired))]).await.unwrap();
    }
    let standing = open().after(&issuer(7), 0, 9).await.unwrap();
    assert_eq!(
        standing.iter().map(|(_, r)| r.serial).collect::<Vec<_>>(),
        (0..3).map(serial).collect::<Vec<_>>()
    );
}
