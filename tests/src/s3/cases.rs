//! End-to-end test of a repository in S3, for every server.

use super::{Bucket, Server};
use crate::Scratch;
use crate::content::noise;

/// Tests full and incremental backup, restore, verification, list and deletion in `bucket`.
pub fn round_trip(server: &Server, bucket: &str) {
    let scratch = Scratch::in_memory();
    let repo = Bucket::at(server, &format!("{bucket}/some/where?part-size=5"));
    let mut content = [noise(1, 17 << 20), vec![7; 3 << 20], vec![0; 4 << 20], noise(2, 12_345)].concat();
    let volume = scratch.file("volume", &content);
    let full = repo.backup("b1", &volume, &["--block-size", "64KiB"]);
    assert_eq!(full["parent"], serde_json::Value::Null);
    let first = content.clone();
    content[1 << 20..(1 << 20) + 200_000].copy_from_slice(&noise(3, 200_000));
    let volume = scratch.file("volume", &content);
    let incremental = repo.backup("b2", &volume, &[]);
    assert_eq!(incremental["parent"], "b1");
    assert!(incremental["blocks"]["data"].as_u64().expect("a count") <= 5, "{incremental}");
    assert_eq!(repo.listed(), ["b1", "b2"]);
    repo.assert_restores("b1", &first);
    repo.assert_restores("b2", &content);
    for quick in [&[][..], &["--quick"]] {
        let found = repo.septet(&["verify", "--json"]).args(quick).ok().summary();
        assert_eq!(
            (found["backups"].as_u64(), found["damaged"].as_array().map(Vec::len)),
            (Some(2), Some(0)),
            "{found}"
        );
    }
    repo.delete("b1");
    assert_eq!(repo.listed(), ["b2"]);
    repo.assert_restores("b2", &content);
    repo.delete("b2");
    assert_eq!(repo.objects(), ["septet.json"]);
    assert_eq!(repo.unfinished(), 0);
}
