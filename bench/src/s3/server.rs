//! A server that implements enough of S3 for measurements. It keeps objects in memory, delays each answer and limits
//! the rate of each connection.
//!
//! It is not a server for tests: it checks no signatures. It does compare CRC-32s, so Septet's probe finds that out and
//! sends them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::request::{Request, crc32_base64};

/// The bytes that are transferred between two readings of the clock.
const STEP_BYTES: usize = 256 << 10;

/// The server's latency and rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// The delay before each answer.
    pub(crate) latency: Duration,
    /// The rate of one connection, bytes a second; `None`: unlimited.
    pub(crate) bytes_per_second: Option<f64>,
}

/// The times at which bytes of segments or of curl's objects moved, and their number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Moved {
    /// From the first byte's request to the last byte, seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.first.zip(self.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64())
    }
}

/// An object, in the pieces in which it arrived. Joining them would cost time that no real server needs.
#[derive(Clone, Default)]
struct Object {
    pieces: Vec<Arc<Vec<u8>>>,
}

impl Object {
    fn of(bytes: Vec<u8>) -> Self {
        Self { pieces: vec![Arc::new(bytes)] }
    }

    fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// The bytes of a range, in steps of at most [`STEP_BYTES`].
    fn steps(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        let part = move |piece: &'_ Arc<Vec<u8>>| {
            let offset = start;
            start += piece.len();
            range.start.clamp(offset, start) - offset..range.end.clamp(offset, start) - offset
        };
        let ranges: Vec<_> = self.pieces.iter().map(part).collect();
        self.pieces.iter().zip(ranges).flat_map(|(piece, range)| piece[range].chunks(STEP_BYTES))
    }
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    parts: BTreeMap<(String, u32), Object>,
    moved: Moved,
}

/// The server, until the process ends.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) endpoint: String,
    log: bool,
    started: Instant,
    pace: Arc<Mutex<Pace>>,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Starts a server on a free port. With `log` it prints a line for each request.
    pub(crate) fn start(log: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let pace = Pace { latency: Duration::ZERO, bytes_per_second: None };
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server =
            Self { endpoint, log, started: Instant::now(), pace: Arc::new(Mutex::new(pace)), state: Arc::default() };
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = shared.clone();
                // A client that disconnects ends only its own thread.
                std::thread::spawn(move || server.serve(&stream));
            }
        });
        Ok(server)
    }

    /// Changes the pace.
    pub(crate) fn set_pace(&self, pace: Pace) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = pace;
    }

    /// The transfers since the last call.
    pub(crate) fn moved(&self) -> Moved {
        std::mem::take(&mut self.state().moved)
    }

    /// Removes all objects.
    pub(crate) fn clear(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(64 << 10, stream);
        while let Some(request) = Request::read_head(&mut reader)? {
            let pace = *self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let body = self.receive(&mut reader, &request, pace)?;
            std::thread::sleep(pace.latency);
            if self.log {
                println!("{:.3} {request}", self.started.elapsed().as_secs_f64());
            }
            let answer = self.answer(&request, body);
            self.send(stream, &request, &answer, pace)?;
        }
        Ok(())
    }

    fn receive(&self, reader: &mut impl BufRead, request: &Request, pace: Pace) -> std::io::Result<Vec<u8>> {
        let (start, mut body) = (Instant::now(), vec![0; request.length]);
        let mut done = 0;
        while done < body.len() {
            let step = (body.len() - done).min(STEP_BYTES);
            reader.read_exact(&mut body[done..done + step])?;
            done += step;
            keep_pace(start, done, pace);
        }
        if request.method == "PUT" {
            self.note(request, start, body.len());
        }
        Ok(body)
    }

    fn send(&self, mut stream: &TcpStream, request: &Request, answer: &Answer, pace: Pace) -> std::io::Result<()> {
        let Answer { status, headers, body, range } = answer;
        let length = range.end - range.start;
        write!(stream, "HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n{headers}\r\n")?;
        if request.method == "HEAD" {
            return Ok(());
        }
        let start = Instant::now();
        let mut sent = 0;
        for step in body.steps(range.clone()) {
            stream.write_all(step)?;
            sent += step.len();
            keep_pace(start, sent, pace);
        }
        if request.method == "GET" {
            self.note(request, start, length);
        }
        Ok(())
    }

    /// Counts only a volume's data, because the requests before and after it do not show the rate.
    fn note(&self, request: &Request, start: Instant, bytes: usize) {
        if !request.key().split('/').any(|part| part == "segments" || part.starts_with("curl")) {
            return;
        }
        let moved = &mut self.state().moved;
        moved.bytes += bytes as u64;
        moved.first = Some(moved.first.map_or(start, |first| first.min(start)));
        moved.last = Some(Instant::now());
    }

    fn answer(&self, request: &Request, body: Vec<u8>) -> Answer {
        if !request.is_intact(&body) {
            return Answer::xml(400, "<Error><Code>BadDigest</Code></Error>");
        }
        let key = request.key().to_owned();
        let etag = format!("ETag: \"{}\"\r\n", crc32_base64(&body[..body.len().min(64)]));
        let mut state = self.state();
        match (request.method.as_str(), request.query("uploadId"), request.query("partNumber")) {
            ("PUT", Some(id), Some(part)) => {
                state.parts.insert((id, part.parse().unwrap_or(0)), Object::of(body));
                Answer::empty(200, &etag)
            }
            ("PUT", ..) if request.header("if-none-match").is_some() && state.objects.contains_key(&key) => {
                Answer::xml(412, "<Error><Code>PreconditionFailed</Code></Error>")
            }
            ("PUT", ..) => {
                state.objects.insert(key, Object::of(body));
                Answer::empty(200, &etag)
            }
            ("POST", Some(id), _) => state.complete(&id, key),
            ("POST", ..) if request.query("uploads").is_some() => Answer::xml(
                200,
                &format!("<InitiateMultipartUploadResult><UploadId>{key}</UploadId></InitiateMultipartUploadResult>"),
            ),
            ("POST", ..) => {
                let text = String::from_utf8_lossy(&body).into_owned();
                let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
                keys.for_each(|(key, _)| drop(state.objects.remove(key)));
                Answer::xml(200, "<DeleteResult></DeleteResult>")
            }
            ("DELETE", id, _) => {
                match id {
                    Some(id) => state.parts.retain(|(upload, _), _| *upload != id),
                    None => drop(state.objects.remove(&key)),
                }
                Answer::empty(204, "")
            }
            _ if request.query("uploads").is_some() => Answer::xml(
                200,
                "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
            ),
            _ if key.is_empty() => state.list(request),
            _ => state.object(&key, request.range()),
        }
    }
}

