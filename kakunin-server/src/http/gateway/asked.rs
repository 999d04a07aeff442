//! A request of an agent, passed on by a gateway.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::json;

/// An agent's request, as far as its signature covers it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedRequest {
    #[schema(pattern = "^[A-Z]{1,16}$")]
    pub(super) method: String,
    /// Origin form: path, and query if there is one. What can be read in more than one way is refused: dot segments,
    /// `//`, `\`, `;` and `#`, raw or encoded, and encoded characters that need no encoding.
    #[schema(max_length = 8192, pattern = "^/[!-~]*$")]
    pub(super) target: String,
    /// Under which name agents reach whoever asks, `host` or `host:port`: from its own configuration, never from the
    /// request, whose `host` field is the choice of whoever sent it. A signature has to be for it.
    #[schema(min_length = 1, max_length = 300)]
    pub(super) authority: String,
    /// Its fields; those that matter are `x-kakunin-certificate`, `signature-input`, `signature`, `content-digest`,
    /// and, from a gateway that is configured (`--gateway`), its own field with the certificate.
    #[schema(value_type = Object)]
    pub(super) headers: json::Free,
}
