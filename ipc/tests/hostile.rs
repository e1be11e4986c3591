//! A malicious neighbour can end an agent. It can't make the agent allocate memory without limit, and it can't make it
//! access memory that does not exist.
//!
//! The tests of memory use check the peak of the whole process, so the use of all tests counts together.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use septet_ipc::message::{LINE_BYTES_MAX, PoolLine, Receiver, Sender, TableKind, TableLine};
use septet_ipc::shm::{Attached, Releases};
use septet_ipc::{AgentKind, Message, PoolName, Table};

/// The memory that one line, together with the few lines that are buffered, may take.
const MEMORY_KIB_MAX: u64 = 96 << 10;

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn object(bytes: u64) -> OwnedFd {
    let object = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&object, bytes).unwrap();
    object
}

fn memory_kib_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A line of the maximum length: `piece` repeated, between `front` and `back`.
fn longest(front: &str, piece: &str, back: &str) -> String {
    let pieces = (LINE_BYTES_MAX - front.len() - back.len() - 1) / piece.len();
    format!("{front}{}{back}", piece.repeat(pieces))
}

#[test]
fn a_line_costs_memory_in_proportion_to_its_length() {
    let lines = [
        longest("", "[", ""),
        longest("", r#"{"begin":"#, ""),
        longest(r#"{"offset":"#, "9", ",\"size\":1}"),
        longest(r#"{"offset":0,"size":1,"shm_id":"reader_1_"#, "0", "\"}"),
        longest(r#"{"offset":0,"size":1,"reason":""#, "\\n", "\"}"),
        longest(r#"{"deleted":["#, "\"\",", "\"\"]}"),
        longest(r#"{"release":["#, "\"reader_1_0\",", "\"reader_1_0\"]}"),
        longest(
            r#"{"begin":{"delete":{"repo":"r","repository":"01234567-89ab-4def-8123-456789abcdef","volume":"v","backups":["#,
            "\"b\",",
            "\"b\"]}}}",
        ),
        longest(r#"{"error":{"kind":"store","cause":""#, "x", "\"}}"),
        longest("{", "\"x\":0,", "\"x\":0}"),
    ];
    let taken = lines.iter().filter(|line| Message::decode(line.as_bytes()).is_ok()).count();
    assert_eq!(taken, 6, "the test is to reach the code behind the parser");
    assert!(memory_kib_peak() < MEMORY_KIB_MAX, "{} KiB", memory_kib_peak());
}

#[test]
fn a_line_without_end_is_never_held_whole() {
    let (near, far) = pair();
    let writer = std::thread::spawn(move || {
        let block = vec![b' '; 1 << 16];
        (0..4096).take_while(|_| send(&near, &block, SendFlags::NOSIGNAL).is_ok()).count()
    });
    let failure = Receiver::new(far).receive().unwrap_err();
    assert!(failure.cause.contains("a line of more than 1048576 bytes"), "{failure}");
    assert!(writer.join().unwrap() < 4096, "the reader took 256 MiB before it refused");
    assert!(memory_kib_peak() < MEMORY_KIB_MAX, "{} KiB", memory_kib_peak());
}

#[test]
fn the_longest_line_is_taken_and_one_byte_more_is_not() {
    let line = |bytes: usize| format!("{}{}\n", r#"{"end":true}"#, " ".repeat(bytes - r#"{"end":true}"#.len() - 1));
    for (bytes, good) in [(LINE_BYTES_MAX, true), (LINE_BYTES_MAX + 1, false)] {
        let (near, far) = pair();
        let line = line(bytes);
        let writer = std::thread::spawn(move || {
            let mut rest = line.as_bytes();
            while let Ok(sent @ 1..) = send(&near, rest, SendFlags::NOSIGNAL) {
                rest = &rest[sent..];
            }
        });
        assert_eq!(Receiver::new(far).receive().is_ok(), good, "{bytes} bytes");
        writer.join().unwrap();
    }
    let key = "k".repeat(LINE_BYTES_MAX);
    assert!(Sender::new(pair().0).queue(&Message::Delete(vec![key])).is_err());
}

#[test]
fn descriptors_that_nobody_asked_for_are_not_hoarded() {
    let (near, far) = pair();
    let (sender, mut receiver) = (Sender::new(near), Receiver::new(far));
    let object = File::open("/dev/null").unwrap();
    for _ in 0..20 {
        sender.send_with_fd(&Message::Scan, object.as_fd()).unwrap();
        receiver.receive().unwrap();
    }
    for _ in 0..17 {
        sender.send(&Message::Pool(line(1, 4096, 1))).unwrap();
    }
    let taken = (0..17).take_while(|_| receiver.receive().is_ok()).count();
    assert_eq!(taken, 16);
}

fn line(pid: u32, unit_bytes: u32, units: u32) -> PoolLine {
    PoolLine { name: PoolName { agent: AgentKind::Reader, pid }, unit_bytes, units }
}

fn attached() -> Attached {
    Attached::new(Releases::new(Arc::new(Sender::new(pair().0))))
}

#[test]
fn a_pool_must_be_what_it_says() {
    for (units, unit_bytes, bytes) in
        [(1, 0, 8192), (0, 4096, 8192), (1, 4095, 8192), (3, 4096, 8192), (u32::MAX, !4095, 8192)]
    {
        assert!(
            attached().attach(&line(1, unit_bytes, units), &object(bytes)).is_err(),
            "{units} × {unit_bytes} in {bytes}"
        );
    }
    attached().attach(&line(1, 4096, 2), &object(8192)).unwrap();
}

#[test]
fn pools_are_announced_once_and_not_without_end() {
    let attached = attached();
    attached.attach(&line(0, 4096, 1), &object(4096)).unwrap();
    assert!(attached.attach(&line(0, 4096, 1), &object(4096)).is_err());
    let taken = (1..100).take_while(|&pid| attached.attach(&line(pid, 4096, 1), &object(4096)).is_ok()).count();
    assert_eq!(1 + taken, 16);
}

#[test]
fn a_slot_is_inside_a_pool_that_was_announced_with_its_padding() {
    let attached = attached();
    attached.attach(&line(1, 4096, 2), &object(8192)).unwrap();
    for (id, len) in
        [("reader_1_0", 8192), ("reader_1_1", 4096), ("reader_1_1", 1), ("reader_1_1", 0), ("reader_1_2", 0)]
    {
        assert_eq!(attached.slot(id.parse().unwrap(), len).unwrap().bytes().len() as u64, len, "{id} {len}");
    }
    for (id, len) in [
        ("reader_2_0", 1),
        ("diff_1_0", 1),
        ("reader_1_0", 8193),
        ("reader_1_1", 4097),
        ("reader_1_2", 1),
        ("reader_1_4294967295", 0),
        ("reader_1_0", u64::MAX),
        ("reader_1_1", u64::MAX - 4095),
    ] {
        assert!(attached.slot(id.parse().unwrap(), len).is_err(), "{id} with {len} bytes was taken");
    }
}

#[test]
fn a_table_must_be_what_it_says_and_is_read_inside_only() {
    let line = |kind, entries| TableLine { kind, entries };
    let (checksums, known) = (TableKind::Checksums, TableKind::Known);
    for (kind, entries) in [(checksums, 0), (checksums, 3), (checksums, 1), (checksums, u64::MAX), (known, 2)] {
        assert!(Table::attach(line(kind, entries), object(64)).is_err(), "{entries} {kind}");
    }
    let table = Table::attach(line(checksums, 2), object(64)).unwrap();
    let mut entry = [1; 32];
    table.read(1, &mut entry).unwrap();
    assert_eq!(entry, [0; 32]);
    for first in [2, u64::MAX / 32, u64::MAX] {
        assert!(table.read(first, &mut entry).is_err(), "entry {first}");
    }
    assert!(table.read(1, &mut [0; 64]).is_err());
    // An object that was shortened after its announcement causes an error, not a SIGBUS.
    let shortened = object(64);
    let table = Table::attach(line(checksums, 2), shortened.try_clone().unwrap()).unwrap();
    ftruncate(&shortened, 32).unwrap();
    assert!(table.read(1, &mut entry).is_err());
}
