//! Entity tags, and answers to whoever has the representation already (RFC 9110, 8.8.3, 13.1.2 and 15.4.5).
//!
//! Ours: a debug build of crate `headers` panics at a tag with a space in it, which any stranger can send; and it brings
//! SHA-1, a second digest and base64 for one function.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::id::hex_encode;
use sha2::{Digest, Sha256};

/// A strong entity tag, made of what it names: 128 bits keep strangers from finding two.
pub(crate) fn tag_of(octets: &[u8]) -> String {
    let digest = Sha256::digest(octets);
    format!("\"{}\"", hex_encode(digest.get(..16).unwrap_or_default()))
}

/// What `render` gives, under this tag; or 304 for whoever has it. Which fields of a request the choice depends on, `vary`
/// says. Whatever else is added to an answer belongs to both.
pub(crate) fn validated<E>(
    request: &HeaderMap,
    tag: &str,
    vary: Option<&'static str>,
    render: impl FnOnce() -> Result<Response, E>,
) -> Result<Response, E> {
    let mut response =
        if is_known(request, tag) { StatusCode::NOT_MODIFIED.into_response() } else { render()? };
    let headers = response.headers_mut();
    if let Some(vary) = vary {
        headers.insert(header::VARY, HeaderValue::from_static(vary));
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Whether what has this tag may be replaced, by `If-Match` (RFC 9110, 13.1.1); `None` if the request does not say what it
/// is to replace.
pub(crate) fn replaces(request: &HeaderMap, tag: &str) -> Option<Matched> {
    let mut lines =
        request.get_all(header::IF_MATCH).iter().map(|line| line.to_str().unwrap_or_default()).peekable();
    lines.peek()?;
    let matched = lines.map(|line| match line.trim() {
        "*" => Matched::Any,
        line if lists(line, tag, Compared::Strongly) => Matched::This,
        _ => Matched::Another,
    });
    matched.max()
}

/// What a request is to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Matched {
    /// Something else than there is.
    Another,
    /// What there is.
    This,
    /// Whatever there is.
    Any,
}

/// How tags are compared (RFC 9110, 8.8.3.2): a weak one is strongly like none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    Weakly,
    Strongly,
}

/// Whether one of the tags in `If-None-Match` is this one, by weak comparison; `*` is each that there is.
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let lines = request.get_all(header::IF_NONE_MATCH).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .any(|line| line.trim() == "*" || lists(line, tag, Compared::Weakly))
}

/// Whether a list has this tag. Reading stops at what is no tag: then the whole answer is sent.
fn lists(line: &str, tag: &str, compared: Compared) -> bool {
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let weak = rest.strip_prefix("W/");
        let opaque = weak.unwrap_or(rest);
        let Some(end) = opaque.strip_prefix('"').and_then(|inner| inner.find('"')) else { return false };
        let Some((found, after)) = opaque.split_at_checked(end + 2) else { return false };
        let after = after.trim_start_matches([' ', '\t']);
        if !(after.is_empty() || after.starts_with(',')) {
            return false;
        }
        if found == tag && (weak.is_none() || compared == Compared::Weakly) {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_every_form_that_the_field_has() {
        let known = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (header::IF_NONE_MATCH, line.parse().unwrap()));
            is_known(&lines.collect(), "\"a-1\"")
        };
        for lines in [
            &["\"a-1\""][..],
            &["W/\"a-1\""],
            &["*"],
            &[" * "],
            &["\"x\", \"a-1\""],
            &["\"x\",W/\"y\" ,\t W/\"a-1\",\"z\""],
            &[",, \"a-1\","],
            &["\"x\"", "\"a-1\""],
            &["malformed", "\"a-1\""],
            &["\"a,b\", \"\", \"a-1\""],
        ] {
            assert!(known(lines), "{lines:?}");
        }
        for lines in [
            &[][..],
            &[""],
            &["a-1"],
            &["\"a-1"],
            &["w/\"a-1\""],
            &["\"A-1\""],
            &["\"x\" \"a-1\""],
            &["\"x, a-1\""],
            &["\"x\"*"],
            &["\"*\""],
            &["x\"a-1\""],
            &["\"a-1\"x"],
        ] {
            assert!(!known(lines), "{lines:?}");
        }
    }
    #[test]
    fn what_is_replaced_is_compared_strongly() {
        let matched = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (header::IF_MATCH, line.parse().unwrap()));
            replaces(&lines.collect(), "\"a-1\"")
        };
        assert_eq!(matched(&[]), None);
        for this in [&["\"a-1\""][..], &["\"x\", \"a-1\""], &["\"x\"", " \"a-1\" "], &["W/\"a-1\", \"a-1\""]]
        {
            assert_eq!(matched(this), Some(Matched::This), "{this:?}");
        }
        for any in [&["*"][..], &[" * "], &["\"x\"", "*"]] {
            assert_eq!(matched(any), Some(Matched::Any), "{any:?}");
        }
        for another in
            [&[""][..], &["W/\"a-1\""], &["a-1"], &["\"*\""], &["\"A-1\""], &["*, \"x\""], &["\"x\"*"]]
        {
            assert_eq!(matched(another), Some(Matched::Another), "{another:?}");
        }
    }
}
