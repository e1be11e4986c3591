//! The S3 store with SeaweedFS: the same suite as for the directory, and tests of servers only.

use septet_tests::s3::{Seaweed, conformance};

#[test]
fn seaweedfs_passes_what_the_directory_passes() {
    let seaweed = Seaweed::shared();
    conformance(seaweed.server(), seaweed.bucket());
}
