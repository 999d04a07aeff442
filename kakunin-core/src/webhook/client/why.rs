//! Why there is no answer, from what the library says.

use std::error::Error;
use std::io;

use super::resolve::Unresolved;
use crate::webhook::guard::GuardError;
use crate::webhook::transport::PostError;

pub(super) fn why(error: &reqwest::Error) -> PostError {
    let mut innermost: &(dyn Error + 'static) = error;
    for cause in causes(error) {
        if let Some(barred) = cause.downcast_ref::<GuardError>() {
            return PostError::Barred(*barred);
        }
        if cause.is::<Unresolved>() {
            return PostError::Unresolved;
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return PostError::Tls(tls.to_string());
        }
        innermost = cause;
    }
    let said = innermost.to_string();
    match error {
        error if error.is_connect() && error.is_timeout() => {
            PostError::Unreachable("none in time".to_owned())
        }
        error if error.is_timeout() => PostError::TooSlow,
        error if error.is_connect() => PostError::Unreachable(said),
        _ => PostError::Broken(said),
    }
}

/// An error, and what is behind it; an error of I/O gives the cause of what it wraps as its own, and not what it wraps.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| {
        let cause = *cause;
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| -> &(dyn Error + 'static) { inner }).or_else(|| cause.source())
    })
}
