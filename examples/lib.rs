//! Examples are the files beside this one; `cargo run --release --example embedded` runs one of them.
