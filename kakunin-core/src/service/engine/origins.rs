//! Under which names the logs' checkpoints are signed: `<host>/<log>/<epoch>`.

use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::store::audit::AuditSink;

/// Host of the public URL, and the epoch that all logs are in. It is one higher after each recovery, so that no name
/// ever stands for two logs that cannot both be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origins {
    host: String,
    epoch: u64,
}

impl Origins {
    /// Those of a deployment that was never recovered.
    pub(crate) const fn first(host: String) -> Self {
        Self { host, epoch: 1 }
    }

    /// Those under which the store's newest checkpoint was signed. Whoever opens the log checks the signature.
    pub(crate) async fn stored(host: String, sink: &dyn AuditSink) -> Result<Self, StoreError> {
        let first = Self::first(host);
        let (_, checkpoint) = sink.head(&LogId::System).await?;
        let origin = checkpoint.as_deref().and_then(|note| note.lines().next());
        // What is not ours is refused as a checkpoint of the first.
        let epoch = origin.and_then(|origin| first.read(origin)).map_or(1, |(_, epoch)| epoch);
        Ok(Self { epoch, ..first })
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Those of another epoch; the first is 1.
    pub(crate) fn in_epoch(&self, epoch: u64) -> Self {
        Self { host: self.host.clone(), epoch }
    }

    pub(crate) fn of(&self, log: &LogId) -> String {
        format!("{}/{log}/{}", self.host, self.epoch)
    }

    /// Which log an origin of this host is of, and in which epoch.
    pub(crate) fn read(&self, origin: &str) -> Option<(LogId, u64)> {
        let (log, epoch) = origin.strip_prefix(&self.host)?.strip_prefix('/')?.rsplit_once('/')?;
        let (log, epoch) = (log.parse().ok()?, epoch.parse().ok()?);
        // One spelling each.
        (epoch > 0 && self.in_epoch(epoch).of(&log) == origin).then_some((log, epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_back_and_nothing_else_is() {
        let origins = Origins::first("ca.example:8443".into()).in_epoch(2);
        let issuer = "ab".repeat(20);
        for log in ["_system".to_owned(), "acme".to_owned(), format!("_revocations-{issuer}")] {
            let id: LogId = log.parse().unwrap();
            assert_eq!(origins.of(&id), format!("ca.example:8443/{log}/2"));
            assert_eq!(origins.read(&origins.of(&id)), Some((id, 2)));
        }
        for other in
            ["ca.example:8443/acme", "ca.example:8443/acme/0", "ca.example:8443/acme/02", "ca.example/acme/1"]
        {
            assert_eq!(origins.read(other), None, "{other}");
        }
        assert_eq!(origins.read("ca.example:8443/acme/+2"), None);
        assert_eq!(origins.read("ca.example:8443/_other/1"), None);
    }
}
