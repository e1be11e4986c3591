//! A proxy in front of a real server. It injects faults: once, or from a certain request on. It can also delay each
//! request like a distant server, and logs when each request began and ended.
//!
//! It parses HTTP/1.1 just enough to find the end of a request. Each request gets its own connection to the server. The
//! client's connection is closed after each answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use septet_store::RequestLog;

use super::Server;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The proxy answers with this status and this S3 error code. The server does not get the request.
    Answer(u16, &'static str),
    /// The connection is reset in the middle of the request.
    ResetRequest,
    /// The server gets the request, and the connection is reset before the answer.
    LoseAnswer,
    /// The connection is reset in the middle of the answer.
    ResetAnswer,
    /// The connection is closed regularly in the middle of the answer.
    CutAnswer,
    /// The answer announces more bytes than it has.
    LongerAnswer,
    /// No answer comes, and the connection stays open.
    Stall,
    /// One bit of the request's body flips.
    FlipRequest,
    /// One bit of the answer's body flips.
    FlipAnswer,
}

/// Which requests are hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Only the chosen request.
    Once,
    /// The chosen request and all later ones.
    FromThenOn,
}

/// The properties of a request by which faults are chosen.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT` …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether it is conditional (`If-None-Match`).
    pub conditional: bool,
}

type Choice = fn(&Request) -> bool;

#[derive(Debug)]
struct Plan {
    fault: Fault,
    times: Times,
    /// The number of the first request that is hit, counted from 0 among those that `choice` accepts.
    first: u64,
    choice: Choice,
    seen: u64,
    hit: u64,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    requests: Vec<Request>,
}

/// The simulated line to the server.
#[derive(Debug, Default)]
struct Line {
    delay_ms: AtomicU64,
    log: RequestLog,
}

/// The proxy. It ends when this value is dropped.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    state: Arc<Mutex<State>>,
    line: Arc<Line>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy in front of `server`.
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the proxy");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let upstream = server.endpoint.trim_start_matches("http://").to_owned();
        let (state, stop) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let line = Arc::<Line>::default();
        let thread = std::thread::spawn({
            let (state, line, stop) = (Arc::clone(&state), Arc::clone(&line), Arc::clone(&stop));
            move || {
                for client in listener.incoming().flatten() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let connection = Connection {
                        upstream: upstream.clone(),
                        state: state.clone(),
                        line: line.clone(),
                        stop: stop.clone(),
                    };
                    // Errors are ignored, because broken connections are intended.
                    std::thread::spawn(move || connection.serve(client));
                }
            }
        });
        Self { server: Server { endpoint, ..server.clone() }, state, line, stop, thread: Some(thread) }
    }

    /// Delays each further request by `delay`.
    pub fn delay(&self, delay: Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).expect("a delay of less than a million years");
        self.line.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// The log of requests, with their times.
    pub fn log(&self) -> &RequestLog {
        &self.line.log
    }

    /// The server with the proxy's address.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// From now on `fault` hits request number `first` (counted from 0) of those that `choice` accepts.
    pub fn inject(&self, fault: Fault, times: Times, first: u64, choice: Choice) {
        let mut state = self.state.lock().expect("the proxy's state");
        state.requests.clear();
        state.plan = Some(Plan { fault, times, first, choice, seen: 0, hit: 0 });
    }

    /// Ends the injection of faults. Returns how many requests were hit.
    pub fn behave(&self) -> u64 {
        self.state.lock().expect("the proxy's state").plan.take().map_or(0, |plan| plan.hit)
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().expect("the proxy's state").requests)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.server.endpoint.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Connection {
    upstream: String,
    state: Arc<Mutex<State>>,
    line: Arc<Line>,
    stop: Arc<AtomicBool>,
}

/// The head of a request or answer, and the bytes that were read after it.
struct Head {
    lines: Vec<String>,
    rest: Vec<u8>,
}

impl Connection {
    fn serve(&self, mut client: TcpStream) {
        if let Some(head) = read_head(&mut client) {
            let number = self.line.log.begin(head.what());
            let _ = self.request(&mut client, head, number);
            // An interrupted request ends here. If the answer was passed on, the request has ended before and this does
            // nothing.
            self.line.log.end(number);
        }
    }

