//! Reads the stream. It comes from outside, so everything in it is checked before it is used.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use super::{BANNER_V1, BANNER_V2, END, FROM, Head, SIZE, TO, Version, WRITE, ZERO};
use crate::words::words;

/// The maximum length of a snapshot's name, bytes.
const NAME_BYTES_MAX: u32 = 4096;

/// Why a stream can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadStream {
    #[error("it is not a stream of `rbd export-diff`: it must begin with \"rbd diff v1\" or \"rbd diff v2\"")]
    Banner,
    #[error("it is incomplete: export it again")]
    Cut,
    #[error("it can't be read: {0}")]
    Io(String),
    #[error("a record of the unknown kind {0:?}")]
    Unknown(char),
    #[error("the image's size is repeated or not before its data")]
    Size,
    #[error("the name of a snapshot is not text, or longer than {NAME_BYTES_MAX} bytes")]
    Name,
    #[error("a record's length does not fit its kind")]
    Length,
    #[error("bytes {}..{} lie beyond the image's {bytes} bytes", range.start, range.end)]
    Beyond { range: Range<u64>, bytes: u64 },
}

type Result<T> = std::result::Result<T, BadStream>;

/// A record of data or zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The range in the image.
    pub(crate) range: Range<u64>,
    /// Whether the record has data, which [`Reader::fill`] reads. Otherwise the range is zeros.
    pub(crate) has_data: bool,
}

/// Reads a stream.
pub(crate) struct Reader<R> {
    input: R,
    version: Version,
    head: Head,
    /// The tag and length of the first record after the metadata.
    ahead: Option<(u8, Option<u64>)>,
    /// The number of bytes of the last record's data that are not read yet.
    data_left: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the stream up to the first data.
    pub(crate) fn new(input: R) -> Result<Self> {
        let mut reader = Self { input, version: Version::One, head: Head::default(), ahead: None, data_left: 0 };
        let banner: [u8; 12] = reader.bytes()?;
        reader.version = match &banner[..] {
            BANNER_V1 => Version::One,
            BANNER_V2 => Version::Two,
            _ => return Err(BadStream::Banner),
        };
        let mut size = None;
        loop {
            let (tag, length) = reader.tag()?;
            match tag {
                FROM => reader.head.from = Some(reader.name(length)?),
                TO => reader.head.to = Some(reader.name(length)?),
                SIZE if size.is_some() || length.is_some_and(|length| length != 8) => return Err(BadStream::Size),
                SIZE => size = Some(reader.number()?),
                WRITE | ZERO | END => {
                    reader.head.bytes = size.ok_or(BadStream::Size)?;
                    reader.ahead = Some((tag, length));
                    return Ok(reader);
                }
                unknown => reader.pass_over(unknown, length)?,
            }
        }
    }

    /// The metadata of the stream.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Returns the next record; none at the end. Data of the previous record that was not read is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Record>> {
        self.skip()?;
        loop {
            let (tag, length) = match self.ahead.take() {
                Some(ahead) => ahead,
                None => self.tag()?,
            };
            match tag {
                WRITE | ZERO => return self.extent(tag == WRITE, length).map(Some),
                END => return Ok(None),
                FROM | TO | SIZE => return Err(BadStream::Size),
                unknown => self.pass_over(unknown, length)?,
            }
        }
    }

    /// Fills `into` from the record's data.
    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<()> {
        self.data_left = self.data_left.checked_sub(into.len() as u64).ok_or(BadStream::Length)?;
        self.input.read_exact(into).map_err(wrong)
    }

    /// Skips the rest of the record's data.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let left = std::mem::take(&mut self.data_left);
        self.drop_bytes(left)
    }

    fn extent(&mut self, has_data: bool, length: Option<u64>) -> Result<Record> {
        let (offset, bytes) = (self.number()?, self.number()?);
        let range = offset..offset.saturating_add(bytes);
        let following = if has_data { bytes } else { 0 };
        if length.is_some_and(|length| following.checked_add(16) != Some(length)) {
            return Err(BadStream::Length);
        }
        if range.end > self.head.bytes {
            return Err(BadStream::Beyond { range, bytes: self.head.bytes });
        }
        self.data_left = following;
        Ok(Record { range, has_data })
    }

    fn tag(&mut self) -> Result<(u8, Option<u64>)> {
        let [tag] = self.bytes()?;
        let has_length = self.version == Version::Two && tag != END;
        Ok((tag, if has_length { Some(self.number()?) } else { None }))
    }

    fn name(&mut self, length: Option<u64>) -> Result<String> {
        let bytes = u32::from_le_bytes(self.bytes()?);
        if bytes > NAME_BYTES_MAX || length.is_some_and(|length| length != u64::from(bytes) + 4) {
            return Err(BadStream::Name);
        }
        let mut name = vec![0; bytes as usize];
        self.input.read_exact(&mut name).map_err(wrong)?;
        String::from_utf8(name).map_err(|_| BadStream::Name)
    }

    fn pass_over(&mut self, tag: u8, length: Option<u64>) -> Result<()> {
        self.drop_bytes(length.ok_or(BadStream::Unknown(char::from(tag)))?)
    }

    fn drop_bytes(&mut self, bytes: u64) -> Result<()> {
        let dropped = std::io::copy(&mut self.input.by_ref().take(bytes), &mut std::io::sink()).map_err(wrong)?;
        if dropped == bytes { Ok(()) } else { Err(BadStream::Cut) }
    }

    fn number(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(wrong)?;
        Ok(bytes)
    }
}

fn wrong(error: std::io::Error) -> BadStream {
    match error.kind() {
        ErrorKind::UnexpectedEof => BadStream::Cut,
        _ => BadStream::Io(words(&error)),
    }
}
