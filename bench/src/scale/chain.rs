//! A small volume that is backed up many times, with one changed block each time.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::bench::{Bench, Cause, steps_up_to};
use crate::data::random::Stream;
use crate::units::BLOCK_BYTES;
use crate::{compare, process, workspace};

const BLOCKS: u64 = 16;

pub(super) fn measure(bench: &mut Bench, most: u32, seed: u64) -> anyhow::Result<()> {
    let (source, restored) = (bench.path("chain.img"), bench.path("restored.img"));
    let (file, stream) = (File::create(&source)?, Stream::new(seed, "chain"));
    let change = |number: u64, block: u64| -> anyhow::Result<()> {
        let mut bytes = vec![0; BLOCK_BYTES];
        stream.child(&number.to_string()).fill(0, &mut bytes);
        Ok(file.write_all_at(&bytes, block * BLOCK_BYTES as u64)?)
    };
    (0..BLOCKS).try_for_each(|block| change(block, block))?;
    let mut backups = 0;
    for at in steps_up_to(u64::from(most)) {
        while backups < at {
            change(BLOCKS + backups, backups % BLOCKS)?;
            bench.back_up("chain", &source, &["--id", &format!("b{backups:06}")])?;
            backups += 1;
        }
        // The id of a deleted backup cannot be reused for a day.
        let next = |round| format!("next-{at}-{round}");
        let gone = |round| format!("gone-{at}-{round}");
        let delete = |bench: &Bench, id: String| bench.septet("chain", &["delete", &format!("v/{id}")]);
        let incremental = |bench: &Bench, round| {
            let mut command = bench.septet("chain", &["backup", "--volume", "v", "--id", &next(round)]);
            command.arg(&source);
            command
        };
        bench.point((Cause::Backups, at, "incremental"), incremental, |bench, round| {
            process::run(&mut delete(bench, next(round)), false).map(drop)
        })?;
        let restore = |bench: &Bench, _| {
            let mut command = bench.septet("chain", &["restore", "v@latest"]);
            command.arg(&restored);
            command
        };
        bench.point((Cause::Backups, at, "restore"), restore, |_, _| {
            compare::same(&source, &restored)?;
            workspace::remove(&restored)
        })?;
        bench.point((Cause::Backups, at, "list"), |bench, _| bench.septet("chain", &["list"]), |_, _| Ok(()))?;
        bench.back_up("chain", &source, &["--id", &gone(0)])?;
        bench.point(
            (Cause::Backups, at, "delete"),
            |bench, round| delete(bench, gone(round)),
            |bench, round| {
                if round + 1 < bench.rounds {
                    bench.back_up("chain", &source, &["--id", &gone(round + 1)])
                } else {
                    Ok(())
                }
            },
        )?;
    }
    Ok(())
}
