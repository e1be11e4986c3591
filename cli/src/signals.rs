//! SIGINT, SIGTERM and SIGHUP, and with `--until-eof` the end of standard input. They set a flag here; long
//! operations check the flag and stop.

use std::io::{ErrorKind, Read, stdin};
use std::sync::Arc;

use septet_engine::Interrupt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Makes a first signal set `interrupt` instead of ending the process. A second signal ends it at once.
pub(crate) fn catch(interrupt: &Interrupt) -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Registered before the handler that sets the flag, so it ends the process only at the second signal.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(interrupt.flag()))?;
        signal_hook::flag::register(signal, Arc::clone(interrupt.flag()))?;
    }
    Ok(())
}

/// Makes the end of standard input count as a signal. If a program holds the other end of the pipe, its runs end
/// with it, even if it is killed. It can also stop runs of another user this way.
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
