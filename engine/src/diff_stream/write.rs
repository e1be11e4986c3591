//! Writes the stream.

use std::io::{Result, Write};

use super::{BANNER_V1, BANNER_V2, END, FROM, Head, SIZE, TO, Version, WRITE, ZERO};

/// Writes a stream.
pub(crate) struct Writer<W> {
    output: W,
    version: Version,
}

impl<W: Write> Writer<W> {
    /// Starts a stream.
    pub(crate) fn new(output: W, version: Version, head: &Head) -> Result<Self> {
        let mut writer = Self { output, version };
        writer.output.write_all(if version == Version::One { BANNER_V1 } else { BANNER_V2 })?;
        for (tag, name) in [(FROM, &head.from), (TO, &head.to)] {
            if let Some(name) = name {
                let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
                writer.tag(tag, 4 + u64::from(length))?;
                writer.output.write_all(&length.to_le_bytes())?;
                writer.output.write_all(name.as_bytes())?;
            }
        }
        writer.tag(SIZE, 8)?;
        writer.output.write_all(&head.bytes.to_le_bytes())?;
        Ok(writer)
    }

    /// Writes a record of data at `offset`.
    pub(crate) fn data(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.extent(WRITE, offset, data.len() as u64, data.len() as u64)?;
        self.output.write_all(data)
    }

    /// Writes a record of `bytes` zeros at `offset`.
    pub(crate) fn zero(&mut self, offset: u64, bytes: u64) -> Result<()> {
        self.extent(ZERO, offset, bytes, 0)
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.output.write_all(&[END])?;
        self.output.flush()
    }

    fn extent(&mut self, tag: u8, offset: u64, bytes: u64, following: u64) -> Result<()> {
        self.tag(tag, 16 + following)?;
        self.output.write_all(&offset.to_le_bytes())?;
        self.output.write_all(&bytes.to_le_bytes())
    }

    fn tag(&mut self, tag: u8, length: u64) -> Result<()> {
        self.output.write_all(&[tag])?;
        match self.version {
            Version::One => Ok(()),
            Version::Two => self.output.write_all(&length.to_le_bytes()),
        }
    }
}
