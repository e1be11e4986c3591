//! A request's head, as far as the server needs it.

use std::io::BufRead;

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    target: String,
    headers: Vec<(String, String)>,
    pub(crate) length: usize,
}

impl Request {
    /// The next request of a connection; none at its end.
    pub(crate) fn read_head(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { method, target, headers, length: 0 };
        request.length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Some(request))
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
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.replace("%2F", "/").replace("%2f", "/"))
    }

    /// First and last byte that are asked for.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().unwrap_or(usize::MAX)))
    }

    /// Whether a body is what its sum says. Of all sums this server knows CRC-32 alone.
    pub(crate) fn is_intact(&self, body: &[u8]) -> bool {
        let unknown = ["x-amz-checksum-crc64nvme", "x-amz-checksum-crc32c"];
        let known = self.header("x-amz-checksum-crc32").filter(|_| self.method == "PUT");
        unknown.iter().all(|name| self.header(name).is_none()) && known.is_none_or(|sum| sum == crc32_base64(body))
    }
}

/// The CRC-32 of a body in Base64.
pub(crate) fn crc32_base64(body: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u64::from(crc32fast::hash(body)) << 4;
    let digit = |at: u32| usize::from(((bits >> (6 * at)) & 63).to_le_bytes()[0]);
    let letters = (0..6).rev().map(|at| char::from(LETTERS[digit(at)]));
    letters.chain("==".chars()).collect()
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
}
