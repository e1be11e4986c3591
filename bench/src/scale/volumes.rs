//! A repository of many volumes. They are copies of one volume under other names, because ten thousand backups would
//! take hours.

use std::path::Path;

use anyhow::Context;
use septet_format::Manifest;

use super::bench::{Bench, Cause, steps_up_to};
use crate::data::random::Stream;
use crate::units::BLOCK_BYTES;
use crate::workspace;

pub(super) fn measure(bench: &mut Bench, most: u32, seed: u64) -> anyhow::Result<()> {
    let (source, restored) = (bench.path("small.img"), bench.path("restored.img"));
    let mut bytes = vec![0; BLOCK_BYTES];
    Stream::new(seed, "volumes").fill(0, &mut bytes);
    std::fs::write(&source, &bytes)?;
    bench.back_up("volumes", &source, &["--id", "first"])?;
    let repository = bench.path("volumes");
    let mut volumes = 1;
    for at in steps_up_to(u64::from(most)) {
        while volumes < at {
            copy(&repository, &format!("copy-{volumes:06}")).with_context(|| format!("copying volume {volumes}"))?;
            volumes += 1;
        }
        let incremental = |bench: &Bench, round: u32| {
            let mut command = bench.septet("volumes", &["backup", "--volume", "v", "--id", &format!("b{at}-{round}")]);
            command.arg(&source);
            command
        };
        bench.point((Cause::Volumes, at, "incremental"), incremental, |bench, round| {
            let mut command = bench.septet("volumes", &["delete", &format!("v/b{at}-{round}")]);
            crate::process::run(&mut command, false).map(drop)
        })?;
        let restore = |bench: &Bench, _| {
            let mut command = bench.septet("volumes", &["restore", "v@latest"]);
            command.arg(&restored);
            command
        };
        bench.point((Cause::Volumes, at, "restore"), restore, |_, _| workspace::remove(&restored))?;
        bench.point((Cause::Volumes, at, "list"), |bench, _| bench.septet("volumes", &["list"]), |_, _| Ok(()))?;
    }
    Ok(())
}

/// Copies the volume `v`, with its first backup, to another name. Objects that do not contain the name are shared.
fn copy(repository: &Path, name: &str) -> anyhow::Result<()> {
    let (from, to) = (repository.join("v/first"), repository.join(name).join("first"));
    std::fs::create_dir_all(to.join("segments"))?;
    for object in ["checksums-0", "map-0", "segments/000000"] {
        std::fs::hard_link(from.join(object), to.join(object))?;
    }
    let mut manifest = Manifest::decode(&std::fs::read(from.join("manifest-0.json"))?)?;
    manifest.volume = name.parse()?;
    manifest.sources.iter_mut().for_each(|source| source.volume.clone_from(&manifest.volume));
    Ok(std::fs::write(to.join("manifest-0.json"), manifest.encode())?)
}
