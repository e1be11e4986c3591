//! Fuzzes a whole repository in which any byte may be changed. Opening, listing, reading, auditing and rebuilding its
//! backups end with a result or an error.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use septet_repository::audit::{DamagedSegments, IndexCache, damaged_ranges};
use septet_repository::{BackupReader, Repository, rebuild};
use septet_store::{Memory, Store};

const OBJECTS: [(&str, &[u8]); 9] = [
    ("septet.json", include_bytes!("../../format/tests/golden/repo/septet.json")),
    ("vol/b1/manifest-0.json", include_bytes!("../../format/tests/golden/repo/vol/b1/manifest-0.json")),
    ("vol/b1/checksums-0", include_bytes!("../../format/tests/golden/repo/vol/b1/checksums-0")),
    ("vol/b1/map-0", include_bytes!("../../format/tests/golden/repo/vol/b1/map-0")),
    ("vol/b1/segments/000000", include_bytes!("../../format/tests/golden/repo/vol/b1/segments/000000")),
    ("vol/b2/manifest-0.json", include_bytes!("../../format/tests/golden/repo/vol/b2/manifest-0.json")),
    ("vol/b2/checksums-0", include_bytes!("../../format/tests/golden/repo/vol/b2/checksums-0")),
    ("vol/b2/map-0", include_bytes!("../../format/tests/golden/repo/vol/b2/map-0")),
    ("vol/b2/segments/000000", include_bytes!("../../format/tests/golden/repo/vol/b2/segments/000000")),
];

/// Changes an object: changes some bytes at an offset, or truncates the object there.
fn change(objects: &mut [Vec<u8>], edit: &[u8; 12]) {
    let object = &mut objects[usize::from(edit[0]) % OBJECTS.len()];
    let at = (usize::from(u16::from_le_bytes([edit[1], edit[2]])) << (edit[3] % 6)).min(object.len());
    if edit[3] == 255 {
        object.truncate(at);
    }
    for (byte, new) in object[at..].iter_mut().zip(&edit[4..]) {
        *byte ^= new;
    }
}

fuzz_target!(|edits: &[u8]| {
    let mut objects: Vec<Vec<u8>> = OBJECTS.iter().map(|(_, bytes)| bytes.to_vec()).collect();
    edits.as_chunks::<12>().0.iter().for_each(|edit| change(&mut objects, edit));
    let store: Arc<dyn Store> = Memory::new("fuzz");
    for ((key, _), object) in OBJECTS.iter().zip(objects) {
        store.put(key, Bytes::from(object)).expect("a store in memory");
    }
    let Ok(repository) = Repository::open_store(store) else { return };
    let volume = "vol".parse().expect("a name");
    let Ok(listing) = repository.backups(&volume) else { return };
    for manifest in listing.manifests {
        let _ = damaged_ranges(&repository, &manifest, &DamagedSegments::default(), &mut IndexCache::default(), None);
        if let Ok(reader) = BackupReader::open(&repository, manifest.clone()) {
            let mut content = Vec::new();
            (0..reader.index().geometry().blocks().min(32)).for_each(|block| {
                let _ = reader.read_block(block, &mut content);
            });
        }
        let _ = rebuild(&repository, &manifest, &mut |_, _| ());
    }
});
