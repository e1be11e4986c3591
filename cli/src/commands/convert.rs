//! Converts arguments that several commands share into the engine's types.

use crate::args::{Ceph, Compression};

/// The access to a Ceph cluster.
pub(super) fn ceph(args: &Ceph) -> septet_engine::CephAccess {
    septet_engine::CephAccess { conf: args.ceph_conf.clone(), user: args.ceph_user.clone() }
}

/// The compression of blocks.
pub(super) fn compression(args: Compression) -> septet_ipc::Compression {
    match args {
        Compression::Lz4 => septet_ipc::Compression::Lz4,
        Compression::None => septet_ipc::Compression::None,
    }
}

/// Percent as parts in a million, rounded up so that a small share does not become zero.
pub(super) fn ppm(percent: f64) -> u32 {
    let ppm = (percent.clamp(0.0, 100.0) * 10_000.0).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1,000,000")]
    {
        ppm as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_becomes_parts_in_a_million() {
        for (percent, parts) in [(0.0, 0), (1.0, 10_000), (0.000_001, 1), (100.0, 1_000_000)] {
            assert_eq!(ppm(percent), parts);
        }
    }
}
