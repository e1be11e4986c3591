//! The parts of a request's head that the server needs, parsed with `httparse`.

use std::fmt;
use std::io::{BufRead, Error, ErrorKind};

use base64_simd::STANDARD;

/// Above the number of headers and the length of any client's head.
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    target: String,
    headers: Vec<(String, String)>,
    pub(crate) length: usize,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.target, self.header("range").unwrap_or_default())
    }
}

impl Request {
    /// The next request of a connection; `None` at its end.
    ///
    /// # Errors
    /// The head is invalid or too long, or the connection breaks.
    pub(crate) fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let read = reader.read_until(b'\n', &mut head)?;
            if head.is_empty() {
                return Ok(None);
            }
            if read == 0 || head.len() > HEAD_BYTES_MAX {
                return Err(Error::new(ErrorKind::InvalidData, "a head that does not end"));
            }
        }
        Self::of(&head).map(Some)
    }

    fn of(head: &[u8]) -> std::io::Result<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(head).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        let [method, target] = [parsed.method, parsed.path].map(|word| word.unwrap_or_default().to_owned());
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = parsed.headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value)));
        let mut request = Self { method, target, headers: headers.collect(), length: 0 };
        request.length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(request)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The object's name; empty for the bucket.
    pub(crate) fn key(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default().trim_start_matches('/');
        path.split_once('/').map_or("", |(_, key)| key)
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The first and last requested byte.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX)))
    }

    /// Whether a body matches its checksum. This server supports only CRC-32.
    pub(crate) fn is_intact(&self, body: &[u8]) -> bool {
        let unknown = ["x-amz-checksum-crc64nvme", "x-amz-checksum-crc32c"];
        let known = self.header("x-amz-checksum-crc32").filter(|_| self.method == "PUT");
        unknown.iter().all(|name| self.header(name).is_none()) && known.is_none_or(|sum| sum == crc32_base64(body))
    }
}

/// The CRC-32 of a body in Base64.
pub(crate) fn crc32_base64(body: &[u8]) -> String {
    STANDARD.encode_to_string(septet_format::crc32(body).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_as_the_header_has_it() {
        // cbf43926, the check value of CRC-32.
        assert_eq!(crc32_base64(b"123456789"), "y/Q5Jg==");
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head =
            "PUT /b/v/k?partNumber=2&uploadId=v%2Fk&uploads HTTP/1.1\r\nContent-Length: 7\r\nRange: bytes=5-9\r\n\r\n";
        let request = Request::read_head(&mut head.as_bytes()).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.key(), request.length), ("PUT", "v/k", 7));
        assert_eq!(
            (request.query("uploadId").as_deref(), request.query("uploads").as_deref()),
            (Some("v/k"), Some(""))
        );
        assert_eq!((request.range(), request.query("prefix")), (Some((5, 9)), None));
    }

    #[test]
    fn the_end_is_no_request_and_half_a_head_is_an_error() {
        assert!(Request::read_head(&mut &b""[..]).unwrap().is_none());
        assert!(Request::read_head(&mut &b"PUT / HT"[..]).is_err());
        assert!(Request::read_head(&mut &b"no head\r\n\r\n"[..]).is_err());
    }
}
