//! SIGINT, SIGTERM and SIGHUP, and the end of standard input where it counts as one: noted here, acted
//! on by whoever runs something long.

use std::io::{ErrorKind, Read, stdin};
use std::sync::Arc;

use septet_engine::Interrupt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// From now on a signal sets `interrupt` instead of ending the process; a second one ends it at once.
pub(crate) fn catch(interrupt: &Interrupt) -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Registered first, it only acts when the flag is already set: by the second signal.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(interrupt.flag()))?;
        signal_hook::flag::register(signal, Arc::clone(interrupt.flag()))?;
    }
    Ok(())
}

/// From now on the end of standard input counts as a signal. A program that holds the other end of a
/// pipe so ends its runs with itself, even if it is killed, and may end those of another user.
pub(crate) fn catch_eof(interrupt: &Interrupt) -> std::io::Result<()> {
    let interrupt = interrupt.clone();
    let wait = move || {
        let mut ignored = [0; 512];
        loop {
            match stdin().lock().read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return interrupt.set(),
            }
        }
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(wait).map(drop)
}
