//! One sample of everything that goes over a wire, with every field set.
//!
//! Each list is made from a `match` without a wildcard, or from a literal with all fields. So an addition to the code
//! does not compile here until it is in the list, and then in the document.

use septet_format::{BackupRef, BlockHash, Codec, Machine, TableRef, Tracking};
use septet_ipc::message::{
    CheckedLine, Damage, PoolLine, Progress, SegmentLine, SegmentName, Status, TableKind, TableLine,
};
use septet_ipc::{
    AgentKind, BackupJob, Begin, Command, Compression, DeleteJob, Event, Failure, FailureKind, Message, RestoreJob,
    Resume, Sample, State, VerifyJob,
};
use uuid::Uuid;

pub(crate) fn messages() -> Vec<Message> {
    let all = vec![
        Message::Pool(PoolLine { name: "reader_1".parse().unwrap(), unit_bytes: 4096, units: 1 }),
        Message::Table(TableLine { kind: TableKind::Checksums, entries: 1 }),
        Message::Command(Box::new(command())),
        Message::Segment(SegmentLine { number: 1, bytes: 1, hash: BlockHash::ZERO }),
        Message::Scan,
        Message::Scanned(1),
        Message::Found(segment()),
        Message::Check(segment()),
        Message::Checked(CheckedLine {
            volume: "v".parse().unwrap(),
            backup: "b".parse().unwrap(),
            number: 1,
            blocks: 1,
            damaged: Some("why".to_owned()),
        }),
        Message::Garbage(vec!["key".to_owned()]),
        Message::Delete(vec!["key".to_owned()]),
        Message::Deleted(vec!["key".to_owned()]),
        Message::End,
        Message::Error(Box::new(failure())),
        Message::Release(vec!["reader_1_0".parse().unwrap()]),
    ];
    let all: Vec<_> = jobs().into_iter().map(|job| Message::Begin(Box::new(job))).chain(all).collect();
    let listed = |message: &Message| match message {
        Message::Begin(_) | Message::Pool(_) | Message::Table(_) | Message::Command(_) | Message::Segment(_) => {}
        Message::Scan | Message::Scanned(_) | Message::Found(_) | Message::Check(_) | Message::Checked(_) => {}
        Message::Garbage(_) | Message::Delete(_) | Message::Deleted(_) => {}
        Message::End | Message::Error(_) | Message::Release(_) => {}
    };
    all.iter().for_each(listed);
    all
}

pub(crate) fn jobs() -> [Begin; 4] {
    let (repo, volume, backup) = (String::from("r"), "v".parse().unwrap(), "b".parse().unwrap());
    let all = [
        Begin::Backup(BackupJob {
            source: "s".to_owned(),
            source_kind: "file".to_owned(),
            source_identity: "i".to_owned(),
            machine: Machine { id: "m".to_owned(), name: "h".to_owned() },
            repo: repo.clone(),
            repository: Uuid::nil(),
            volume,
            backup,
            attempt: 1,
            parent: Some(backup_ref("p")),
            sequence: 1,
            metadata: Some(serde_json::json!({ "name": "n" })),
            block_bytes: 65536,
            compression: Compression::Lz4,
            streams: 1,
            pool_bytes: 1,
            segment_bytes: 1,
            volume_bytes: Some(1),
            resume: Some(Resume { unchanged: true }),
            tracking: Some(Box::new(tracking())),
            base: Some(Box::new(tracking())),
            audit_ppm: 1,
            spool: Some("s".to_owned()),
        }),
        Begin::Restore(RestoreJob {
            repo: repo.clone(),
            repository: Uuid::nil(),
            volume: "v".parse().unwrap(),
            backup: backup_ref("b"),
            target: "t".to_owned(),
            overwrite: true,
            zeroed: false,
            keep_going: true,
            offset_bytes: 0,
            length_bytes: 1,
            volume_bytes: 1,
            block_bytes: 65536,
            streams: 1,
            pool_bytes: 1,
            create: true,
            tracking: Some(Box::new(tracking())),
        }),
        Begin::Verify(VerifyJob {
            repo: repo.clone(),
            repository: Uuid::nil(),
            volume: "v".parse().unwrap(),
            backups: vec!["b".parse().unwrap()],
            block_bytes: 65536,
            streams: 1,
            pool_bytes: 1,
            sample: Some(Sample { ppm: 1, round: 1 }),
        }),
        Begin::Delete(DeleteJob {
            repo,
            repository: Uuid::nil(),
            volume: "v".parse().unwrap(),
            backups: vec!["b".parse().unwrap()],
        }),
    ];
    all.iter().for_each(|job| match job {
        Begin::Backup(_) | Begin::Restore(_) | Begin::Verify(_) | Begin::Delete(_) => {}
    });
    all
}

