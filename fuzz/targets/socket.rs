//! Fuzzes an agent's socket. Any bytes in any pieces are messages or end with an error. No line makes an agent allocate
//! more than the longest line.
#![no_main]

use std::os::fd::OwnedFd;

use libfuzzer_sys::fuzz_target;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use septet_ipc::message::Receiver;
use septet_ipc::{Event, Message};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("sockets")
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    // The lines that an agent writes to standard error are parsed in the same way.
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(event) = serde_json::from_slice::<Event>(line) {
            let again = serde_json::to_vec(&event).expect("it was an event before");
            let again: Event = serde_json::from_slice(&again).expect("it was an event before");
            // NaN is not equal to itself, so the texts are compared, too.
            assert!(again == event || format!("{again:?}") == format!("{event:?}"));
        }
    }
    let (ours, theirs) = pair();
    let mut receiver = Receiver::new(theirs);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for piece in bytes.chunks(usize::from(piece) + 1) {
        if send(&ours, piece, SendFlags::DONTWAIT).is_err() {
            break;
        }
    }
    drop(ours);
    let mut messages = 0;
    while let Ok(Some((message, fd))) = receiver.receive() {
        assert!(fd.is_none() && !matches!(message, Message::Pool(_) | Message::Table(_)), "no descriptor was sent");
        messages += 1;
    }
    assert!(messages <= lines);
});
