//! SIGINT, SIGTERM and SIGHUP, and the end of standard input where it counts as one: noted here, acted
//! on by whoever runs something long.

use std::io::{ErrorKind, Read, stdin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on a signal is noted instead of ending the process; a second one ends it at once.
pub(crate) fn catch() -> std::io::Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Registered first, it only acts when the flag is already set: by the second signal.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag))?;
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// From now on the end of standard input counts as a signal. A program that holds the other end of a
/// pipe so ends its runs with itself, even if it is killed, and may end those of another user.
pub(crate) fn catch_eof() -> std::io::Result<()> {
    let flag = Arc::clone(INTERRUPTED.get_or_init(Arc::default));
    let wait = move || {
        let mut ignored = [0; 512];
        loop {
            match stdin().lock().read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return flag.store(true, Ordering::Relaxed),
            }
        }
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(wait).map(drop)
}

/// Whether a signal has come.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