fn tracking() -> Tracking {
    Tracking {
        kind: "rbd".to_owned(),
        source_id: "5e2f6b8b4567".to_owned(),
        snapshot: "s".to_owned(),
        snapshot_id: "4".to_owned(),
        layout: [("order".to_owned(), 22.into())].into_iter().collect(),
    }
}

fn backup_ref(backup: &str) -> BackupRef {
    let table = TableRef { generation: 1, bytes: 1, root: BlockHash::ZERO };
    BackupRef { backup: backup.parse().unwrap(), generation: 1, checksums: table, map: table }
}

pub(crate) fn command() -> Command {
    Command {
        offset: 0,
        size: 1,
        state: State::Damaged,
        shm_id: Some("reader_1_0".parse().unwrap()),
        hash: Some(BlockHash::ZERO),
        codec: Some(Codec::Lz4),
        stored: Some(1),
        crc32: Some(1),
        volume: Some("v".parse().unwrap()),
        backup: Some("b".parse().unwrap()),
        segment: Some(1),
        segment_offset: Some(4096),
        reason: Some("why".to_owned()),
    }
}

pub(crate) fn states() -> [State; 8] {
    use State::{Damaged, Data, Hole, Kept, Map, Present, Unchanged, Zero};
    let all = [Map, Present, Data, Hole, Zero, Kept, Unchanged, Damaged];
    all.iter().for_each(|state| match state {
        Map | Present | Data | Hole | Zero | Kept | Unchanged | Damaged => {}
    });
    all
}

pub(crate) fn failure() -> Failure {
    Failure {
        kind: FailureKind::Store,
        agent: Some(AgentKind::Reader),
        doing: "doing".to_owned(),
        cause: "cause".to_owned(),
    }
}

pub(crate) fn failure_kinds() -> [FailureKind; 8] {
    use FailureKind::{Damaged, NoSpace, Peer, Protocol, SharedMemory, Store, Untrusted, Volume};
    let all = [Volume, Store, NoSpace, Damaged, Untrusted, SharedMemory, Protocol, Peer];
    all.iter().for_each(|kind| match kind {
        Volume | Store | NoSpace | Damaged | Untrusted | SharedMemory | Protocol | Peer => {}
    });
    all
}

pub(crate) fn events() -> [Event; 5] {
    let damage = Damage {
        volume: Some("v".parse().unwrap()),
        backup: Some("b".parse().unwrap()),
        segment: Some(1),
        segment_offset: Some(4096),
        offset: 0,
        size: 1,
        reason: "why".to_owned(),
    };
    let all = [
        Event::Status(status()),
        Event::Note { agent: AgentKind::Reader, text: "text".to_owned() },
        Event::Failed(failure()),
        Event::Progress(progress()),
        Event::Damage(damage),
    ];
    all.iter().for_each(|event| match event {
        Event::Status(_) | Event::Note { .. } | Event::Failed(_) | Event::Progress(_) | Event::Damage(_) => {}
    });
    all
}

pub(crate) fn status() -> Status {
    Status::alive(AgentKind::Reader)
}

pub(crate) fn progress() -> Progress {
    Progress::default()
}

fn segment() -> SegmentName {
    SegmentName {
        repository: Uuid::nil(),
        volume: "v".parse().unwrap(),
        backup: "b".parse().unwrap(),
        number: 1,
        bytes: 4096,
        hash: BlockHash::ZERO,
    }
}
