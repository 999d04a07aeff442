//! What every backend must do, as functions that any backend's tests can run: one property a function,
//! named after it. They panic where a backend breaks its contract, which is their purpose.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a suite says what is broken by panicking"
)]

pub mod audit_sink;
pub mod key_provider;
pub mod revocation_store;
pub mod risk_model;
pub mod signer;
pub mod state_store;
pub mod vault;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// Runs a future to its end on this thread. The suites bring no runtime, as the crate brings none.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Runs `count` futures at once, each on a thread of its own, and gives what they give.
pub fn at_once<T: Send, F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let make = &make;
        let threads: Vec<_> = (0..count).map(|i| scope.spawn(move || block_on(make(i)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
