//! A scripted server that speaks just enough HTTP: each test says what it answers to each request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request, as far as tests look at it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// The path without the bucket, and the query.
    pub(super) target: String,
}

impl Request {
    /// `GET`, or whatever it is, and the beginning of the target.
    pub(super) fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target.starts_with(target)
    }

    pub(super) fn has(&self, part: &str) -> bool {
        self.target.contains(part)
    }
}

/// What the server answers.
pub(super) struct Answer {
    status: u16,
    body: Vec<u8>,
    /// A header line of its own, or nothing.
    header: &'static str,
    /// Whether the answer says how long it is. Otherwise the end of the connection ends it.
    has_length: bool,
    /// What is sent is repeated until the client has had enough.
    endless: bool,
}

impl Answer {
    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), header: "ETag: \"e\"\r\n", has_length: true, endless: false }
    }

    /// An error with a code of S3.
    pub(super) fn error(status: u16, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>scripted</Message></Error>");
        Self { status, ..Self::ok(body) }
    }

    pub(super) fn without_length(self) -> Self {
        Self { has_length: false, ..self }
    }

    /// A body without an end.
    pub(super) fn endless() -> Self {
        Self { has_length: false, endless: true, ..Self::ok(vec![b' '; 1 << 16]) }
    }
}

/// The server. Its threads end with the process.
pub(super) struct Scripted {
    endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Scripted {
    /// Starts a server that answers by `script`.
    pub(super) fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (script, log) = (Arc::new(script), Arc::clone(&requests));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                std::thread::spawn(move || serve(client.unwrap(), &*script, &log));
            }
        });
        Self { endpoint, requests }
    }

    /// The URL of the repository `r` in a bucket of this server.
    pub(super) fn url(&self, options: &str) -> String {
        format!("s3://bkt/r?endpoint={}&time-limit=1{options}", self.endpoint)
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many requests there were that `is` one of these.
    pub(super) fn count(&self, is: impl Fn(&Request) -> bool) -> usize {
        self.requests().iter().filter(|request| is(request)).count()
    }
}

/// Serves one connection until the client ends it, or an answer does.
fn serve(client: TcpStream, script: &dyn Fn(&Request) -> Answer, log: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader) {
        log.lock().unwrap().push(request.clone());
        let answer = script(&request);
        let goes_on = answer.has_length;
        if send(&client, &request, answer).is_err() || !goes_on {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.strip_prefix("/bkt")?);
    let request = Request { method, target: target.trim_start_matches('/').to_owned() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(request)
}

fn send(mut client: &TcpStream, request: &Request, answer: Answer) -> std::io::Result<()> {
    let Answer { status, body, header, has_length, endless } = answer;
    let length = if has_length { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let end = if has_length { "" } else { "Connection: close\r\n" };
    client.write_all(format!("HTTP/1.1 {status} Scripted\r\n{header}{length}{end}\r\n").as_bytes())?;
    if request.method != "HEAD" && status != 204 {
        client.write_all(&body)?;
        if endless {
            loop {
                client.write_all(&body)?;
            }
        }
    }
    client.flush()
}
