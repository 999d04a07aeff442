//! The arguments of `kakunin webhook`.

use clap::{Args, Subcommand};
use kakunin_core::id::WebhookId;
use kakunin_core::webhook::{Scheme, WebhookEvent};
use kakunin_server::{client, webhook};

use crate::numbers::between;
use crate::server_arguments::Server;

/// What `kakunin webhook` does.
#[derive(Subcommand)]
pub(crate) enum Webhook {
    /// Lists the webhooks.
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Makes one, and prints its secret, once.
    Create {
        #[command(flatten)]
        asking: Asking,
        /// Where deliveries go.
        to: String,
        /// What it is told, such as `certificate.revoked`; several times for several.
        #[arg(long = "event", required = true, value_delimiter = ',')]
        events: Vec<WebhookEvent>,
        /// How deliveries are signed: standard, or as the hosted vendor does: vendor_server, vendor_sdk, vendor_docs.
        #[arg(long, default_value_t)]
        scheme: Scheme,
        /// What it is for.
        #[arg(long)]
        label: Option<String>,
    },
    /// Sends a ping, and says what came of it.
    Ping(OfWebhook),
    /// Lists what became of deliveries, newest first.
    Deliveries {
        #[command(flatten)]
        of: OfWebhook,
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = |text: &str| between(text, 1_u16, 100))]
        limit: u16,
    },
    /// Sends a message once more.
    Redeliver {
        #[command(flatten)]
        of: OfWebhook,
        /// Its identifier, `msg_...`.
        message: String,
    },
    /// Gives it another secret, and prints that, once.
    Rotate {
        #[command(flatten)]
        of: OfWebhook,
        /// Seconds for which the one before signs as well.
        #[arg(long, default_value_t = 86_400, value_parser = |text: &str| between(text, 0_u64, 604_800))]
        overlap: u64,
    },
    /// Sends deliveries again; it goes on where it stopped.
    Enable(OfWebhook),
    /// Sends no deliveries until it is enabled.
    Disable(OfWebhook),
    /// Takes it away, with all that waits for it.
    Delete(OfWebhook),
}

/// Whom it asks, and how the answer is printed.
#[derive(Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    server: Server,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One webhook.
#[derive(Args)]
pub(crate) struct OfWebhook {
    #[command(flatten)]
    asking: Asking,
    /// Which webhook: its id.
    id: WebhookId,
}

impl Webhook {
    /// Whom it asks, and for what.
    pub(crate) fn apart(self) -> (client::Options, bool, webhook::Asked) {
        use webhook::Asked;
        let of = |OfWebhook { asking, id }: OfWebhook, what: fn(WebhookId) -> Asked| (asking, what(id));
        let (Asking { server, json }, asked) = match self {
            Self::List { asking } => (asking, Asked::List),
            Self::Create { asking, to, events, scheme, label } => {
                (asking, Asked::Create { url: to, events, scheme, label })
            }
            Self::Ping(one) => of(one, Asked::Ping),
            Self::Deliveries { of, limit } => (of.asking, Asked::Deliveries { id: of.id, limit }),
            Self::Redeliver { of, message } => (of.asking, Asked::Redeliver { id: of.id, message }),
            Self::Rotate { of, overlap } => (of.asking, Asked::Rotate { id: of.id, overlap }),
            Self::Enable(one) => of(one, |id| Asked::Switch { id, active: true }),
            Self::Disable(one) => of(one, |id| Asked::Switch { id, active: false }),
            Self::Delete(one) => of(one, Asked::Delete),
        };
        ((&server).into(), json, asked)
    }
}
