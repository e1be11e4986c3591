//! Ceph's S3 gateway: the same suite as for the directory and SeaweedFS, and a repository from end to end.

use septet_tests::Ceph;
use septet_tests::s3::{conformance, round_trip};

#[test]
fn radosgw_passes_what_the_directory_passes() {
    let ceph = Ceph::shared();
    let gateway = ceph.gateway();
    conformance(&gateway, &gateway.make_bucket());
}

#[test]
fn a_bucket_of_radosgw_does_all_that_a_directory_does() {
    let ceph = Ceph::shared();
    let gateway = ceph.gateway();
    round_trip(&gateway, &gateway.make_bucket());
}
