//! Long work behind a pointer: what an `async fn` does is compiled once more in each crate, and each part of a crate, that
//! awaits it, and this is compiled here.

use std::pin::Pin;

/// What somebody awaits who need not know of what it is made.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
