//! The content of volumes in tests. It is generated from a seed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The unit in which file systems can leave holes.
const PAGE_BYTES: usize = 4096;

/// A pseudorandom number generator with a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, from the whole range.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`. `end` must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next_u64() % end as u64).expect("below a usize")
    }

    /// One of `choices`.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// Bytes that no codec can compress.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    // Tests generate gigabytes of noise. Without iterators this is fast in a debug build, too.
    let mut noise = vec![0; bytes.next_multiple_of(8)];
    for word in noise.as_chunks_mut::<8>().0 {
        *word = rng.next_u64().to_le_bytes();
    }
    noise.truncate(bytes);
    noise
}

/// Bytes that compress well and differ by seed.
pub fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let line = format!("line {seed} of a text that says the same over and over\n");
    line.bytes().cycle().take(bytes).collect()
}

/// Pieces of noise, text and zeros. Each is `piece_bytes` long, the last may be shorter. So there is every kind of
/// block, and there are zeros that [`write_sparse`] turns into holes.
pub fn mixed(seed: u64, bytes: usize, piece_bytes: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut mixed = Vec::with_capacity(bytes);
    while mixed.len() < bytes {
        let piece = piece_bytes.min(bytes - mixed.len());
        match rng.below(4) {
            0 => mixed.resize(mixed.len() + piece, 0),
            1 => mixed.extend(text(rng.next_u64(), piece)),
            _ => mixed.extend(noise(rng.next_u64(), piece)),
        }
    }
    mixed
}

/// Writes a file with holes instead of pages of zeros.
pub fn write_sparse(path: &Path, content: &[u8]) {
    let file = File::create(path).expect("making a sparse file");
    file.set_len(content.len() as u64).expect("its length");
    for (page, bytes) in content.chunks(PAGE_BYTES).enumerate() {
        if bytes.iter().any(|byte| *byte != 0) {
            file.write_all_at(bytes, (page * PAGE_BYTES) as u64).expect("writing a page");
        }
    }
}
