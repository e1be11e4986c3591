//! Memory for O_DIRECT, aligned to 4096 bytes, without unsafe code.
//!
//! The allocation is larger than needed by the alignment and is used from its first aligned byte on. It never grows, so
//! this byte does not move.

/// An alignment that every device and file system accepts.
pub(crate) const ALIGN_BYTES: usize = 4096;

/// A zeroed buffer of fixed size that starts at a multiple of 4096 in memory.
pub(crate) struct AlignedBuf {
    allocation: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl AlignedBuf {
    pub(crate) fn new(bytes: usize) -> Self {
        let allocation = vec![0; bytes + ALIGN_BYTES];
        let start = allocation.as_ptr().addr().next_multiple_of(ALIGN_BYTES) - allocation.as_ptr().addr();
        Self { allocation, start, bytes }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.allocation[self.start..self.start + self.bytes]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.allocation[self.start..self.start + self.bytes]
    }
}

/// Whether O_DIRECT accepts this memory.
pub(crate) fn is_aligned(buf: &[u8]) -> bool {
    buf.as_ptr().addr().is_multiple_of(ALIGN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_aligned_and_zero() {
        for bytes in [0, 1, 4095, 4096, 1 << 20] {
            let mut buf = AlignedBuf::new(bytes);
            assert!(is_aligned(buf.as_slice()));
            assert_eq!(buf.as_slice(), vec![0; bytes]);
            assert_eq!(buf.as_mut_slice().len(), bytes);
        }
        assert!(!is_aligned(&AlignedBuf::new(2).as_slice()[1..]));
    }
}
