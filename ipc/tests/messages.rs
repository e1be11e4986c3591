//! Every message arrives as it was sent. Any other input causes no panic.

#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use septet_format::{BackupId, BackupRef, BlockHash, Codec, Machine, TableRef, Tracking, VolumeName};
use septet_ipc::message::{CheckedLine, PoolLine, Receiver, SegmentLine, SegmentName, Sender, TableKind, TableLine};
use septet_ipc::{
    AgentKind, BackupJob, Begin, Command, Compression, DeleteJob, Failure, FailureKind, Message, PoolName, RestoreJob,
    Resume, Sample, SlotId, State, VerifyJob,
};
use uuid::Uuid;

fn hash() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash::from)
}

fn backup() -> impl Strategy<Value = BackupId> {
    "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}".prop_map(|name| name.parse().unwrap())
}

fn volume() -> impl Strategy<Value = VolumeName> {
    "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}".prop_map(|name| name.parse().unwrap())
}

fn pool() -> impl Strategy<Value = PoolName> {
    (agent(), any::<u32>()).prop_map(|(agent, pid)| PoolName { agent, pid })
}

fn slot() -> impl Strategy<Value = SlotId> {
    (pool(), any::<u32>()).prop_map(|(pool, unit)| SlotId { pool, unit })
}

fn agent() -> impl Strategy<Value = AgentKind> {
    prop::sample::select(AgentKind::ALL.to_vec())
}

fn table_kind() -> impl Strategy<Value = TableKind> {
    prop::sample::select(vec![TableKind::Checksums, TableKind::Known, TableKind::Map])
}

fn state() -> impl Strategy<Value = State> {
    use State::{Damaged, Data, Hole, Kept, Map, Present, Unchanged, Zero};
    prop::sample::select(vec![Map, Present, Data, Hole, Zero, Kept, Unchanged, Damaged])
}

prop_compose! {
    fn command()(
        (offset, size) in (any::<u64>(), any::<u64>()).prop_map(|(offset, size)| (offset, size.min(u64::MAX - offset))),
        state in state(),
        shm_id in option::of(slot()),
        hash in option::of(hash()),
        codec in option::of(prop::sample::select(vec![Codec::Raw, Codec::Lz4])),
        (stored, crc32, segment) in any::<(Option<u32>, Option<u32>, Option<u32>)>(),
        (segment_offset, reason) in any::<(Option<u64>, Option<String>)>(),
        (volume, backup) in (option::of(volume()), option::of(backup())),
    ) -> Command {
        Command {
            offset, size, state, shm_id, hash, codec, stored, crc32, volume, backup, segment, segment_offset, reason,
        }
    }
}

prop_compose! {
    fn tracking()(
        (kind, source_id, snapshot, snapshot_id) in any::<(String, String, String, String)>(),
        layout in proptest::collection::btree_map(any::<String>(), any::<u64>(), 0..4),
    ) -> Box<Tracking> {
        let layout = layout.into_iter().map(|(name, value)| (name, value.into())).collect();
        Box::new(Tracking { kind, source_id, snapshot, snapshot_id, layout })
    }
}

prop_compose! {
    fn backup_ref()(
        backup in backup(),
        (generation, of_checksums, of_map) in any::<(u32, (u32, u64), (u32, u64))>(),
        (checksums, map) in (hash(), hash()),
    ) -> BackupRef {
        let table = |(generation, bytes), root| TableRef { generation, bytes, root };
        BackupRef { backup, generation, checksums: table(of_checksums, checksums), map: table(of_map, map) }
    }
}

prop_compose! {
    fn backup_job()(
        (source, repo, repository) in any::<(String, String, u128)>(),
        (volume, backup, parent) in (volume(), backup(), option::of(backup_ref())),
        compression in prop::sample::select(vec![Compression::Lz4, Compression::None]),
        (sequence, block_bytes, streams) in any::<(u64, u32, u32)>(),
        (pool_bytes, segment_bytes, volume_bytes) in any::<(u64, u64, Option<u64>)>(),
        metadata in option::of(any::<String>().prop_map(|text| serde_json::json!({ "text": text }))),
        (audit_ppm, spool) in any::<(u32, Option<String>)>(),
        resume in option::of(any::<bool>()),
        (base, tracking) in (option::of(tracking()), option::of(tracking())),
        (source_kind, source_identity, machine_id, machine_name) in any::<(String, String, String, String)>(),
        attempt: u32,
    ) -> BackupJob {
        let repository = Uuid::from_u128(repository);
        BackupJob {
            source, source_kind, source_identity, machine: Machine { id: machine_id, name: machine_name },
            repo, repository, volume, backup, attempt, parent, sequence, block_bytes, compression, streams, pool_bytes,
            segment_bytes, volume_bytes, metadata,
            resume: resume.map(|unchanged| Resume { unchanged }),
            tracking, base, audit_ppm, spool,
        }
    }
}

prop_compose! {
    fn restore_job()(
        (repo, repository, target) in any::<(String, u128, String)>(),
        (overwrite, zeroed, keep_going) in any::<(bool, bool, bool)>(),
        (volume, backup) in (volume(), backup_ref()),
        (offset_bytes, length_bytes, volume_bytes) in any::<(u64, u64, u64)>(),
        (block_bytes, streams, pool_bytes) in any::<(u32, u32, u64)>(),
        (create, tracking) in (any::<bool>(), option::of(tracking())),
    ) -> RestoreJob {
        RestoreJob {
            repo, repository: Uuid::from_u128(repository), volume, backup, target, overwrite, zeroed, keep_going, offset_bytes, length_bytes, volume_bytes,
            block_bytes, streams, pool_bytes, create, tracking,
        }
    }
}

