//! The contract of every store, as one suite that the directory, S3 servers and wrappers all run.
//!
//! Each case gets an empty store of its own. A case that fails panics. Its name is the last one printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is test code")]

mod listing;
mod parts;
mod small;
mod uploads;

use crate::Store;
use std::sync::Arc;

/// Runs all cases. `make` returns a new empty store for each.
pub fn run(make: impl Fn() -> Arc<dyn Store>) {
    for (name, case) in [small::CASES, uploads::CASES, listing::CASES].concat() {
        println!("store conformance: {name}");
        case(&*make());
    }
}
