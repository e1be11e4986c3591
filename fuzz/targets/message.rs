//! Fuzzes a line on an agent's socket. An accepted message round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use septet_ipc::Message;

fuzz_target!(|line: &[u8]| {
    let Ok(message) = Message::decode(line) else { return };
    let mut encoded = Vec::new();
    message.encode(&mut encoded).expect("it was a line before");
    let encoded = encoded.strip_suffix(b"\n").expect("a line ends");
    assert!(!encoded.contains(&b'\n'), "one message is one line");
    assert_eq!(Message::decode(encoded).expect("it was one before"), message);
});
