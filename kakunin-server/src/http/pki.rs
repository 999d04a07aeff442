//! What anchors of trust are made of: CA certificates, the SPIFFE bundle. For anybody.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use kakunin_core::feed::Visibility;
use kakunin_core::id::TenantId;
use kakunin_core::key::{KeyAlgorithm, Spki};
use kakunin_core::x509::ca::Issuer;
use kakunin_core::x509::der::{DerError, Reader};
use kakunin_core::x509::pem;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::anonymous;
use super::app::App;
use super::error::{ApiError, ErrorBody};
use super::json::Data;
use super::schema::VisibilityWord;
use super::validator::{tag_of, validated};
use super::viewer::publish;

const CA_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const DER_CERTIFICATE: HeaderValue = HeaderValue::from_static("application/pkix-cert");
const PEM: HeaderValue = HeaderValue::from_static("application/x-pem-file");

/// A certificate authority.
#[derive(Serialize, ToSchema)]
pub(crate) struct CaBody {
    /// `root` or `issuing`.
    role: String,
    /// Whether it issues now; an issuing CA that was replaced still publishes CRLs.
    current: bool,
    /// The tenant that it issues for, if not for every tenant without its own.
    tenant: Option<String>,
    /// Who may read its feed, snapshot and CRLs: everybody, or who shows a key of that tenant.
    #[schema(inline, value_type = VisibilityWord)]
    revocations: Visibility,
    /// Key identifier, hex.
    key_id: String,
    certificate_pem: String,
    valid_from: String,
    valid_until: String,
}

/// The certificate authorities and the trust domain they speak for.
#[derive(Serialize, ToSchema)]
pub(crate) struct CasBody {
    trust_domain: String,
    public_url: String,
    /// Object identifier under which the agent extensions stand.
    extension_arc: String,
    authorities: Vec<CaBody>,
    /// Verifier key (C2SP) of the key that cosigns revocation logs with a time.
    feed_verifier: String,
}

