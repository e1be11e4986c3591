//! The S3 store against SeaweedFS: the suite that the directory passes, and what only a server has.

use septet_tests::s3::{Seaweed, conformance};

#[test]
fn seaweedfs_passes_what_the_directory_passes() {
    let seaweed = Seaweed::shared();
    conformance(seaweed.server(), seaweed.bucket());
}
