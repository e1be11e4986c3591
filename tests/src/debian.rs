//! A real ext4 image of a Debian root directory, the same on each machine. `tests/debian` makes the root directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::{command, require_root, target_dir, workspace_dir};

/// The length of the image. It has enough space for its files and for what tests add.
pub const IMAGE_BYTES: u64 = 256 << 20;

/// Makes a sparse copy of the image at `path`, which a test may change.
pub fn image(path: &Path) {
    command("cp", [Path::new("--sparse=always"), &cached(), path]);
}

/// The root directory. It is made at first use and kept under `target/`.
pub fn root() -> PathBuf {
    require_root();
    let output = Command::new(workspace_dir().join("tests/debian"))
        .arg("small")
        .env("CARGO_TARGET_DIR", target_dir())
        .output()
        .expect("tests/debian can't be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
}

/// The image. It is made again whenever the root directory was made again.
fn cached() -> PathBuf {
    let root = root();
    let image = root.with_extension("img");
    let lock = File::create(image.with_extension("img.lock")).expect("the target directory is not writable");
    flock(&lock, FlockOperation::LockExclusive).expect("locking the image");
    let made = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if made(&image) <= made(&root.with_extension("recipe")) {
        make(&root, &image);
    }
    image
}

fn make(root: &Path, image: &Path) {
    let unfinished = image.with_extension("img.unfinished");
    File::create(&unfinished).and_then(|file| file.set_len(IMAGE_BYTES)).expect("making the image");
    let (root, unfinished_text) = (root.to_string_lossy(), unfinished.to_string_lossy());
    command("mkfs.ext4", ["-q", "-F", "-b", "4096", "-L", "debian", "-d", &root, &unfinished_text]);
    fs::rename(&unfinished, image).expect("naming the image");
}
