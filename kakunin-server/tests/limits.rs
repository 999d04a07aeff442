//! The numbers of `docs/THREAT-MODEL.md` are those of the code: each stands beside the line that sets it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::Path;

/// What the document says, and where the code says so.
const LIMITS: &str = "\
600,000 PBKDF2 rounds | kakunin-kms/src/local/keystore.rs | NonZeroU32::new(600_000)
300 misses a minute and address | kakunin-server/src/http/limits.rs | MISSES_A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(299)
four times an hour | kakunin-core/src/service/limits.rs | SELF_RENEWALS: usize = 4
after a tenth of the certificate's life | kakunin-core/src/service/command/renewal.rs | SELF_RENEWAL_PART: u64 = 10
more than a day late | kakunin-core/src/service/limits.rs | MAX_LATENESS: u64 = DAY
again within 10 min by the server's clock | kakunin-core/src/service/command/repeat.rs | REPEATABLE: u64 = 10 * MINUTE
once, within 10 min | kakunin-core/src/service/command/enrol.rs | MAX_JOIN_TOKEN_LIFE: u64 = 10 * MINUTE
until the new one is used, or 5 min | kakunin-core/src/service/deployment/config.rs | RENEWAL_GRACE: u64 = 5 * MINUTE
for 20 s of what the verifier knows | kakunin-verify/src/policy.rs | MAX_STALENESS: u64 = 20 * SECOND
the 100 places of its address | kakunin-server/src/http/options.rs | DEFAULT_FEED_PER_ADDRESS: usize = 100
with a key the half of its tenant | kakunin-server/src/http/streams.rs | Places::new(per_address, subscribers.div_ceil(2))
who does not read is cut after 20 s | kakunin-server/src/http/streams.rs | STALL: Duration = Duration::from_secs(20)
more than 5 s after the switch | kakunin-server/src/http/streams.rs | HEARTBEAT: Duration = Duration::from_secs(5)
4,096 records a second while it runs | kakunin-core/src/service/effects/sealing.rs | STEP: u64 = 4_096
HTTP bodies 2 MiB | kakunin-server/src/http/json.rs | MAX_BODY: usize = 2 * 1024 * 1024
of strangers 128 KiB | kakunin-server/src/http/routes.rs | MAX_ANONYMOUS_BODY: usize = 128 * 1024
heads 64 KiB | kakunin-server/src/serve/connection.rs | MAX_HEAD: usize = 64 * 1024
over HTTP/2 32 KiB | kakunin-server/src/serve/connection.rs | MAX_HEADER_LIST: u32 = 32 * 1024
and 32 streams | kakunin-server/src/serve/connection.rs | MAX_STREAMS: u32 = 32
10 s from accept to a head | kakunin-server/src/serve/options.rs | head: seconds(10)
75 s between requests | kakunin-server/src/serve/options.rs | idle: seconds(75)
20 s beyond 64 KiB/s | kakunin-server/src/serve/options.rs | stall: seconds(20)
20 s beyond 64 KiB/s | kakunin-server/src/serve/pace.rs | RATE: u32 = 64 * 1024
30 s a request | kakunin-server/src/http/frame.rs | TIMEOUT: Duration = Duration::from_secs(30)
10,000 connections | kakunin-server/src/serve/listener.rs | MAX_CONNECTIONS: usize = 10_000
500 an address | kakunin-server/src/serve/options.rs | DEFAULT_CONNECTIONS_PER_ADDRESS: usize = 500
2,000 an IPv6 /48 | kakunin-server/src/serve/listener.rs | SITE: usize = 4
32 MiB of bodies an address | kakunin-server/src/serve/arriving.rs | MOST_OF_ONE: usize = 32 * 1024 * 1024
512 MiB in all | kakunin-server/src/serve/arriving.rs | MOST_OF_ALL: usize = 512 * 1024 * 1024
32 in line a tenant | kakunin-server/src/http/listings.rs | LINE: usize = 32
2,048 records opened a search | kakunin-core/src/service/query/filling.rs | MAX_SCAN: usize = 2_048
8,192 looked at | kakunin-core/src/service/query/filling.rs | MAX_LOOK: u64 = 8_192
2,048 notifications a page | kakunin-core/src/service/query/inbox.rs | MAX_SCAN: usize = 2_048
64 inbox streams a tenant | kakunin-server/src/http/inboxes.rs | OF_ONE: usize = 64
512 of all tenants | kakunin-server/src/http/inboxes.rs | STREAMS: usize = 512
8 a tenant and 64 in all | kakunin-server/src/http/ingests.rs | OF_ONE: usize = 8
8 a tenant and 64 in all | kakunin-server/src/http/ingests.rs | STREAMS: usize = 64
lines of 64 KiB | kakunin-server/src/http/lines.rs | MAX_LINE: usize = 64 * 1024
60 s without a line | kakunin-server/src/http/ingest.rs | IDLE: Duration = Duration::from_secs(60)
proofs of 16,384 records | kakunin-core/src/service/query/proofs.rs | MAX_PROVEN: u64 = 16_384
1,000 single read marks a key | kakunin-core/src/service/limits.rs | MAX_READ_MARKS: usize = 1_000
`verify` 2,000 | kakunin-server/src/http/limits.rs | DEFAULT_KEY_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_999)
`verify` 2,000 | kakunin-server/src/http/limits.rs | Self::Card => 1,
CRLs, CAs and the description 500 | kakunin-server/src/http/limits.rs | Self::File => 4,
pages, streams, enrolment and health 100 | kakunin-server/src/http/limits.rs | Self::Page | Self::Stream | Self::Enrolment | Self::Health => 20,
messages 50 | kakunin-server/src/http/limits.rs | Self::Message => 40,
snapshots 20 | kakunin-server/src/http/limits.rs | Self::Snapshot => 100,
10 of an agent without an identity | kakunin-server/src/http/limits.rs | GONE_A_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9)
1,120,000 nonces | kakunin-verify/src/possession/nonces.rs | RATE: usize = 2_000
1,120,000 nonces | kakunin-verify/src/possession/nonces.rs | LIFE: usize = 70
an eighth | kakunin-verify/src/possession/nonces.rs | AGENTS: usize = 8
signatures are 60 s old | kakunin-verify/src/possession/profile.rs | MAX_AGE: u64 = 60 * SECOND
10 s ahead at most | kakunin-verify/src/possession/profile.rs | MAX_AHEAD: u64 = 10 * SECOND
Certificates and requests 16 KiB | kakunin-core/src/x509/certificate.rs | MAX_CERTIFICATE_LEN: usize = 16 * 1024
Certificates and requests 16 KiB | kakunin-core/src/x509/csr/mod.rs | MAX_REQUEST_LEN: usize = 16 * 1024
32 extensions | kakunin-core/src/x509/certificate.rs | MAX_EXTENSIONS: usize = 32
chains of 8 | kakunin-verify/src/checker.rs | MAX_CHAIN: usize = 8
leaves 512 octets | kakunin-core/src/log/leaf.rs | MAX_LEAF_LEN: usize = 512
events 32 KiB | kakunin-core/src/event/report.rs | MAX_EVENT_LEN: usize = 32 * 1024
details 16 KiB | kakunin-core/src/event/names.rs | MAX_DETAILS_LEN: usize = 16 * 1024
1,000 events a call | kakunin-core/src/service/limits.rs | MAX_EVENTS: usize = 1_000
16,384 events a tenant wait | kakunin-core/src/service/limits.rs | MAX_QUEUED: usize = 16_384
100 orders a tenant wait | kakunin-core/src/service/limits.rs | MAX_WAITING: usize = 100
256 streams a reporter and agent | kakunin-core/src/service/limits.rs | MAX_STREAMS: usize = 256
4,096 streams | kakunin-core/src/service/state/dedup/seen.rs | MAX_ALL_STREAMS: usize = 4_096
65,536 remembered ids | kakunin-core/src/service/state/dedup/seen.rs | MAX_ALL_IDS: usize = 65_536
notes 64 KiB | kakunin-core/src/log/note.rs | MAX_NOTE_LEN: usize = 64 * 1024
64 signatures | kakunin-core/src/log/note.rs | MAX_SIGNATURES: usize = 64
risk history 8 KiB | kakunin-core/src/risk/history.rs | MAX_HISTORY_LEN: usize = 8_192
50 webhooks a tenant | kakunin-core/src/webhook/mod.rs | MAX_WEBHOOKS: usize = 50
URLs of 2,048 octets | kakunin-core/src/webhook/url.rs | MAX_URL_LEN: usize = 2_048
16 deliveries of a webhook at once | kakunin-core/src/service/effects/webhooks/step.rs | AT_ONCE: usize = 16
256 webhooks at once | kakunin-core/src/service/effects/webhooks/follower.rs | AT_ONCE: usize = 256
10 s an attempt | kakunin-core/src/webhook/client/post.rs | WHOLE: Duration = Duration::from_secs(10)
1,024 octets of an answer | kakunin-core/src/webhook/transport.rs | MAX_ANSWER: usize = 1_024
256 cached issuers | kakunin-verify/src/known.rs | MAX_ISSUERS: usize = 256
16,384 cached certificates | kakunin-verify/src/verifier.rs | DEFAULT_CACHE: usize = 16 * 1024";

/// Its numbers, as they are written.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || c == ','));
    parts.map(|number| number.trim_matches(',')).filter(|number| !number.is_empty())
}

#[test]
fn the_numbers_of_the_threat_model_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let document = read("docs/THREAT-MODEL.md");
    let mut listed = Vec::new();
    for line in LIMITS.lines() {
        let [said, path, set] = line.splitn(3, " | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(document.contains(said), "the document does not say {said:?}; {path} sets {set:?}");
        assert!(read(path).contains(set), "{path} does not set {set:?}, and the document says {said:?}");
        listed.extend(numbers(said));
    }
    // Every number of the paragraph stands above.
    let limits = document.split("## Limits that attackers meet").nth(1).unwrap();
    for number in numbers(limits.split("## Not covered yet").next().unwrap()) {
        assert!(listed.contains(&number), "{number:?} is no limit of this table");
    }
}
