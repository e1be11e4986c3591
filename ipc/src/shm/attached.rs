//! The pools of other agents, each mapped once, and the slots in them that commands name.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};

use super::ALIGN_BYTES;
use super::mapping::{Mapping, Region};
use super::releases::Releases;
use super::slot::{Home, Slot};
use crate::message::Failure;
use crate::message::PoolLine;
use crate::message::{PoolName, SlotId};

/// More than any pipeline has. A peer that announces more pools is rejected here.
const POOLS_MAX: usize = 16;

/// The pools that were announced to this agent.
pub struct Attached {
    pools: RwLock<HashMap<PoolName, (PoolLine, Arc<Mapping>)>>,
    releases: Arc<Releases>,
}

impl Attached {
    /// Starts without pools. Slots are released through `releases`.
    pub fn new(releases: Arc<Releases>) -> Self {
        Self { pools: RwLock::new(HashMap::new()), releases }
    }

    /// Maps an announced pool.
    ///
    /// # Errors
    /// The announcement does not match its object.
    pub fn attach(&self, line: &PoolLine, object: &OwnedFd) -> Result<(), Failure> {
        let wrong = |why: &str| Failure::protocol(format!("pool {}: {why}", line.name));
        if line.unit_bytes == 0 || !(line.unit_bytes as usize).is_multiple_of(ALIGN_BYTES) {
            return Err(wrong("its unit is not a multiple of 4096 bytes"));
        }
        let bytes =
            usize::try_from(u64::from(line.unit_bytes) * u64::from(line.units)).map_err(|_| wrong("too large"))?;
        let mapping = Mapping::new(std::os::fd::AsFd::as_fd(object), bytes, false)
            .map_err(|_| wrong("its shared memory is smaller than announced, or can't be mapped"))?;
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= POOLS_MAX || pools.contains_key(&line.name) {
            return Err(wrong("it was announced twice, or there are too many pools"));
        }
        pools.insert(line.name, (line.clone(), mapping));
        Ok(())
    }

    /// The slot `id`, which holds `len` bytes.
    ///
    /// # Errors
    /// The slot is not entirely inside an announced pool.
    pub fn slot(&self, id: SlotId, len: u64) -> Result<Slot, Failure> {
        let pools = self.pools.read().unwrap_or_else(PoisonError::into_inner);
        let (line, mapping) = pools
            .get(&id.pool)
            .ok_or_else(|| Failure::protocol(format!("{id} is in a pool that was never announced")))?;
        let beyond = || Failure::protocol(format!("{id} with {len} bytes is not inside its pool"));
        let start = id.unit as usize * line.unit_bytes as usize;
        let len = usize::try_from(len).map_err(|_| beyond())?;
        let end = len.checked_next_multiple_of(ALIGN_BYTES).and_then(|padded| start.checked_add(padded));
        let region = end.and_then(|end| Region::new(mapping, start..end)).ok_or_else(beyond)?;
        Ok(Slot::new(id, region, len, Arc::clone(&self.releases) as Arc<dyn Home>))
    }
}