fn job() -> impl Strategy<Value = Begin> {
    let numbers = any::<(String, u128, u32, u32, u64)>();
    prop_oneof![
        backup_job().prop_map(Begin::Backup),
        restore_job().prop_map(Begin::Restore),
        (numbers, volume(), vec(backup(), 0..4), option::of(any::<(u32, u64)>())).prop_map(
            |((repo, id, block_bytes, streams, pool_bytes), volume, backups, sample)| {
                let sample = sample.map(|(ppm, round)| Sample { ppm, round });
                let repository = Uuid::from_u128(id);
                Begin::Verify(VerifyJob { repo, repository, volume, backups, block_bytes, streams, pool_bytes, sample })
            }
        ),
        (any::<(String, u128)>(), volume(), vec(backup(), 0..4)).prop_map(|((repo, id), volume, backups)| {
            Begin::Delete(DeleteJob { repo, repository: Uuid::from_u128(id), volume, backups })
        }),
    ]
}

fn segment() -> impl Strategy<Value = SegmentName> {
    (any::<u128>(), volume(), backup(), any::<(u32, u64)>(), hash()).prop_map(
        |(id, volume, backup, (number, bytes), hash)| SegmentName {
            repository: Uuid::from_u128(id),
            volume,
            backup,
            number,
            bytes,
            hash,
        },
    )
}

fn failure() -> impl Strategy<Value = Failure> {
    use FailureKind::{Damaged, Peer, Protocol, SharedMemory, Store, Volume};
    let kind = prop::sample::select(vec![Volume, Store, Damaged, SharedMemory, Protocol, Peer]);
    (kind, option::of(agent()), any::<(String, String)>()).prop_map(|(kind, agent, (doing, cause))| Failure {
        kind,
        agent,
        doing,
        cause,
    })
}

fn message() -> impl Strategy<Value = Message> {
    let keys = || vec(any::<String>(), 0..4);
    prop_oneof![
        job().prop_map(|job| Message::Begin(Box::new(job))),
        (pool(), any::<(u32, u32)>()).prop_map(|(name, (unit_bytes, units))| Message::Pool(PoolLine {
            name,
            unit_bytes,
            units
        })),
        (table_kind(), any::<u64>()).prop_map(|(kind, entries)| Message::Table(TableLine { kind, entries })),
        command().prop_map(|command| Message::Command(Box::new(command))),
        (any::<(u32, u64)>(), hash()).prop_map(|((number, bytes), hash)| Message::Segment(SegmentLine {
            number,
            bytes,
            hash
        })),
        Just(Message::Scan),
        any::<u64>().prop_map(Message::Scanned),
        segment().prop_map(Message::Found),
        segment().prop_map(Message::Check),
        (volume(), backup(), any::<(u32, u64, Option<String>)>()).prop_map(
            |(volume, backup, (number, blocks, damaged))| {
                Message::Checked(CheckedLine { volume, backup, number, blocks, damaged })
            }
        ),
        keys().prop_map(Message::Garbage),
        keys().prop_map(Message::Delete),
        keys().prop_map(Message::Deleted),
        Just(Message::End),
        failure().prop_map(|failure| Message::Error(Box::new(failure))),
        vec(slot(), 0..4).prop_map(Message::Release),
    ]
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut line = Vec::new();
    message.encode(&mut line).unwrap();
    line
}

/// A message line with some bytes changed, removed or inserted. It is closer to a message than random bytes.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3u8);
    (message(), vec(change, 1..4)).prop_map(|(message, changes)| {
        let mut line = encoded(&message);
        for (at, byte, how) in changes {
            let at = at.index(line.len());
            match how {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ if line.len() > 1 => drop(line.remove(at)),
                _ => {}
            }
        }
        line
    })
}

proptest! {
    #[test]
    fn a_message_reads_as_it_was_written_and_is_one_line(message in message()) {
        let line = encoded(&message);
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(Message::decode(&line).unwrap(), message);
    }

    #[test]
    fn any_bytes_are_refused_or_are_a_message(bytes in prop_oneof![vec(any::<u8>(), 0..200), spoilt()]) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&encoded(&message)).unwrap(), message);
        }
    }

    #[test]
    fn messages_arrive_however_the_stream_is_cut(
        messages in vec(message().prop_filter("has a descriptor", |message| !message.carries_fd()), 1..20),
        cut in 1usize..500,
    ) {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let stream: Vec<u8> = messages.iter().flat_map(encoded).collect();
        let writer = std::thread::spawn(move || {
            for mut piece in stream.chunks(cut) {
                while !piece.is_empty() {
                    piece = &piece[send(&near, piece, SendFlags::NOSIGNAL).unwrap()..];
                }
            }
        });
        let mut receiver = Receiver::new(far);
        for message in messages {
            prop_assert_eq!(receiver.receive().unwrap().unwrap().0, message);
        }
        prop_assert!(receiver.receive().unwrap().is_none());
        writer.join().unwrap();
    }

    #[test]
    fn a_descriptor_arrives_with_its_own_line(before in vec(message(), 0..5), message in message()) {
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let sender = Sender::new(near);
        let object = std::fs::File::open("/dev/null").unwrap();
        let mut receiver = Receiver::new(far);
        for message in before.into_iter().chain([message]) {
            if message.carries_fd() {
                sender.send_with_fd(&message, std::os::fd::AsFd::as_fd(&object)).unwrap();
            } else {
                sender.send(&message).unwrap();
            }
            let (received, fd) = receiver.receive().unwrap().unwrap();
            prop_assert_eq!(fd.is_some(), message.carries_fd());
            prop_assert_eq!(received, message);
        }
    }
}
