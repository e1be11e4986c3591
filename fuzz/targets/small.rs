//! Fuzzes small inputs: `septet.json`, markers, the keys of objects, and the names of images.
#![no_main]

use libfuzzer_sys::fuzz_target;
use septet_format::{Pending, RepositoryInfo, keys};
use septet_volume::VolumeUrl;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(info) = RepositoryInfo::decode(bytes) {
        assert_eq!(RepositoryInfo::decode(&info.encode()).expect("it was one before").id, info.id);
    }
    if let Ok(marker) = Pending::decode(bytes) {
        assert_eq!(Pending::decode(&marker.encode()).expect("it was one before"), marker);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(url) = text.parse::<VolumeUrl>()
    {
        assert_eq!(url.to_string().parse::<VolumeUrl>().expect("it was one before"), url);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && keys::parse(text).is_some()
    {
        septet_store::check_key(text).expect("a key of ours is a key");
        assert!(!text.split('/').any(|name| name == ".."), "out of the repository");
    }
});
