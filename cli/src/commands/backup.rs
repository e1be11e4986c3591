//! `septet backup`: backs up a volume.

use septet_engine::{BackupRequest, Compare, Supervisor, back_up, repository_within, volume};

use super::convert::{ceph, compression, ppm};
use super::made::print;
use super::metadata;
use crate::args::{self, Global};
use crate::error::Outcome;
use crate::report::Reporter;

/// Backs up a volume.
pub(crate) fn run(args: &args::Backup, global: &Global, runner: &Supervisor) -> anyhow::Result<Outcome> {
    let mut reporter = Reporter::new(args.json, global);
    let request = request(args)?;
    let repo = repository_within(&args.repo.repo, global.timeout, args.upload_check.map(Into::into))?;
    let made = back_up(&repo, &request, runner, global.timeout, &mut reporter)?;
    print(&made, &mut reporter);
    Ok(Outcome::Done)
}

fn request(args: &args::Backup) -> anyhow::Result<BackupRequest> {
    Ok(BackupRequest {
        source: volume(&args.source, &ceph(&args.ceph))?,
        spool: None,
        audit_ppm: ppm(args.audit),
        snapshot: args.snapshot,
        volume: args.volume.clone(),
        id: args.id.clone(),
        compare: match &args.parent {
            _ if args.full => Compare::Nothing,
            Some(parent) => Compare::With(parent.clone()),
            None => Compare::Newest,
        },
        block_bytes: args.block_size,
        metadata: args.metadata.as_deref().map(metadata::read).transpose()?,
        compression: compression(args.compression),
        streams: args.streams,
        segment_bytes: args.segment_size,
    })
}

impl From<args::UploadCheck> for septet_engine::UploadCheck {
    fn from(check: args::UploadCheck) -> Self {
        match check {
            args::UploadCheck::Crc => Self::Crc,
            args::UploadCheck::Md5 => Self::Md5,
            args::UploadCheck::None => Self::None,
        }
    }
}
