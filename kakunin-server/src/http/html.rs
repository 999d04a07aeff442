//! A certificate's status as a page for people: no script, nothing loaded from elsewhere.

use std::fmt::Write;

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use kakunin_core::text::hidden;

use super::compat::card::VerifyBody;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f5f7;color:#1c2430}\
main{max-width:46rem;margin:3rem auto;background:#fff;padding:2rem;border-radius:10px;border:1px solid #dde1e7}\
h1{font-size:1.35rem;margin:0 0 .3rem}p.s{display:inline-block;padding:.15rem .7rem;border-radius:1rem;margin:.3rem 0 1rem;\
font-weight:600;color:#fff}p.active{background:#1b6e3c}p.revoked{background:#a3221b}p.suspended{background:#8a5300}\
p.expired{background:#525b68}dl{display:grid;grid-template-columns:11rem 1fr;gap:.45rem 1rem;margin:0}\
dt{color:#525b68}dd{margin:0;overflow-wrap:anywhere}code{font:.92em ui-monospace,monospace}\
@media(max-width:34rem){main{margin:0;border:0;border-radius:0}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}}\
@media(prefers-color-scheme:dark){body{background:#12161c;color:#e6eaf0}main{background:#1a2028;border-color:#2c3540}\
dt{color:#a5b0bf}}";
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

/// The page of one certificate.
pub(crate) fn certificate(body: &VerifyBody) -> Response {
    let mut rows = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(rows, "<dt>{name}</dt><dd><bdi>{}</bdi></dd>", escape(value));
    };
    row("Agent", &body.agent.name);
    row("Operator", body.operator_org.as_deref().unwrap_or("not stated"));
    let actions = body.permitted_actions.join(", ");
    row("May do", if actions.is_empty() { "nothing" } else { &actions });
    row("Environment", &body.agent.environment);
    row("Model", &body.model_hash);
    row("Valid", &format!("{} to {}", body.issued_at, body.expires_at));
    if let (Some(at), Some(reason)) = (&body.revoked_at, &body.revocation_reason) {
        row("Taken away", &format!("{at}, {}", reason.replace('_', " ")));
    }
    row("Serial number", &body.serial_number);
    row("SPIFFE ID", body.spiffe_id.as_deref().unwrap_or_default());
    row("Issuer", &body.issuer);
    let sentence = match body.status.as_str() {
        "active" => "This certificate is valid.",
        "suspended" => "This certificate is suspended. Do not accept it.",
        "revoked" => "This certificate is revoked. Do not accept it.",
        _ => "This certificate has expired. Do not accept it.",
    };
    let (name, status) = (escape(&body.agent.name), escape(&body.status));
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}: {status}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body><main>\
         <h1><bdi>{name}</bdi></h1><p class=\"s {status}\">{status}</p><p>{sentence} A serial number is public: whoever shows it \
         has still to prove that it holds the key.</p><dl>{rows}</dl></main></body></html>"
    );
    let mut response = Html(page).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A name from before names had a profile: what would not be seen is written out.
            c if hidden(c).is_some() => _ = write!(out, "[U+{:04X}]", u32::from(c)),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_seen_is_written_out() {
        assert_eq!(escape("desk\u{202e}7 <b>&'\""), "desk[U+202E]7 &lt;b&gt;&amp;&#39;&quot;");
        assert_eq!(escape("a\u{e0041}\u{200b}"), "a[U+E0041][U+200B]");
        assert_eq!(escape("株式会社"), "株式会社");
    }
}
