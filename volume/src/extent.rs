//! An extent: a range of a volume whose kind is known before it is read.
//!
//! A hole or an unchanged range of any size is one extent and is never read.

/// What is known about an extent before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentKind {
    /// Holds bytes that must be read.
    Data,
    /// Was never written, or was discarded. Reads as zeros.
    Hole,
    /// Is the same as in the parent backup, according to the storage (from an RBD diff).
    Unchanged,
}

/// A range of one kind. It is empty only if it was requested at its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The offset of its first byte in the volume.
    pub offset_bytes: u64,
    /// Its length.
    pub size_bytes: u64,
    /// What is known about it.
    pub kind: ExtentKind,
}

impl Extent {
    /// The first byte after the extent.
    pub fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(self.size_bytes)
    }
}
