//! The `septet` binary under test, built once in each run of the tests.
//!
//! `cargo test` does not build other packages' binaries, so the harness builds it. Under nextest each test is a process
//! of its own. The first one builds the binary and leaves a mark. The others wait for it and find the mark. To test an
//! existing binary, such as an installed one, set `SEPTET_BINARY` to its path.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{FlockOperation, flock};

/// The path of the binary. Builds it first if this run has not built it yet.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("SEPTET_BINARY") {
        Some(path) => path.into(),
        None => built("septet"),
    })
}

/// Builds the current `septet-rbd` beside the binary. It needs librbd, so it is built only for the tests that use it.
pub fn build_rbd_binary() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("SEPTET_BINARY").is_none() {
            built("septet-rbd");
        }
    });
}

/// Builds a package's binary of the same name, unless this run has built it already.
fn built(package: &str) -> PathBuf {
    // The lock is held until the build is done or this process ends.
    let lock = File::create(target_dir().join("septet-tests.lock")).expect("the target directory is not writable");
    flock(&lock, FlockOperation::LockExclusive).expect("locking the build");
    let mark = target_dir().join(format!("{package}-tests.built"));
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| format!("process {}", std::process::id()));
    let path = profile_dir().join(package);
    if !path.exists() || fs::read_to_string(&mark).ok().as_ref() != Some(&run) {
        build(package);
        fs::write(&mark, run).expect("marking the build");
    }
    path
}

/// The directory in which cargo builds: `CARGO_TARGET_DIR` if it is set, otherwise `target/`.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("target/PROFILE").to_owned()
}

/// The root of the source tree.
pub fn workspace_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace")
}

/// The directory `target/PROFILE`. Tests run from `target/PROFILE/deps/`.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    exe.ancestors().nth(2).expect("target/PROFILE/deps/test").to_owned()
}

fn build(package: &str) {
    let directory = profile_dir();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", package, "--profile", profile])
        .current_dir(workspace_dir())
        .env("CARGO_TARGET_DIR", target_dir())
        .output()
        .expect("cargo can't be started");
    assert!(output.status.success(), "{package} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
}
