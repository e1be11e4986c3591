//! A real ext4 image with a Debian root in it: a part of this machine's own, made once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::{command, require_root, target_dir};

/// The length of the image: enough for what is in it and for what tests add.
pub const IMAGE_BYTES: u64 = 768 << 20;
/// What goes in whole.
const WHOLE: [&str; 3] = ["/etc", "/usr/bin", "/usr/sbin"];
/// The files take no more: 62 % of the image.
const FILES_BYTES_MAX: u64 = 480 << 20;

/// A sparse copy of the image at `path`, for a test to change.
pub fn image(path: &Path) {
    command("cp", [Path::new("--sparse=always"), &cached(), path]);
}

/// The image, made at first use and kept under `target/`.
fn cached() -> PathBuf {
    require_root();
    let image = target_dir().join("septet-tests-debian.img");
    let lock = File::create(image.with_extension("lock")).expect("the target directory is not writable");
    flock(&lock, FlockOperation::LockExclusive).expect("locking the image");
    if !image.exists() {
        make(&image);
    }
    image
}

fn make(image: &Path) {
    let root = image.with_extension("root");
    let unfinished = image.with_extension("unfinished");
    let _ = fs::remove_dir_all(&root);
    let mut room = FILES_BYTES_MAX;
    for (bytes, tree) in trees() {
        if bytes < room {
            room -= bytes;
            let parent =
                root.join(tree.strip_prefix("/").expect("an absolute path")).parent().expect("a parent").to_owned();
            fs::create_dir_all(&parent).expect("a directory for the files");
            command("cp", [Path::new("--archive"), &tree, &parent]);
        }
    }
    assert!(room < FILES_BYTES_MAX / 2, "this machine's /usr is too small to make a Debian image of");
    File::create(&unfinished).and_then(|file| file.set_len(IMAGE_BYTES)).expect("making the image");
    let (root_text, image_text) = (root.to_string_lossy(), unfinished.to_string_lossy());
    command("mkfs.ext4", ["-q", "-F", "-b", "4096", "-L", "debian", "-d", &root_text, &image_text]);
    fs::rename(&unfinished, image).expect("naming the image");
    fs::remove_dir_all(&root).expect("clearing up");
}

/// What of this machine may go into the image, and how long it is: configuration and programs first,
/// then libraries and data, until the room is used up.
fn trees() -> Vec<(u64, PathBuf)> {
    let sizes = command("du", ["--bytes", "--max-depth=1", "/etc", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/share"]);
    let line = |line: &str| {
        let (bytes, path) = line.split_once('\t')?;
        Some((bytes.parse().ok()?, PathBuf::from(path)))
    };
    let (mut whole, mut parts): (Vec<_>, Vec<_>) =
        sizes.lines().filter_map(line).partition(|(_, path)| WHOLE.iter().any(|tree| path == Path::new(tree)));
    parts.retain(|(_, path)| path.starts_with("/usr/lib") || path.starts_with("/usr/share"));
    parts.retain(|(_, path)| path.components().count() == 4);
    parts.sort_by(|left, right| left.1.cmp(&right.1));
    whole.extend(parts);
    whole
}
