//! Faults, each followed by the same question: is every acknowledged event present once, in order, does the log verify, and
//! is what was revoked revoked? (`check.rs`)
//!
//! | file | fault |
//! |---|---|
//! | `killed.rs` | SIGKILL at any moment, under load, 200 times over one database |
//! | `syscalls.rs` | each system call by which SQLite writes fails, once or from then on, or is the last one |
//! | `table.rs` | each step of an append fails, done or not done, and the one that looks after it fails as well |
//! | `room.rs` | no room left, under load |
//! | `folder.rs` | two processes over one folder, by whichever path |

#![cfg(all(feature = "sqlite", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod check;
mod folder;
mod killed;
mod room;
mod syscalls;
mod table;
mod work;
mod world;

/// Says where a check failed.
struct Context(String);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at {}", self.0);
        }
    }
}
