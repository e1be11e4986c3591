//! The other tools, one in each file.

mod backy2;
mod benji;
mod borg;
mod casync;
mod cinder;
mod program;
mod qemu;
mod restic;
mod rustic;

use std::rc::Rc;

use super::peer::Peer;

/// All tools, installed or not.
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
