//! Texts as the API's description has them. They are parsed by the core, whose rules these patterns say.
#![allow(dead_code, reason = "names of schemas; no value is ever of these types")]

use kakunin_core::access::Role;
use kakunin_core::agent::AgentState;
use kakunin_core::event::{EventKind, Outcome};
use kakunin_core::feed::Visibility;
use kakunin_core::issue::Profile;
use kakunin_core::policy::{Mode, RiskState, Verdict};
use kakunin_core::service::{NotificationKind, Severity};
use kakunin_core::webhook::{Scheme, WebhookEvent};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! words_of {
    ($($name:ident: $of:ty, $said:expr;)+) => {$(
        #[doc = concat!("The words of [`", stringify!($of), "`].")]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words = <$of>::ALL.iter().map(|word| word.as_str());
                let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
                schema.description($said).build().into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

words_of! {
    ProfileWord: Profile, Some("How long it lives.");
    RoleWord: Role, Some("What a key may do; each may also do what those before it may.");
    VisibilityWord: Visibility, Some("Who may read what a tenant's own issuing CAs revoked.");
    OutcomeWord: Outcome, Some("How it ended.");
    KindWord: EventKind, None::<&str>;
    NotificationWord: NotificationKind, Some("What it tells.");
    SeverityWord: Severity, Some("How much it asks of whoever reads it.");
    StateWord: AgentState, None::<&str>;
    ModeWord: Mode, Some("What follows from a score.");
    VerdictWord: Verdict, Some("What is to be made of an agent's score.");
    RiskStateWord: RiskState, Some("Where an agent stands between its score and people.");
    SchemeWord: Scheme, Some("By Standard Webhooks 1.0.0, or as the hosted vendor signs, verifies or documents.");
}

/// What an endpoint can be told.
pub(crate) struct WebhookEventWord;

impl PartialSchema for WebhookEventWord {
    fn schema() -> RefOr<Schema> {
        let all = WebhookEvent::ALL.iter().filter(|event| event.can_be_chosen());
        let words = all.map(|event| event.as_str());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build().into()
    }
}

impl ToSchema for WebhookEventWord {}

/// Where deliveries go: https, to a public address, without a name, password or fragment. No pattern says all of that.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^https?://[!$-;=?-Z\[\]_a-z~]{1,2041}$")]
pub(crate) struct WebhookUrlText(String);

/// A name: 1 to 64 characters in NFC, single spaces between words, nothing in it that is not seen: no controls of
/// any kind, no private use, nothing unassigned. No pattern says all of that.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x1f\x7f-\x9f\s](?:[^\x00-\x1f\x7f-\x9f]{0,62}[^\x00-\x1f\x7f-\x9f\s])?$")]
pub(crate) struct LabelText(String);

/// A remark: 1 to 1,000 characters, no control characters but line breaks and tabs, nothing that hides text or
/// moves it elsewhere. No pattern says all of that.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]{1,1000}$")]
pub(crate) struct NoteText(String);

/// Why something is done: 1 to 1,000 characters, not blank, no control characters but line breaks and tabs.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^(?=[\s\S]*\S)[^\x00-\x08\x0b-\x1f\x7f-\x9f]{1,1000}$")]
pub(crate) struct ReasonText(String);

/// SHA-256 of a model.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$")]
pub(crate) struct ModelHashText(String);

/// What an agent does or wants to do, `verb:resource`, without wildcards.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^(?=.{3,128}$)[a-z][a-z0-9_-]{0,31}:[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63})*$")]
pub(crate) struct ActionText(String);

/// A name in an event, in whatever script: 1 to 256 octets of UTF-8, which may be fewer characters; no control characters
/// but line breaks and tabs, nothing that hides text or moves it elsewhere. No pattern says all of that.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]{1,256}$")]
pub(crate) struct EventNameText(String);

/// A name that stands in the record itself: the same with 1 to 64 octets of UTF-8.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]{1,64}$")]
pub(crate) struct ShortNameText(String);
