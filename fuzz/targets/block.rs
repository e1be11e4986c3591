//! Fuzzes the decompressor with a stored block. It accepts only the content that was backed up, and no block unpacks to
//! more than a block's length.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use septet_agent_decompressor::Decompressor;
use septet_format::{BlockHash, Codec, crc32};
use septet_ipc::{Agent, AgentKind, Begin, Context, Item, Pool, State, VerifyJob, Work, Worker};

const BLOCK_BYTES: u32 = 65536;

static AGENT: LazyLock<Decompressor> = LazyLock::new(|| {
    let job = VerifyJob {
        repo: String::new(),
        repository: uuid::Uuid::nil(),
        volume: "vol".parse().expect("a name"),
        backups: Vec::new(),
        block_bytes: BLOCK_BYTES,
        streams: 1,
        pool_bytes: 1 << 20,
        sample: None,
    };
    Decompressor::begin(&mut Begin::Verify(job), &Context::new(AgentKind::Decompressor)).expect("a pool")
});

static STORED: LazyLock<Arc<Pool>> =
    LazyLock::new(|| Pool::create(AgentKind::Backupreader, 4096, 1 << 17).expect("a pool"));

fuzz_target!(|bytes: &[u8]| {
    let Some((&[size_low, size_high, how, wanted], stored)) = bytes.split_first_chunk::<4>() else { return };
    let size = u64::from(u16::from_le_bytes([size_low, size_high])) + u64::from(how >> 7) * 65536;
    let Ok(mut slot) = STORED.take(stored.len().max(1)) else { return };
    slot.bytes_mut()[..stored.len()].copy_from_slice(stored);
    let mut work = Work::new(0, size, State::Data);
    work.command.codec = [None, Some(Codec::Raw), Some(Codec::Lz4), Some(Codec::Lz4)][usize::from(how % 4)];
    work.command.crc32 = (how & 4 != 0).then(|| crc32(stored));
    let content = vec![wanted; usize::try_from(size).unwrap_or(0)];
    work.command.hash = Some(BlockHash::of(if how & 8 == 0 { &content } else { stored }));
    work.slot = Some(slot.filled(stored.len()));
    let output = Mutex::new(Vec::new());
    if AGENT.handle(work, &Worker::unmeasured(&output)).is_ok() {
        let sent = output.into_inner().expect("one thread");
        assert!(matches!(&sent[..], [Item::Work(work)] if work.slot.is_none()), "a verification keeps no block");
    }
    assert_eq!(STORED.taken(), 0, "a slot was kept");
});
