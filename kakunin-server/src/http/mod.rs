//! The HTTP API: thin over [`kakunin_core::service::Kakunin`], one file a subject.
//!
//! | file | does |
//! |---|---|
//! | `routes.rs`, `router.rs`, `openapi.rs` | every route; what is made of them: the router, and the description |
//! | `compat/` | the hosted vendor's dialect: bodies and words, in and out |
//! | `agents.rs`, `orders.rs` | agents |
//! | `certificates.rs`, `certify.rs`, `revoke.rs`, `standing.rs` | their certificates: shown, given and renewed, taken away; how they stand |
//! | `policy.rs`, `policy_body.rs`, `breaker.rs`, `verdicts.rs` | what a tenant decides over scores, and what its people make of them |
//! | `erasures.rs` | what events hold is erased |
//! | `approvals.rs`, `waiting.rs` | what waits for a second person |
//! | `enrol.rs` | agents that join and renew by themselves |
//! | `events.rs`, `event_batch.rs`, `subjects.rs`, `risk.rs` | what agents did, and what is believed of them |
//! | `event_lines.rs`, `ingest.rs`, `ingests.rs`, `lines.rs`, `line_answers.rs` | events that come one a line, for as long as they come |
//! | `proofs.rs` | answers that prove that it is on record |
//! | `inbox.rs`, `inbox_stream.rs`, `inboxes.rs` | the inbox: pages and what is read; new items as they come |
//! | `event_members.rs`, `text.rs` | members of an event, one by one; texts that somebody sent |
//! | `salvage.rs`, `parts.rs` | what is recorded of events that are not all as they should be |
//! | `gateway/` | the check of one request |
//! | `verify.rs`, `card.rs`, `message.rs`, `html.rs`, `pki.rs` | what anybody may ask |
//! | `feed.rs`, `streams.rs`, `places.rs`, `crl.rs` | what was revoked: feed and CRLs |
//! | `viewer.rs`, `admitted.rs` | who may read it |
//! | `audit.rs`, `access.rs` | the log; tenants and keys |
//! | `health.rs`, `ready.rs`, `following.rs` | liveness; whether store and keys work; how what follows the logs stands |
//! | `figures.rs`, `exposition.rs` | what `/metrics` shows, and its text format |
//! | `app.rs`, `options.rs` | what handlers share; how the API behaves |
//! | `auth.rs`, `caller.rs`, `peer.rs`, `limits.rs`, `anonymous.rs` | who calls, and how often |
//! | `listings.rs`, `tally.rs`, `shared.rs` | lists apart from all else; shares; answers that all are sent |
//! | `counts.rs`, `failures.rs`, `dry_runs.rs` | what was refused or cut; who did not show who they are; what dry runs let through |
//! | `surroundings.rs` | the TLS pair, files and log of whoever serves it |
//! | `frame.rs`, `host.rs`, `preference.rs`, `validator.rs` | what every answer has in common; `Host`, `Accept`, entity tags |
//! | `json.rs`, `schema.rs`, `page.rs`, `queries.rs`, `error.rs`, `request_id.rs` | shapes that all share |

mod access;
mod admitted;
mod advice;
mod agents;
mod anonymous;
mod app;
mod approvals;
mod audit;
mod auth;
mod breaker;
mod caller;
mod card;
mod certificates;
mod certify;
mod compat;
mod counts;
mod crl;
mod dry_runs;
mod enrol;
mod erasures;
mod error;
mod event_batch;
mod event_lines;
mod event_members;
mod event_stream;
mod events;
mod explanation;
mod exposition;
mod failures;
mod feed;
mod figures;
mod following;
mod frame;
mod gateway;
mod health;
mod host;
mod html;
mod inbox;
mod inbox_stream;
mod inboxes;
mod ingest;
mod ingests;
mod json;
mod limits;
mod line_answers;
mod lines;
mod listings;
mod message;
mod openapi;
mod options;
mod orders;
mod page;
mod parts;
mod peer;
mod pki;
mod places;
mod policy;
mod policy_body;
mod preference;
mod proofs;
mod queries;
mod ready;
mod request_id;
mod revoke;
mod risk;
mod router;
mod routes;
mod salvage;
mod schema;
mod shared;
mod standing;
mod status;
mod streams;
mod subjects;
mod surroundings;
mod tally;
mod text;
mod validator;
mod verdicts;
mod verify;
mod viewer;
mod waiting;
mod webhooks;

pub use crl::CRL_MAX_AGE;
pub use gateway::{GatewayProxy, GatewayProxyError};
pub use limits::{DEFAULT_ANONYMOUS_RATE, DEFAULT_KEY_RATE};
pub use openapi::document as openapi;
pub use options::{ApiOptions, DEFAULT_FEED_PER_ADDRESS, DEFAULT_FEED_SUBSCRIBERS};
pub use peer::{Network, NetworkError};
pub use policy_body::policy_from_json;
pub use router::{router, router_until};
pub use verify::MAX_AGE as VERIFY_MAX_AGE;

pub(crate) use app::App;
pub(crate) use counts::{
    BODIES_CROWDED, BODIES_NOT_SENT, BODIES_NOT_TAKEN, CONNECTIONS_NOT_ACCEPTED, CONNECTIONS_REFUSED,
    CONNECTIONS_SILENT, IDENTITIES_HELD, IDENTITIES_TAKEN,
};
pub(crate) use error::{ApiError, chain};
pub(crate) use failures::FAILURES;
pub(crate) use frame::{finished, refused};
pub(crate) use host::check as check_host;
pub(crate) use ingests::AsItComes;
pub(crate) use json::BodyError;
pub(crate) use limits::network_of;
pub(crate) use peer::{Peer, client_address};
pub(crate) use request_id::{RequestId, current as current_request};
pub(crate) use router::router_of;
pub(crate) use shared::ForAll;
pub(crate) use surroundings::{Pair, Standing};
pub(crate) use tally::{Share, Tally};
