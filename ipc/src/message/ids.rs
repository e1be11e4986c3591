//! The names of agents, pools and slots.
//!
//! A pool is named after the process that owns it (`reader_12345`). A slot is named after its pool and its first unit
//! (`reader_12345_7`). So every command shows which process owns the memory that it names.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One step of a pipeline: the kind of an agent process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the documentation; DESIGN and PROTOCOL say the rest")]
pub enum AgentKind {
    Master,
    Reader,
    Checksum,
    Diff,
    Compressor,
    Datawriter,
    Metawriter,
    Backupreader,
    Decompressor,
    Volumewriter,
    S3worker,
}

impl AgentKind {
    /// Every kind of agent.
    pub const ALL: [Self; 11] = [
        Self::Master,
        Self::Reader,
        Self::Checksum,
        Self::Diff,
        Self::Compressor,
        Self::Datawriter,
        Self::Metawriter,
        Self::Backupreader,
        Self::Decompressor,
        Self::Volumewriter,
        Self::S3worker,
    ];

    /// The name on the wire, and in `septet-<name>`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Reader => "reader",
            Self::Checksum => "checksum",
            Self::Diff => "diff",
            Self::Compressor => "compressor",
            Self::Datawriter => "datawriter",
            Self::Metawriter => "metawriter",
            Self::Backupreader => "backupreader",
            Self::Decompressor => "decompressor",
            Self::Volumewriter => "volumewriter",
            Self::S3worker => "s3worker",
        }
    }

    /// The process name that `ps` shows.
    pub fn process_name(self) -> String {
        format!("septet-{}", self.name())
    }
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AgentKind {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(BadId("agent name"))
    }
}

/// A pool's name: the agent that owns it and that agent's process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolName {
    /// The owner's kind.
    pub agent: AgentKind,
    /// The owner's process id.
    pub pid: u32,
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.agent, self.pid)
    }
}

impl FromStr for PoolName {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (agent, pid) = text.split_once('_').ok_or(BadId("pool name"))?;
        Ok(Self { agent: agent.parse()?, pid: number(pid)? })
    }
}

/// A slot's name: its pool and the number of its first unit (`shm_id` on the wire).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    /// The pool that holds the slot.
    pub pool: PoolName,
    /// The first unit of the slot, counted from the pool's start.
    pub unit: u32,
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.pool, self.unit)
    }
}

impl FromStr for SlotId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (pool, unit) = text.rsplit_once('_').ok_or(BadId("shm_id"))?;
        Ok(Self { pool: pool.parse()?, unit: number(unit)? })
    }
}

/// The text is not a valid name.
#[derive(Debug, thiserror::Error)]
#[error("not a valid {0}")]
pub struct BadId(&'static str);

/// Accepts only plain decimal digits. `u32::from_str` alone would accept a sign.
fn number(text: &str) -> Result<u32, BadId> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadId("number in an id"));
    }
    text.parse().map_err(|_| BadId("number in an id"))
}

macro_rules! serde_as_text {
    ($type:ty, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}
serde_as_text!(PoolName, "a pool such as reader_12345");
serde_as_text!(SlotId, "a shm_id such as reader_12345_1");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_is_found_by_its_name() {
        for kind in AgentKind::ALL {
            assert_eq!(kind.name().parse::<AgentKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }

    #[test]
    fn a_slot_id_reads_as_it_is_written() {
        let id: SlotId = "reader_12345_1".parse().unwrap();
        assert_eq!(id.pool.agent, AgentKind::Reader);
        assert_eq!((id.pool.pid, id.unit), (12345, 1));
        assert_eq!(id.to_string(), "reader_12345_1");
    }

    #[test]
    fn what_is_no_slot_id_is_refused() {
        for text in
            ["", "reader", "reader_1", "cat_1_1", "reader_+1_1", "reader_1_-1", "reader_1_4294967296", "reader_1_"]
        {
            assert!(text.parse::<SlotId>().is_err(), "{text:?} was taken");
        }
    }
}
