//! CRLs, as TLS stacks fetch them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use kakunin_core::id::{IssuerId, hex_encode};
use kakunin_core::service::PublishedCrl;
use kakunin_core::time::SECOND;
use kakunin_core::x509::ca::SHARDS;
use kakunin_core::x509::pem;
use sha2::{Digest, Sha256};

use super::anonymous;
use super::app::App;
use super::error::{ApiError, ErrorBody};
use super::preference::preferred;
use super::shared;
use super::validator::validated;
use super::viewer::{Viewer, publish};

/// How long others may keep a CRL, in milliseconds: what the field says.
pub const CRL_MAX_AGE: u64 = 5 * SECOND;
const CRL_AGE: HeaderValue = HeaderValue::from_static("public, max-age=5");
const DER: &str = "application/pkix-crl";
const PEM: &str = "application/x-pem-file";

/// The full CRL of the CA that issues now: PEM, or DER on `Accept: application/pkix-crl`. At most 30 s old.
#[utoipa::path(
    operation_id = "getCrl",
    get, path = "/api/v1/crl", tag = "public", security(()),
    responses(
        (status = 200, description = "The CRL.",
            content((String = "application/x-pem-file"), (String = "application/pkix-crl"))),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn full(
    State(app): State<App>,
    _: anonymous::File,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let issuer = app.kakunin.issuer().id();
    let crl = app.kakunin.published_crl(&issuer, None).await?;
    let response = answer(&app, &format!("{issuer}/full.crl"), &crl, [PEM, DER], &headers)?;
    Ok(publish(response, CRL_AGE))
}

/// The CRLs of every CA of a chain, for TLS stacks that check them all: the full one of each issuing CA, then
/// those of the roots, PEM. A large one may be 30 s old. Private ones are in it for whoever shows a key of
/// their tenant.
#[utoipa::path(
    operation_id = "getChainCrls",
    get, path = "/api/v1/crl/chain", tag = "public", security((), ("api_key" = [])),
    responses(
        (status = 200, description = "The CRLs.", content((String = "application/x-pem-file"))),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn chain(
    State(app): State<App>,
    _: anonymous::File,
    viewer: Viewer,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admitted = viewer.admit_to_some(&app)?;
    let crls = app.kakunin.chain_crls(admitted.reader()).await?;
    // No two signatures are the same, and each stands at the end.
    let ends = crls
        .iter()
        .fold(Sha256::new(), |all, crl| all.chain_update(crl.der.rchunks(32).next().unwrap_or_default()));
    let tag = format!("\"{}\"", hex_encode(&ends.finalize()));
    let response = validated(&headers, &tag, Some("authorization"), || {
        let text =
            || Ok(crls.iter().map(|crl| pem::encode(pem::CRL, &crl.der)).collect::<String>().into_bytes());
        // Who reads of private CAs is sent other CRLs, all at about the same time.
        let thing = format!("chain/{:?}", admitted.reader());
        let octets = app.renderings.get::<ApiError>(&thing, &tag, text)?;
        Ok::<_, ApiError>(shared::answer(octets, HeaderValue::from_static(PEM)))
    })?;
    Ok(admitted.publish_some(response, CRL_AGE))
}

/// One shard, as certificates name it in their CRL distribution point, or all of them: DER, or PEM on
/// request. CAs that were replaced publish theirs until they expire; a root has a full one. A private one takes a
/// key of its tenant.
#[utoipa::path(
    operation_id = "getCrlShard",
    get, path = "/api/v1/crl/{issuer}/{shard}", tag = "public", security((), ("api_key" = [])),
    params(
        ("issuer" = String, Path, description = "Key identifier of the CA, hex.", pattern = "^[0-9a-f]{40}$"),
        ("shard" = String, Path, description = "`0.crl` to `511.crl`, or `full.crl`.",
            pattern = "^([0-9]{1,3}|full)\\.crl$"),
    ),
    responses(
        (status = 200, description = "The CRL.",
            content((String = "application/pkix-crl"), (String = "application/x-pem-file"))),
        (status = "4XX", description = "No such issuer or shard.", body = ErrorBody),
    ),
)]
pub(crate) async fn shard(
    State(app): State<App>,
    _: anonymous::File,
    Path((issuer, shard)): Path<(String, String)>,
    viewer: Viewer,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let number = shard.strip_suffix(".crl").and_then(|n| n.parse::<u16>().ok());
    let number = number.filter(|n| *n < SHARDS && format!("{n}.crl") == shard);
    let known = number.is_some() || shard == "full.crl";
    let issuer =
        IssuerId::try_from(issuer).ok().filter(|_| known).ok_or_else(|| ApiError::not_found("CRL"))?;
    let admitted = viewer.admit(&app, &issuer)?;
    let crl = app.kakunin.published_crl(&issuer, number).await?;
    let response = answer(&app, &format!("{issuer}/{shard}"), &crl, [DER, PEM], &headers)?;
    admitted.publish(&app, &issuer, response, CRL_AGE)
}

fn answer(
    app: &App,
    thing: &str,
    crl: &Arc<PublishedCrl>,
    forms: [&'static str; 2],
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let der = preferred(request, &forms)? == DER;
    let tag = format!("\"{}-{}\"", crl.number, if der { "der" } else { "pem" });
    let mut response = validated(request, &tag, Some("accept"), || {
        if der {
            return Ok(shared::answer(shared::der(crl.clone()), HeaderValue::from_static(DER)));
        }
        let render = || Ok::<_, ApiError>(pem::encode(pem::CRL, &crl.der).into_bytes());
        Ok::<_, ApiError>(shared::answer(
            app.renderings.get(thing, &tag, render)?,
            HeaderValue::from_static(PEM),
        ))
    })?;
    let headers = response.headers_mut();
    let dates =
        [("x-crl-generated-at", crl.at.to_string()), ("x-crl-next-update", crl.next_update.to_string())];
    for (name, value) in dates {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_told_what_is_counted_on() {
        assert_eq!(CRL_AGE, format!("public, max-age={}", CRL_MAX_AGE / SECOND));
    }
}