    fn request(&self, client: &mut TcpStream, head: Head, number: usize) -> std::io::Result<()> {
        std::thread::sleep(Duration::from_millis(self.line.delay_ms.load(Ordering::Relaxed)));
        let fault = self.fault(&head);
        let mut body = head.rest.clone();
        let length = head.length().unwrap_or(0);
        if fault == Some(Fault::ResetRequest) {
            read_to(client, &mut body, length / 2)?;
            return reset(client);
        }
        read_to(client, &mut body, length)?;
        match fault {
            Some(Fault::Answer(status, code)) => return answer(client, status, code),
            Some(Fault::Stall) => return self.stall(client),
            Some(Fault::FlipRequest) => flip(&mut body),
            _ => {}
        }
        let mut server = TcpStream::connect(&self.upstream)?;
        server.write_all(&head.closing())?;
        server.write_all(&body)?;
        let mut whole = Vec::new();
        server.read_to_end(&mut whole)?;
        // Recorded before the client can see the answer and begin its next request.
        self.line.log.end(number);
        if fault == Some(Fault::LoseAnswer) {
            return reset(client);
        }
        pass_on(client, whole, fault)
    }

    /// Records the request. Returns the fault that hits it, if any.
    fn fault(&self, head: &Head) -> Option<Fault> {
        let mut words = head.lines.first().map(String::as_str).unwrap_or_default().split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let request = Request { method: word(), target: word(), conditional: head.header("if-none-match").is_some() };
        let mut state = self.state.lock().expect("the proxy's state");
        state.requests.push(request.clone());
        let plan = state.plan.as_mut().filter(|plan| (plan.choice)(&request))?;
        let number = plan.seen;
        plan.seen += 1;
        let hit = number == plan.first || (number > plan.first && plan.times == Times::FromThenOn);
        plan.hit += u64::from(hit);
        hit.then_some(plan.fault)
    }

    /// Holds the connection until the client closes it.
    fn stall(&self, client: &mut TcpStream) -> std::io::Result<()> {
        client.set_read_timeout(Some(Duration::from_millis(100)))?;
        let until = Instant::now() + Duration::from_secs(120);
        while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
            match client.read(&mut [0; 1]) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

impl Head {
    /// Method, target and range: the name of the request in the log.
    fn what(&self) -> String {
        let request = self.lines.first().map(String::as_str).unwrap_or_default();
        let request = request.strip_suffix(" HTTP/1.1").unwrap_or(request);
        let notes = ["range", "if-none-match"].map(|name| self.header(name).map(|value| format!(" {name}: {value}")));
        std::iter::once(request.to_owned()).chain(notes.into_iter().flatten()).collect()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .lines
            .iter()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    /// The head with a request to close the connection after the answer.
    fn closing(&self) -> Vec<u8> {
        let kept = self.lines.iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let mut text = kept.cloned().collect::<Vec<_>>().join("\r\n");
        text.push_str("\r\nConnection: close\r\n\r\n");
        text.into_bytes()
    }
}

fn read_head(stream: &mut TcpStream) -> Option<Head> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
            return Some(Head {
                lines: text.split("\r\n").map(str::to_owned).collect(),
                rest: bytes.split_off(end + 4),
            });
        }
        let mut more = [0; 16 << 10];
        let count = stream.read(&mut more).ok().filter(|&count| count > 0)?;
        bytes.extend_from_slice(&more[..count]);
    }
}

fn read_to(stream: &mut TcpStream, body: &mut Vec<u8>, length: usize) -> std::io::Result<()> {
    let have = body.len();
    if have < length {
        body.resize(length, 0);
        stream.read_exact(&mut body[have..])?;
    }
    Ok(())
}

/// Passes on an answer, with or without a fault.
fn pass_on(client: &mut TcpStream, mut whole: Vec<u8>, fault: Option<Fault>) -> std::io::Result<()> {
    let body = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(whole.len(), |end| end + 4);
    let half = body + (whole.len() - body) / 2;
    match fault {
        Some(Fault::FlipAnswer) => flip(&mut whole[body..]),
        Some(Fault::CutAnswer) => whole.truncate(half),
        Some(Fault::LongerAnswer) => whole = longer(&whole, body),
        Some(Fault::ResetAnswer) => {
            client.write_all(&whole[..half])?;
            return reset(client);
        }
        _ => {}
    }
    client.write_all(&whole)
}

/// The answer with a `Content-Length` that is larger by ten.
fn longer(whole: &[u8], body: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(&whole[..body]).into_owned();
    let lines = text.split("\r\n").map(|line| match line.split_once(':') {
        Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
            format!("{name}: {}", value.trim().parse::<u64>().unwrap_or(0) + 10)
        }
        _ => line.to_owned(),
    });
    let head = lines.collect::<Vec<_>>().join("\r\n");
    [head.as_bytes(), &whole[body..]].concat()
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
}

/// Resets a connection, as a crash does.
fn reset(client: &TcpStream) -> std::io::Result<()> {
    set_socket_linger(client, Some(Duration::ZERO))?;
    Ok(())
}

fn answer(client: &mut TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    let body = if code.is_empty() {
        String::new()
    } else {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said the test</Message></Error>")
    };
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status} Test\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
