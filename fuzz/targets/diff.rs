//! Fuzzes the reader of an `rbd export-diff` stream. Every extent is within the image, and nothing beyond the stream's
//! end is read.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the writer is not fuzzed")]

use libfuzzer_sys::fuzz_target;

/// The module of the program, which has no library.
#[path = "../../engine/src/diff_stream/mod.rs"]
mod diff_stream;

mod words {
    pub(crate) fn words(error: &std::io::Error) -> String {
        error.to_string()
    }
}

fuzz_target!(|stream: &[u8]| {
    let Ok(mut reader) = diff_stream::Reader::new(stream) else { return };
    let image_bytes = reader.head().bytes;
    let mut data = Vec::new();
    while let Ok(Some(record)) = reader.next() {
        assert!(record.range.start <= record.range.end && record.range.end <= image_bytes);
        let bytes = record.range.end - record.range.start;
        // Reads one piece at a time, as the program does.
        if record.has_data && bytes > 0 {
            data.resize(bytes.min(4096) as usize, 0);
            if reader.fill(&mut data).is_err() {
                return;
            }
        }
    }
});