impl State {
    fn complete(&mut self, id: &str, key: String) -> Answer {
        let parts = std::mem::take(&mut self.parts);
        let (own, others) = parts.into_iter().partition(|((upload, _), _)| upload == id);
        self.parts = others;
        let own: BTreeMap<(String, u32), Object> = own;
        let pieces = own.into_values().flat_map(|part| part.pieces).collect();
        self.objects.insert(key, Object { pieces });
        Answer::xml(200, "<CompleteMultipartUploadResult><ETag>x-1</ETag></CompleteMultipartUploadResult>")
    }

    fn list(&self, request: &Request) -> Answer {
        let (prefix, delimiter) = (request.query("prefix").unwrap_or_default(), request.query("delimiter"));
        let mut text = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
        let mut folders = std::collections::BTreeSet::new();
        for (key, body) in self.objects.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            match key[prefix.len()..].split_once('/').filter(|_| delimiter.is_some()) {
                Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
                None => text += &format!("<Contents><Key>{key}</Key><Size>{}</Size></Contents>", body.len()),
            }
        }
        folders
            .iter()
            .for_each(|folder| text += &format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"));
        Answer::xml(200, &(text + "</ListBucketResult>"))
    }

    fn object(&self, key: &str, range: Option<(usize, usize)>) -> Answer {
        let Some(body) = self.objects.get(key) else {
            return Answer::xml(404, "<Error><Code>NoSuchKey</Code></Error>");
        };
        let body = body.clone();
        let total = body.len();
        match range {
            None => Answer { status: 200, headers: String::new(), range: 0..total, body },
            Some((first, _)) if first >= total => Answer::xml(416, "<Error><Code>InvalidRange</Code></Error>"),
            Some((first, last)) => {
                let end = last.saturating_add(1).min(total);
                let headers = format!("Content-Range: bytes {first}-{}/{total}\r\n", end - 1);
                Answer { status: 206, headers, range: first..end, body }
            }
        }
    }
}

struct Answer {
    status: u16,
    headers: String,
    body: Object,
    range: Range<usize>,
}

impl Answer {
    fn xml(status: u16, text: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?>{text}").into_bytes();
        Self {
            status,
            headers: "Content-Type: application/xml\r\n".to_owned(),
            range: 0..body.len(),
            body: Object::of(body),
        }
    }

    fn empty(status: u16, headers: &str) -> Self {
        Self { status, headers: headers.to_owned(), range: 0..0, body: Object::default() }
    }
}

/// Waits until this many bytes may have moved at the limited rate.
fn keep_pace(start: Instant, bytes: usize, pace: Pace) {
    if let Some(rate) = pace.bytes_per_second {
        let due = Duration::from_secs_f64(bytes as f64 / rate);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
}
