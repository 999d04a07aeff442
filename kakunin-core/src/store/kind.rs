//! The tables of state: what rows there are, under which key, in which version.

use crate::error::StoreError;

/// A table of rows. Each has rows of one type, in the logs that it belongs to.
///
/// | table | log | key | row |
/// |---|---|---|---|
/// | `Agent` | tenant | agent id | the agent and what is under way for it, JSON |
/// | `Certificate` | tenant | serial | the certificate, PEM |
/// | `Standing` | tenant | serial; or agent id and place, newest first | how it stands, JSON; or its serial |
/// | `Plan` | tenant | index and more, or a stop's receipt | what a key provider is to be told, JSON |
/// | `Dedup` | tenant | agent id, kind, reporter, number | up to where events were seen |
/// | `Inbox` | tenant | index, newest first | an item, JSON |
/// | `Risk` | tenant | agent id, and which part | its history, usage, tally, as of the last snapshot |
/// | `Cursor` | all | the follower and what it follows | how far it has come |
/// | `Seal` | all | `rows`, `histories` | a head, and the MAC over what follows from it |
/// | `Vault` | system | name | a secret: see [`Vault`](crate::store::vault::Vault) |
/// | `Deployment` | system | `made`, `sealed`, `admin-key` | the record that says so, or the key's id, JSON |
/// | `Authority` | system | index of its record, 8 octets | that record, JSON |
/// | `Tenant` | system | tenant id | who may read what its CAs revoked, JSON |
/// | `ApiKey` | system | key id | what is on record of it, JSON |
/// | `ApiKeyCommitment` | system | key id | what commits to its hash, where its own record does not, JSON |
/// | `CrlMark` | system | issuer and coverage | number and thisUpdate of the last CRL, 8 octets each |
/// | `Crl` | system | issuer and coverage | what the next CRL is held against, and the CRL if it is small |
/// | `Policy` | tenant | index of its record, 8 octets | the policy, JSON |
/// | `Breaker` | tenant | `breaker` | identities lost of late, and whether it tripped, JSON |
/// | `Approval` | tenant | approval id | an order that waits for a second person, JSON |
/// | `Webhook` | tenant | webhook id | an endpoint, and since which record, JSON |
/// | `Delivery` | tenant | webhook id, `q`, agent id, index; or webhook id, `h`, index, newest first | a delivery that waits, or what became of it, JSON |
/// | `ReadMark` | tenant | who | which items of the inbox they have read, JSON |
/// | `Index` | tenant | block, subject, segment; or subject, block | where in the log it occurs, and as what: see `service/state/index.rs` |
/// | `Tile` | tenant | level, index, 8 octets; or how far each level has come | the root of 256 to the power of level leaves |
/// | `Layout` | system | code of a table, one octet | the version of its rows, two octets |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Agents. Projection.
    Agent,
    /// Certificates of agents. Projection.
    Certificate,
    /// What key providers are yet to be told. Projection.
    Plan,
    /// High-water marks of event streams, and event ids. Projection.
    Dedup,
    /// The inbox. Projection.
    Inbox,
    /// Risk histories with the index they were taken at. Rebuilt by replay, written at intervals.
    Risk,
    /// Secrets that are never in the log. Never rebuilt.
    Vault,
    /// Cursors of followers. Never rebuilt: a lost one means that effects are tried again.
    Cursor,
    /// How certificates stand, and which an agent has. Projection.
    Standing,
    /// What the rows of a log must amount to, under a MAC. Written with them.
    Seal,
    /// How the deployment was made, and what holds for all of it. Projection.
    Deployment,
    /// Certificate authorities. Projection.
    Authority,
    /// Tenants. Projection.
    Tenant,
    /// API keys that are not revoked. Projection.
    ApiKey,
    /// Commitments to the hashes of API keys of older versions. Projection.
    ApiKeyCommitment,
    /// Marks of the last CRLs. Projection.
    CrlMark,
    /// The last CRLs. Never rebuilt: a lost one is made anew, above its mark.
    Crl,
    /// Versions of the rows of each table.
    Layout,
    /// What tenants decided over scores. Projection.
    Policy,
    /// Brakes of automatic revocation. Projection.
    Breaker,
    /// Orders that wait for a second person. Projection.
    Approval,
    /// Endpoints that are told what is on record. Projection.
    Webhook,
    /// Deliveries to them. Never rebuilt: lost ones are made again, or not known any more.
    Delivery,
    /// What people have read of the inbox. Never rebuilt: a lost one means that items show as new again.
    ReadMark,
    /// Where agents, certificates and kinds of records occur in the log. Projection that a follower makes.
    Index,
    /// Hashes of the log's tree. Never rebuilt at once: a lost one is made anew from the leaves.
    Tile,
}

