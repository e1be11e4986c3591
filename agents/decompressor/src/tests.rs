//! Tests blocks that are decoded correctly, and damaged blocks that are rejected.

use septet_ipc::Item;
use septet_ipc::test_support::results;

use super::*;

fn agent(on_damage: OnDamage) -> Decompressor {
    let pool = Pool::create(AgentKind::Decompressor, 65536, 1 << 20).unwrap();
    Decompressor { pool, block_bytes: 65536, on_damage, keep: true }
}

fn handled(agent: &Decompressor, stored: &[u8], codec: Codec, block: &[u8]) -> Result<Work, Failure> {
    let from = Pool::create(AgentKind::Backupreader, 4096, 1 << 20).unwrap();
    let mut slot = from.take(stored.len()).unwrap();
    slot.bytes_mut()[..stored.len()].copy_from_slice(stored);
    let mut work = Work::new(0, block.len() as u64, State::Data);
    work.command.codec = Some(codec);
    work.command.hash = Some(BlockHash::of(block));
    work.slot = Some(slot.filled(stored.len()));
    let mut items = results(|worker| agent.handle(work, worker))?;
    let Some(Item::Work(work)) = items.pop() else { panic!("no result") };
    Ok(work)
}

#[test]
fn lz4_and_raw_blocks_come_back_as_they_were() {
    let block = b"seven agents ".repeat(1000);
    let stored = lz4_flex::block::compress(&block);
    let agent = agent(OnDamage::Fail);
    assert_eq!(handled(&agent, &stored, Codec::Lz4, &block).unwrap().bytes().unwrap(), block);
    assert_eq!(handled(&agent, &block, Codec::Raw, &block).unwrap().bytes().unwrap(), block);
}

#[test]
fn a_flipped_byte_anywhere_never_passes() {
    let block = b"seven agents ".repeat(100);
    let stored = lz4_flex::block::compress(&block);
    let agent = agent(OnDamage::Report);
    for at in 0..stored.len() {
        let mut flipped = stored.clone();
        flipped[at] ^= 0x20;
        let work = handled(&agent, &flipped, Codec::Lz4, &block).unwrap();
        match work.bytes() {
            Some(bytes) => assert_eq!(bytes, block, "byte {at}"),
            None => assert_eq!(work.command.state, State::Damaged, "byte {at}"),
        }
    }
    assert_eq!(agent.pool.taken(), 0, "a damaged block keeps its slot");
}

#[test]
fn a_bomb_fills_no_more_than_a_block() {
    let bomb = lz4_flex::block::compress(&vec![0; 64 << 20]);
    let agent = agent(OnDamage::Report);
    let work = handled(&agent, &bomb, Codec::Lz4, &[0; 65536]).unwrap();
    assert_eq!((work.command.state, agent.pool.taken()), (State::Damaged, 0));
}

#[test]
fn damage_ends_a_restore_that_must_be_whole() {
    let failure = handled(&agent(OnDamage::Fail), b"wrong", Codec::Raw, b"right").unwrap_err();
    assert!(failure.cause.contains("bytes 0..5 are damaged"), "{failure}");
}
