//! Proves that a backup server is set up correctly. A small file takes the place of a disk.
//!
//! Each step is the real command. If a step fails, the error names the step and says what is wrong. The test always
//! removes everything that it made.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use septet_format::VolumeName;
use septet_repository::{Repository, Trial, reclaim, try_store};
use uuid::Uuid;

use crate::words::{number_of, size, words};
use crate::{BackupRequest, DeleteRequest, Engine, Observer, RestoreRequest, Result, Runner, back_up, place};

/// Enough for several blocks of each kind, and fast on any machine.
const VOLUME_BYTES: usize = 16 << 20;
const BLOCK_BYTES: usize = 1 << 20;

/// Proves that a set-up works.
#[derive(Debug, Clone, Default)]
pub struct SmokeRequest {
    /// The repository to try; none: a temporary one.
    pub repo: Option<String>,
}

impl SmokeRequest {
    /// Runs the smoke test and returns the repository that is ready. Everything that the test made is always removed.
    ///
    /// # Errors
    /// The name of the step that failed, and the cause.
    pub fn carry_out(&self, runner: &dyn Runner, timeout: Duration, observer: &mut dyn Observer) -> Result<String> {
        let scratch = tempfile::Builder::new().prefix("septet-smoke-").tempdir().map_err(|error| {
            let place = std::env::temp_dir();
            anyhow::anyhow!(
                "cannot create a temporary directory in {}: {}; set TMPDIR to another place",
                place.display(),
                words(&error)
            )
        })?;
        let repo = match &self.repo {
            Some(repo) => repo.clone(),
            None => scratch.path().join("repository").to_string_lossy().into_owned(),
        };
        // Several hosts may test one repository at the same time, and their process numbers may be equal.
        let run = Uuid::new_v4().simple().to_string();
        let volume = VolumeName::sanitize(&format!("septet-smoke-{run}"));
        let url = place::repository_within(&repo, timeout, None)?;
        let test = Test { scratch: scratch.path().to_owned(), repo: url, run, volume, runner, timeout };
        // This step removes its own objects. No backup exists yet, so nothing else has to be removed if it fails.
        test.try_store(observer)?;
        let result = test.steps(observer);
        if result.is_err() {
            test.clean_up();
        }
        result?;
        Ok(repo)
    }
}

struct Test<'a> {
    scratch: PathBuf,
    repo: String,
    run: String,
    volume: VolumeName,
    runner: &'a dyn Runner,
    timeout: Duration,
}

impl Test<'_> {
    fn try_store(&self, observer: &mut dyn Observer) -> anyhow::Result<()> {
        if self.repo.contains("://") {
            try_store(&self.repo, self.volume.as_str(), &mut |trial| match trial {
                Trial::Passed { step, result } => observer.passed(step, result),
                Trial::Note(note) => observer.note(note),
            })?;
        }
        Ok(())
    }

    fn steps(&self, observer: &mut dyn Observer) -> anyhow::Result<()> {
        let disk = self.scratch.join("disk");
        let mut content = sample();
        step(observer, "make a small disk", |_| {
            fs::write(&disk, &content)?;
            Ok(size(content.len() as u64))
        })?;
        step(observer, "full backup", |observer| self.back_up(&disk, "full", observer))?;
        change(&mut content);
        step(observer, "change the disk", |_| {
            fs::write(&disk, &content)?;
            Ok("2 blocks".to_owned())
        })?;
        step(observer, "incremental backup", |observer| self.back_up(&disk, "incremental", observer))?;
        let restored = self.scratch.join("restored");
        step(observer, "restore", |observer| self.restore("incremental", &restored, observer))?;
        step(observer, "compare", |_| compare(&restored, &content))?;
        step(observer, "delete the full backup", |observer| self.delete("full", observer))?;
        let again = self.scratch.join("again");
        step(observer, "restore the incremental", |observer| self.restore("incremental", &again, observer))?;
        step(observer, "compare", |_| compare(&again, &content))?;
        step(observer, "delete the incremental", |observer| self.delete("incremental", observer))?;
        step(observer, "check that nothing is left", |_| self.find_nothing())
    }

    fn back_up(&self, disk: &Path, id: &str, observer: &mut dyn Observer) -> anyhow::Result<String> {
        let request = BackupRequest {
            volume: Some(self.volume.clone()),
            id: Some(self.id(id).parse()?),
            ..BackupRequest::new(disk.to_owned().into())
        };
        let manifest = back_up(&self.repo, &request, self.runner, self.timeout, observer)?.manifest;
        Ok(format!("{} blocks stored, {} unchanged", manifest.blocks.data, manifest.blocks.unchanged))
    }

    fn restore(&self, id: &str, target: &Path, observer: &mut dyn Observer) -> anyhow::Result<String> {
        let request = RestoreRequest::new(format!("{}/{}", self.volume, self.id(id)), target.to_owned().into());
        Ok(size(self.engine()?.restore(&request, observer)?.length_bytes))
    }

    fn delete(&self, id: &str, observer: &mut dyn Observer) -> anyhow::Result<String> {
        let request = DeleteRequest { backups: vec![format!("{}/{}", self.volume, self.id(id))], force: false };
        Ok(number_of(self.engine()?.delete(&request, observer)?.objects, "object"))
    }

    fn engine(&self) -> anyhow::Result<Engine<'_>> {
        Ok(Engine::open(&self.repo, self.runner, self.timeout)?)
    }

    fn find_nothing(&self) -> anyhow::Result<String> {
        let repository = Repository::open(&self.repo)?;
        // The names of this test are never used again.
        reclaim::forget(&repository, &self.volume)?;
        let left = repository.objects_of(&self.volume)?;
        ensure!(left.is_empty(), "{} objects were not deleted, for example {}", left.len(), left[0]);
        Ok("clean".to_owned())
    }

    /// Ids are searched in all volumes, so two tests must not use the same id.
    fn id(&self, name: &str) -> String {
        format!("smoke-{}-{name}", self.run)
    }

    fn clean_up(&self) {
        for id in ["incremental", "full"] {
            // The backup may not exist.
            let _ = self.delete(id, &mut ());
        }
    }
}

/// Runs a step and reports its success.
fn step(
    observer: &mut dyn Observer,
    name: &str,
    run: impl FnOnce(&mut dyn Observer) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let result = run(observer).with_context(|| name.to_owned())?;
    observer.passed(name, &result);
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

/// Incompressible bytes, from a hash of their position.
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