impl Kind {
    /// All tables.
    pub const ALL: [Self; 26] = [
        Self::Agent,
        Self::Certificate,
        Self::Plan,
        Self::Dedup,
        Self::Inbox,
        Self::Risk,
        Self::Vault,
        Self::Cursor,
        Self::Standing,
        Self::Seal,
        Self::Deployment,
        Self::Authority,
        Self::Tenant,
        Self::ApiKey,
        Self::ApiKeyCommitment,
        Self::CrlMark,
        Self::Crl,
        Self::Layout,
        Self::Policy,
        Self::Breaker,
        Self::Approval,
        Self::Webhook,
        Self::Delivery,
        Self::ReadMark,
        Self::Index,
        Self::Tile,
    ];

    /// Stable number, as stores keep it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Agent => 1,
            Self::Certificate => 2,
            Self::Plan => 3,
            Self::Dedup => 4,
            Self::Inbox => 5,
            Self::Risk => 6,
            Self::Vault => 7,
            Self::Cursor => 8,
            Self::Standing => 9,
            Self::Seal => 10,
            Self::Deployment => 11,
            Self::Authority => 12,
            Self::Tenant => 13,
            Self::ApiKey => 14,
            Self::ApiKeyCommitment => 15,
            Self::CrlMark => 16,
            Self::Crl => 17,
            Self::Layout => 18,
            Self::Policy => 19,
            Self::Breaker => 20,
            Self::Webhook => 21,
            Self::Delivery => 22,
            Self::Approval => 24,
            Self::ReadMark => 23,
            Self::Index => 27,
            Self::Tile => 28,
        }
    }

    /// The version of its rows that this program reads and writes. What changes a row so that an earlier program would
    /// misread it raises the number, and brings older rows here when a deployment is opened.
    #[must_use]
    pub const fn version(self) -> u16 {
        1
    }

    /// Key and value of the row of [`Kind::Layout`] that says which version this table's rows are of.
    #[must_use]
    pub fn layout(self) -> (Vec<u8>, Vec<u8>) {
        (vec![self.code()], self.version().to_be_bytes().to_vec())
    }

    /// How many tables of a deployment are, by its rows of [`Kind::Layout`], of this program's versions: fewer than
    /// [`Kind::ALL`] if some are not there yet, 0 if none says so, as before there were versions.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if some are of a later version, or of a table that is not known here.
    pub fn current(layout: &[(Vec<u8>, Vec<u8>)]) -> Result<usize, StoreError> {
        for (code, version) in layout {
            let known = Self::ALL.into_iter().find(|kind| *code == [kind.code()]);
            if known.is_none_or(|kind| *version != kind.version().to_be_bytes()) {
                return Err(StoreError::Foreign(format!(
                    "its rows of table {code:?} are of version {version:?}, which this program does not know; use the \
                     program that wrote them, or update this one"
                )));
            }
        }
        Ok(layout.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_a_number_of_its_own_and_later_versions_are_refused() {
        let codes: std::collections::HashSet<_> = Kind::ALL.into_iter().map(Kind::code).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        let current: Vec<_> = Kind::ALL.into_iter().map(Kind::layout).collect();
        assert_eq!([current.as_slice(), &[]].map(|rows| Kind::current(rows).unwrap()), [current.len(), 0]);
        let (later, unknown) = ((vec![1], vec![0, 2]), (vec![200], vec![0, 1]));
        for row in [later, unknown] {
            let refused = Kind::current(&[current.as_slice(), &[row]].concat()).unwrap_err();
            assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
        }
    }
}
