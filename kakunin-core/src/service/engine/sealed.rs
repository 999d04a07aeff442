//! Rows that carry a MAC, as they are read.

use super::inner::Inner;
use super::system;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::store::state::{Change, Kind};

impl Inner {
    /// Whether what is not under a seal was written by somebody else.
    pub(crate) fn is_sealed(&self) -> bool {
        self.known.read(|state| state.sealed.is_some())
    }

    /// The value of a row that carries a MAC; `None`, and noted, if somebody else wrote it.
    pub(crate) fn opened_one(&self, log: &LogId, kind: Kind, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let opened = self.seal_key.open(&log.to_string(), kind, key, value);
        if opened.is_none() && !self.is_sealed() {
            return Some(value.to_vec());
        }
        if opened.is_none() {
            self.damages.row(log, kind, key);
        }
        opened
    }

    /// Those rows that are under their MAC; others are noted and taken away.
    pub(crate) async fn opened(
        &self,
        log: &LogId,
        kind: Kind,
        rows: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let (mut opened, mut gone) = (Vec::with_capacity(rows.len()), Vec::new());
        for (key, value) in rows {
            match self.opened_one(log, kind, &key, &value) {
                Some(value) => opened.push((key, value)),
                None => gone.push(Change { kind, key, value: None }),
            }
        }
        if !gone.is_empty() {
            self.parts.state.put(log, &gone).await?;
        }
        Ok(opened)
    }

    /// Every row of a kind whose rows carry a MAC. Others are left out, and noted: nobody here wrote them.
    pub(crate) async fn scan(&self, log: &LogId, kind: Kind) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
        Ok(self.opened(log, kind, system::scan(&self.parts, log, kind).await?).await?)
    }
}