/// Who issues here.
#[utoipa::path(
    operation_id = "getAuthorities",
    get, path = "/api/v1/ca", tag = "public", security(()),
    responses(
        (status = 200, description = "The certificate authorities.", body = Data<CasBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn authorities(
    State(app): State<App>,
    _: anonymous::File,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let place = app.kakunin.place();
    let body = |role: &str, ca: &Issuer, current, owner: (Option<&TenantId>, Visibility)| CaBody {
        role: role.to_owned(),
        current,
        tenant: owner.0.map(ToString::to_string),
        revocations: owner.1,
        key_id: ca.id().to_string(),
        certificate_pem: pem::encode(pem::CERTIFICATE, ca.as_der()),
        valid_from: ca.not_before().to_string(),
        valid_until: ca.not_after().to_string(),
    };
    let newest = app.kakunin.root().id();
    let roots = app.kakunin.roots();
    let roots = roots.iter().map(|root| body("root", root, root.id() == newest, (None, Visibility::Public)));
    let issuing = app.kakunin.authorities();
    let issuing =
        issuing.iter().map(|ca| body("issuing", &ca.issuer, ca.current, (ca.tenant.as_ref(), ca.visibility)));
    let data = CasBody {
        trust_domain: place.trust_domain.to_string(),
        public_url: place.public_url.clone(),
        extension_arc: place.arc.as_str().to_owned(),
        authorities: roots.chain(issuing).collect(),
        feed_verifier: app.kakunin.feed_verifier().to_owned(),
    };
    public(&headers, serde_json::to_vec(&Data { data }).map_err(|_| ApiError::internal())?, JSON)
}

/// What TLS stacks load: every issuing CA, then every root, PEM.
#[utoipa::path(
    operation_id = "getChain",
    get, path = "/api/v1/ca/chain", tag = "public", security(()),
    responses(
        (status = 200, description = "The chain.", content((String = "application/x-pem-file"))),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn chain(
    State(app): State<App>,
    _: anonymous::File,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let all: String = all(&app).iter().map(|ca| pem::encode(pem::CERTIFICATE, ca.as_der())).collect();
    public(&headers, all.into_bytes(), PEM)
}

/// One CA certificate, as certificates name it in their authority information access: DER.
#[utoipa::path(
    operation_id = "getAuthorityCertificate",
    get, path = "/api/v1/ca/{file}", tag = "public", security(()),
    params(("file" = String, Path, description = "Key identifier, hex, and `.cer`.", pattern = "^[0-9a-f]{40}\\.cer$")),
    responses(
        (status = 200, description = "The certificate.", content((String = "application/pkix-cert"))),
        (status = "4XX", description = "No such authority.", body = ErrorBody),
    ),
)]
pub(crate) async fn certificate(
    State(app): State<App>,
    _: anonymous::File,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let ca = all(&app).into_iter().find(|ca| file == format!("{}.cer", ca.id()));
    let ca = ca.ok_or_else(|| ApiError::not_found("certificate authority"))?;
    public(&headers, ca.as_der().to_vec(), DER_CERTIFICATE)
}

/// Issuing CAs, the newest first, then roots.
fn all(app: &App) -> Vec<Arc<Issuer>> {
    let mut issuing: Vec<_> = app.kakunin.authorities().into_iter().map(|ca| ca.issuer).collect();
    issuing.reverse();
    issuing.extend(app.kakunin.roots());
    issuing
}

/// The SPIFFE trust bundle: a JWK set with the roots as its X.509 authorities.
#[utoipa::path(
    operation_id = "getBundle",
    get, path = "/api/v1/spiffe/bundle", tag = "public", security(()),
    responses(
        (status = 200, description = "The bundle.", content((Object = "application/json"))),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn bundle(
    State(app): State<App>,
    _: anonymous::File,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let unreadable =
        |_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ca", "the root's key does not parse");
    let mut keys = Vec::new();
    for root in app.kakunin.roots() {
        let mut key = jwk(root.key().spki()).map_err(unreadable)?;
        key.insert("use".to_owned(), "x509-svid".into());
        key.insert("x5c".to_owned(), vec![Base64::encode_string(root.as_der())].into());
        keys.push(key);
    }
    // A root is only ever added.
    let body = json!({ "spiffe_sequence": keys.len(), "keys": keys, "spiffe_refresh_hint": 300 });
    public(&headers, body.to_string().into_bytes(), JSON)
}

// RFC 7518, 6.2 and 6.3; CA keys are RSA or P-256.
fn jwk(spki: &Spki) -> Result<serde_json::Map<String, Value>, DerError> {
    let mut outer = Reader::new(spki.as_der());
    let mut body = outer.sequence()?;
    body.raw(0x30)?;
    let bits = body.bit_string()?;
    let text = |octets: &[u8]| Value::from(Base64UrlUnpadded::encode_string(octets));
    let mut key = serde_json::Map::new();
    if spki.algorithm() == KeyAlgorithm::P256 {
        let (x, y) = bits.get(1..).and_then(|point| point.split_at_checked(32)).ok_or(DerError)?;
        key.extend([("kty".to_owned(), "EC".into()), ("crv".to_owned(), "P-256".into())]);
        key.extend([("x".to_owned(), text(x)), ("y".to_owned(), text(y))]);
    } else {
        let mut rsa = Reader::new(bits).sequence()?;
        let (n, e) = (rsa.positive_integer()?, rsa.positive_integer()?);
        let n = n.strip_prefix(&[0]).unwrap_or(n);
        key.extend([("kty".to_owned(), "RSA".into()), ("n".to_owned(), text(n)), ("e".to_owned(), text(e))]);
    }
    Ok(key)
}

fn public(request: &HeaderMap, octets: Vec<u8>, kind: HeaderValue) -> Result<Response, ApiError> {
    let tag = tag_of(&octets);
    let response = validated(request, &tag, None, || {
        Ok::<_, ApiError>(([(header::CONTENT_TYPE, kind)], octets).into_response())
    })?;
    Ok(publish(response, CA_AGE))
}
