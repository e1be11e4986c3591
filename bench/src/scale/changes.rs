//! One volume with more and more changes since its full backup.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::bench::{Bench, Cause, steps_up_to};
use crate::data::random::Stream;
use crate::units::{BLOCK_BYTES, Size};

pub(super) fn measure(bench: &mut Bench, size: Size, seed: u64) -> anyhow::Result<()> {
    let (source, stream, blocks) = (bench.path("changing.img"), Stream::new(seed, "changes"), size.blocks()?);
    let file = File::create(&source)?;
    file.set_len(size.0)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut fill = |stream: &Stream, numbers: &[u64]| -> anyhow::Result<()> {
        for number in numbers {
            stream.fill(number * BLOCK_BYTES as u64, &mut block);
            file.write_all_at(&block, number * BLOCK_BYTES as u64)?;
        }
        Ok(file.sync_all()?)
    };
    fill(&stream, &(0..blocks).collect::<Vec<_>>())?;
    bench.back_up("changes", &source, &["--id", "full"])?;
    let mut changed = 0;
    for at in steps_up_to(blocks) {
        fill(&stream.child("changed"), &(changed..at).collect::<Vec<_>>())?;
        changed = at;
        let incremental = |bench: &Bench, round: u32| {
            let words = ["backup", "--parent", "full", "--volume", "v", "--id", &format!("b{at}-{round}")];
            let mut command = bench.septet("changes", &words);
            command.arg(&source);
            command
        };
        bench.point((Cause::ChangedBlocks, at, "incremental"), incremental, |bench, round| {
            let mut command = bench.septet("changes", &["delete", &format!("v/b{at}-{round}")]);
            crate::process::run(&mut command, false).map(drop)
        })?;
    }
    Ok(())
}
