//! Large answers that are the same for everybody: rendered once, and shared by all who are sent them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::service::PublishedCrl;

/// Answers that are kept: the newest of each of these many things.
const KEPT: usize = 64;

/// Marks an answer whose octets are held once for all, so that they count for nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForAll;

/// The newest rendering of each thing that was asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Renderings(Mutex<VecDeque<(String, String, Bytes)>>);

impl Renderings {
    /// What was rendered of this version of a thing; else `render` does it, and what older versions had is forgotten.
    pub(crate) fn get<E>(
        &self,
        thing: &str,
        version: &str,
        render: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Bytes, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(of, at, _): &&(String, String, Bytes)| of == thing && at == version;
        if let Some((.., octets)) = lock().iter().find(same) {
            return Ok(octets.clone());
        }
        let octets = Bytes::from(render()?);
        let mut all = lock();
        all.retain(|(of, ..)| of != thing);
        all.truncate(KEPT - 1);
        all.push_front((thing.to_owned(), version.to_owned(), octets.clone()));
        Ok(octets)
    }
}

/// The octets of a CRL, without a copy.
struct Der(Arc<PublishedCrl>);

impl AsRef<[u8]> for Der {
    fn as_ref(&self) -> &[u8] {
        &self.0.der
    }
}

/// A CRL as it is published.
pub(crate) fn der(crl: Arc<PublishedCrl>) -> Bytes {
    Bytes::from_owner(Der(crl))
}

/// An answer of octets that are shared.
pub(crate) fn answer(octets: Bytes, kind: HeaderValue) -> Response {
    let mut response = Body::from(octets).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.extensions_mut().insert(ForAll);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_rendered_once_and_an_older_one_is_forgotten() {
        let renderings = Renderings::default();
        let get = |thing: &str, version: &str, text: &str| {
            renderings.get::<()>(thing, version, || Ok(text.as_bytes().to_vec())).unwrap()
        };
        assert_eq!((get("a", "1", "x"), get("a", "1", "y")), (Bytes::from("x"), Bytes::from("x")));
        assert_eq!(get("a", "2", "y"), "y");
        assert_eq!(get("a", "1", "z"), "z", "the older one was forgotten");
        for n in 0..1_000 {
            get(&n.to_string(), "1", "x");
        }
        assert_eq!(renderings.0.lock().unwrap().len(), KEPT);
    }
}
