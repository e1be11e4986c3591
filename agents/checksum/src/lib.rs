//! `septet-checksum` hashes every block, except blocks of zeros.
//!
//! A block of zeros is neither hashed nor sent on with its bytes: its slot goes back to the reader here.

use septet_format::BlockHash;
use septet_ipc::agent::{Weight, cores};
use septet_ipc::{Agent, AgentKind, Begin, Context, Failure, State, Work, Worker};

/// The agent. It has no state.
pub struct Checksum;

impl Agent for Checksum {
    const KIND: AgentKind = AgentKind::Checksum;
    const NEEDS_NOTHING: bool = true;

    fn begin(_: &mut Begin, _: &Context) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn workers(&self) -> usize {
        cores()
    }

    fn weight(&self, work: &Work) -> Weight {
        Weight::of_payload(work)
    }

    fn handle(&self, mut work: Work, worker: &Worker<'_>) -> Result<(), Failure> {
        if let Some(bytes) = work.bytes() {
            if is_zero(bytes) {
                work.command.state = State::Zero;
                work.slot = None;
            } else {
                work.command.hash = Some(BlockHash::of(bytes));
            }
        }
        worker.send(work)
    }
}

/// Whether all bytes are zero. For nearly all data, the first 1 KiB decides.
fn is_zero(bytes: &[u8]) -> bool {
    // Without an early exit in the inner loop, the compiler vectorizes it.
    bytes.chunks(1024).all(|chunk| chunk.iter().fold(0, |any, byte| any | byte) == 0)
}

#[cfg(test)]
mod tests {
    use septet_ipc::test_support::results;
    use septet_ipc::{Item, Pool};

    use super::*;

    fn checked(bytes: &[u8]) -> (Work, usize) {
        let pool = Pool::create(AgentKind::Reader, 4096, 1 << 16).unwrap();
        let mut slot = pool.take(bytes.len()).unwrap();
        slot.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        let mut work = Work::new(0, bytes.len() as u64, State::Data);
        work.slot = Some(slot.filled(bytes.len()));
        let mut items = results(|worker| Checksum.handle(work, worker)).unwrap();
        let Some(Item::Work(work)) = items.pop() else { panic!("no result") };
        (work, pool.taken())
    }

    #[test]
    fn data_is_hashed_and_keeps_its_slot() {
        let (work, taken) = checked(b"septet");
        assert_eq!(work.command.hash, Some(BlockHash::of(b"septet")));
        assert_eq!((work.command.state, taken), (State::Data, 1));
    }

    #[test]
    fn zeros_are_found_and_their_slot_is_free_at_once() {
        let (work, taken) = checked(&[0; 5000]);
        assert_eq!((work.command.state, work.command.hash, taken), (State::Zero, None, 0));
    }

    #[test]
    fn one_bit_at_the_end_is_data() {
        let mut bytes = [0; 5000];
        bytes[4999] = 1;
        assert_eq!(checked(&bytes).0.command.state, State::Data);
    }
}
