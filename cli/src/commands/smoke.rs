//! `septet smoke`: proves that a backup server is set up right, with a small file in the place of a
//! disk.
//!
//! Each step is the real command. A step that fails is named with what is wrong; what the test made
//! is removed in any case.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use septet_format::VolumeName;
use septet_repository::Repository;
use uuid::Uuid;

use super::smoke_store::store_steps;
use super::{backup, delete, place, restore};
use crate::args::{self, Global};
use crate::error::{Outcome, words};
use crate::report::{Reporter, number_of, print_line, size};

/// Enough for several blocks of each kind, and quick anywhere.
const VOLUME_BYTES: usize = 16 << 20;
const BLOCK_BYTES: usize = 1 << 20;

/// Runs the smoke test.
pub(crate) fn run(args: &args::Smoke, global: &Global) -> anyhow::Result<Outcome> {
    let scratch = tempfile::Builder::new().prefix("septet-smoke-").tempdir().map_err(|error| {
        let place = std::env::temp_dir();
        anyhow::anyhow!(
            "no temporary directory can be made in {}: {}; set TMPDIR to another place",
            place.display(),
            words(&error)
        )
    })?;
    let repo = match &args.repo {
        Some(repo) => repo.clone(),
        None => scratch.path().join("repository").to_string_lossy().into_owned(),
    };
    // Several hosts may try one repository at once, and each may have this process number.
    let run = Uuid::new_v4().simple().to_string();
    let volume = VolumeName::sanitize(&format!("septet-smoke-{run}"));
    let test = Test { scratch: scratch.path().to_owned(), repo, run, volume, global: global.clone() };
    let result = test.steps();
    if result.is_err() {
        test.clean_up();
    }
    result.map(|()| {
        print_line(&format!("smoke test passed: {} is ready", test.repo));
        Outcome::Done
    })
}

struct Test {
    scratch: PathBuf,
    repo: String,
    run: String,
    volume: VolumeName,
    global: Global,
}

impl Test {
    fn steps(&self) -> anyhow::Result<()> {
        if self.repo.contains("://") {
            store_steps(&place::repository_within(&self.repo, self.global.timeout, None)?, self.volume.as_str())?;
        }
        let disk = self.scratch.join("disk");
        let mut content = sample();
        step("make a small disk", || {
            fs::write(&disk, &content)?;
            Ok(size(content.len() as u64))
        })?;
        step("full backup", || self.back_up(&disk, "full"))?;
        change(&mut content);
        step("change the disk", || {
            fs::write(&disk, &content)?;
            Ok("2 blocks".to_owned())
        })?;
        step("incremental backup", || self.back_up(&disk, "incremental"))?;
        let restored = self.scratch.join("restored");
        step("restore", || self.restore("incremental", &restored))?;
        step("compare", || compare(&restored, &content))?;
        step("delete the full backup", || self.delete("full"))?;
        let again = self.scratch.join("again");
        step("restore what is left", || self.restore("incremental", &again))?;
        step("compare", || compare(&again, &content))?;
        step("delete the incremental", || self.delete("incremental"))?;
        step("find nothing left", || self.find_nothing())
    }

    fn back_up(&self, disk: &Path, id: &str) -> anyhow::Result<String> {
        let args = args::Backup {
            source: disk.to_owned(),
            ceph: args::Ceph::default(),
            audit: 0.0,
            spool: None,
            snapshot: false,
            repo: args::Repo { repo: self.repo.clone() },
            volume: Some(self.volume.clone()),
            id: Some(self.id(id).parse()?),
            full: false,
            parent: None,
            block_size: None,
            metadata: None,
            compression: args::Compression::Lz4,
            streams: 4,
            upload_check: None,
            segment_size: 256 << 20,
            json: false,
        };
        let manifest = backup::back_up(&args, &self.global, &mut self.reporter())?.manifest;
        Ok(format!("{} blocks stored, {} unchanged", manifest.blocks.data, manifest.blocks.unchanged))
    }

    fn restore(&self, id: &str, target: &Path) -> anyhow::Result<String> {
        let args = args::Restore {
            backup: format!("{}/{}", self.volume, self.id(id)),
            target: target.to_owned(),
            ceph: args::Ceph::default(),
            create: false,
            repo: args::Repo { repo: self.repo.clone() },
            offset: 0,
            length: None,
            overwrite: false,
            zeroed: false,
            keep_going: false,
            streams: None,
            json: false,
        };
        let (_, bytes, _) = restore::restore(&args, &self.global, &mut self.reporter())?;
        Ok(size(bytes))
    }

    fn delete(&self, id: &str) -> anyhow::Result<String> {
        let args = args::Delete {
            backup: vec![format!("{}/{}", self.volume, self.id(id))],
            repo: args::Repo { repo: self.repo.clone() },
            force: false,
            json: false,
        };
        Ok(number_of(delete::delete(&args, &self.global, &mut self.reporter())?, "object"))
    }

    fn find_nothing(&self) -> anyhow::Result<String> {
        let repository = Repository::open(&super::place::repository(&self.repo)?)?;
        let left = repository.store().list(&septet_format::keys::volume_prefix(&self.volume))?;
        ensure!(left.is_empty(), "{} objects were not deleted, {} among them", left.len(), left[0].key);
        Ok("clean".to_owned())
    }

    /// Ids are searched in all volumes: that of a test must not be in the way of another's.
    fn id(&self, name: &str) -> String {
        format!("smoke-{}-{name}", self.run)
    }

    fn clean_up(&self) {
        for id in ["incremental", "full"] {
            // It may never have been made.
            let _ = self.delete(id);
        }
    }

    fn reporter(&self) -> Reporter {
        Reporter::new(false, &self.global)
    }
}

/// Runs a step and prints it as it passes.
pub(super) fn step(name: &str, run: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let result = run().with_context(|| name.to_owned())?;
    print_line(&format!("ok  {name}: {result}"));
    let _ = std::io::stdout().flush();
    Ok(())
}

/// A disk with text, noise and zeros.
fn sample() -> Vec<u8> {
    let mut disk = vec![0; VOLUME_BYTES];
    for (number, block) in disk.chunks_mut(BLOCK_BYTES).enumerate() {
        match number % 3 {
            0 => block.iter_mut().zip(b"septet smoke test ".iter().cycle()).for_each(|(byte, &text)| *byte = text),
            1 => noise(block, number as u64),
            _ => {}
        }
    }
    disk
}

fn change(disk: &mut [u8]) {
    noise(&mut disk[BLOCK_BYTES..2 * BLOCK_BYTES], 1 << 32);
    disk[2 * BLOCK_BYTES] = 1;
}

/// Bytes that no codec shortens, from a hash of their place.
fn noise(block: &mut [u8], seed: u64) {
    for (place, chunk) in block.chunks_mut(32).enumerate() {
        let hash = septet_format::BlockHash::of(&[seed, place as u64].map(u64::to_le_bytes).concat());
        chunk.copy_from_slice(&hash.as_bytes()[..chunk.len()]);
    }
}

fn compare(restored: &Path, content: &[u8]) -> anyhow::Result<String> {
    let bytes = fs::read(restored)?;
    ensure!(bytes.len() == content.len(), "the restored disk has {} bytes instead of {}", bytes.len(), content.len());
    let differs = bytes.iter().zip(content).position(|(a, b)| a != b);
    if let Some(at) = differs {
        anyhow::bail!("the restored disk differs at byte {at}");
    }
    Ok("bit for bit".to_owned())
}
