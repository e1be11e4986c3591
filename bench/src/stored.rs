//! The size of a volume after `lz4 -1 -B6 -BI`: the reference for Septet's stored size.

use std::io::{Read, pipe};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::data::{Kind, Volume};

/// The limit of Septet's stored size, as a multiple of lz4's.
pub(crate) const STORED_AT_MOST: f64 = 1.02;

/// A volume's size after lz4.
#[derive(Debug, Serialize)]
pub(crate) struct Lz4Size {
    pub(crate) kind: Kind,
    /// The size after compressing the whole volume; `None` if lz4 is not installed.
    pub(crate) bytes: Option<u64>,
}

impl Lz4Size {
    /// Compresses the volume and counts the output.
    ///
    /// # Errors
    /// lz4 fails.
    pub(crate) fn measure(volume: &Volume) -> anyhow::Result<Self> {
        let kind = volume.kind;
        let (mut reader, writer) = pipe()?;
        let mut command = Command::new("lz4");
        command
            .args(["-1", "-B6", "-BI", "-qq", "-c"])
            .arg(&volume.original)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return Ok(Self { kind, bytes: None }) };
        // The command's copy of the other end would keep the pipe open.
        drop(command);
        let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            match reader.read(&mut buffer).context("reading what lz4 writes")? {
                0 => break,
                more => bytes += more as u64,
            }
        }
        ensure!(child.wait()?.success(), "lz4 failed");
        Ok(Self { kind, bytes: Some(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Size;

    #[test]
    fn random_bytes_stay_as_long_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::prepare(Kind::Incompressible, dir.path(), Size(8 << 20), 1).unwrap();
        let bytes = Lz4Size::measure(&volume).unwrap().bytes.unwrap();
        assert!((8 << 20..(8 << 20) + 100).contains(&bytes), "{bytes}");
    }
}
