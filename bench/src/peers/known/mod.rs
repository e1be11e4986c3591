//! The tools that people use, one file each.

mod backy2;
mod benji;
mod borg;
mod casync;
mod cinder;
mod qemu;
mod restic;
mod rustic;

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use super::peer::Peer;
use crate::binary::target_dir;

/// All of them, whether they are installed or not.
pub(crate) fn all() -> Vec<Rc<dyn Peer>> {
    vec![
        Rc::new(restic::Restic),
        Rc::new(rustic::Rustic),
        Rc::new(borg::Borg),
        Rc::new(backy2::Backy2),
        Rc::new(benji::Benji),
        Rc::new(casync::Casync),
        Rc::new(qemu::Qemu { compresses: false }),
        Rc::new(qemu::Qemu { compresses: true }),
        Rc::new(cinder::Cinder { algorithm: "zlib" }),
        Rc::new(cinder::Cinder { algorithm: "none" }),
    ]
}

/// A program that `bench/peers/install` has put below the target directory, or one of the system's.
fn program(below_target: &str) -> Command {
    let path: PathBuf = target_dir().join(below_target);
    let name = path.file_name().unwrap_or_default().to_owned();
    if path.exists() { Command::new(path) } else { Command::new(name) }
}
