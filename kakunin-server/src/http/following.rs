//! How what follows the logs stands, in the form that strangers may see: no tenant, no key, no figure of traffic.

use kakunin_core::service::{FollowerState, FollowerStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::exposition::Exposition;

/// Something that follows the logs: what is decided is in force without it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Following {
    /// `key_tasks`, `crls`, `feed`, `receipts`, `webhooks`, `graces`, `tenants`, `crl_records`, `root_crls`, `plans`, `endings`, `checks`,
    /// `snapshots` or `index`.
    name: &'static str,
    /// `level`: it has done everything. `behind`: there is something left, which it is about to do. `elsewhere`: another server over the same database
    /// does it. `failing`: its last
    /// attempt failed and is made again, or one has been under way for more than a minute.
    state: &'static str,
    /// What it has found and not done.
    left: usize,
    /// When it had last done everything.
    #[schema(format = DateTime)]
    level_at: Option<String>,
    /// Since when it fails.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// When it is tried again.
    #[schema(format = DateTime)]
    next_attempt: Option<String>,
    /// Why its last attempt failed, as a code that stays.
    code: Option<&'static str>,
    /// The same as a sentence; the server's log has the details.
    error: Option<&'static str>,
}

impl From<&FollowerStatus> for Following {
    fn from(status: &FollowerStatus) -> Self {
        let text = |time: Option<kakunin_core::time::UnixTime>| time.map(|time| time.to_string());
        let code = status.error.as_ref().map(|error| error.code);
        Self {
            name: status.name,
            state: status.state.as_str(),
            left: status.left,
            level_at: text(status.level_at),
            since: text(status.since),
            next_attempt: text(status.next_attempt),
            code,
            error: match status.state {
                FollowerState::Failing => Some(code.map_or(HUNG, sentence)),
                _ => None,
            },
        }
    }
}

const HUNG: &str = "an attempt does not end; whoever it waits for does not answer";

/// What is wrong, without what only the operator should know.
fn sentence(code: &str) -> &'static str {
    match code {
        "key_unavailable" => "the key provider cannot do it now; see that it can be reached",
        "key_store_locked" => "the key provider cannot be opened; see that its secret is the right one",
        "crl_regression" => {
            "a CRL would take back what the last one said; restore the revocations from the log"
        }
        "storage_unavailable" => "the store cannot be reached",
        "vault_unavailable" => "the vault, which keeps the keys of payloads, cannot be reached",
        "storage_corrupt" => {
            "the store is damaged; stop, keep a copy, and compare it with a checkpoint held elsewhere"
        }
        code if code.starts_with("key_") => {
            "the key provider refuses a key; see that it is this deployment's"
        }
        _ => "the server cannot do this now; its log says why",
    }
}

/// The reason code of what fails, unless nothing does; each once.
pub(super) fn reasons(all: &[FollowerStatus]) -> Vec<&'static str> {
    let failing = all.iter().filter(|status| status.state == FollowerState::Failing);
    let mut reasons: Vec<_> = failing.map(|status| reason(status.name)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons
}

fn reason(name: &str) -> &'static str {
    match name {
        "key_tasks" | "receipts" => "key_tasks_failing",
        "crls" | "crl_records" => "crls_failing",
        "root_crls" => "root_crls_ending",
        _ => "followers_failing",
    }
}

/// The same figures of each, by its name.
pub(super) fn write(all: &[FollowerStatus], to: &mut Exposition) {
    let of = |value: fn(&FollowerStatus) -> Option<u64>| {
        let one = move |status: &FollowerStatus| {
            value(status).map(|value| (format!("follower=\"{}\"", status.name), value))
        };
        all.iter().filter_map(one).collect::<Vec<_>>()
    };
    to.gauges(
        "follower_left",
        "What a follower of the logs has found and not done.",
        of(|status| u64::try_from(status.left).ok()),
    );
    to.gauges(
        "follower_failing",
        "Whether the last attempt of a follower failed, or does not end.",
        of(|status| Some(u64::from(status.state == FollowerState::Failing))),
    );
    to.gauges(
        "follower_level_timestamp_seconds",
        "When a follower had last done everything, in seconds since 1970.",
        of(|status| status.level_at.map(|at| at.secs())),
    );
}

#[cfg(test)]
mod tests {
    use kakunin_core::service::FollowerError;
    use kakunin_core::time::UnixTime;

    use super::*;

    fn status(name: &'static str, state: FollowerState, code: Option<&'static str>) -> FollowerStatus {
        let secret = || "awskms:arn:aws:kms:eu-west-1:111122223333:key/1".to_owned();
        FollowerStatus {
            name,
            state,
            logs: 41,
            left: 2,
            behind: 40,
            failing: usize::from(code.is_some()),
            level_at: Some(UnixTime::from_secs(1_795_420_800)),
            since: (state == FollowerState::Failing).then(|| UnixTime::from_secs(1_795_420_801)),
            next_attempt: None,
            error: code.map(|code| FollowerError { code, message: secret() }),
        }
    }

    #[test]
    fn strangers_learn_that_something_fails_and_neither_of_whom_nor_how_much() {
        let all = [
            status("key_tasks", FollowerState::Failing, Some("key_unavailable")),
            status("receipts", FollowerState::Failing, None),
            status("feed", FollowerState::Failing, Some("key_refused")),
            status("crls", FollowerState::Behind, None),
        ];
        assert_eq!(reasons(&all), ["followers_failing", "key_tasks_failing"]);
        let shown = serde_json::to_string(&all.each_ref().map(Following::from)).unwrap_or_default();
        let mut figures = Exposition::default();
        write(&all, &mut figures);
        let figures = figures.into_text();
        for told in [&shown, &figures] {
            assert!(!told.contains("arn") && !told.contains("41") && !told.contains("40,"), "{told}");
        }
        assert!(shown.contains("see that it can be reached") && shown.contains("does not answer"), "{shown}");
        assert!(figures.contains("kakunin_follower_left{follower=\"feed\"} 2\n"), "{figures}");
        assert!(figures.contains("kakunin_follower_failing{follower=\"crls\"} 0\n"), "{figures}");
        let level = "kakunin_follower_level_timestamp_seconds{follower=\"receipts\"} 1795420800\n";
        assert!(figures.contains(level), "{figures}");
    }
}
