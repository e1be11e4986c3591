//! Lines on a socket: reads have a limit on the line length, and writes do not block other threads.
//!
//! File descriptors (of pools and tables) travel beside the line that announces them. A descriptor arrives no later
//! than the line's last byte, so the next line that needs one takes the oldest.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::failure::{Failure, FailureKind};
use super::intake::Intake;
use super::line::{LINE_BYTES_MAX, Message};

const READ_BYTES: usize = 64 << 10;
/// More descriptors than any run sends (one pool for each agent, and tables). The rest are rejected.
const FDS_MAX: usize = 16;

/// The reading half of a socket.
pub struct Receiver {
    socket: OwnedFd,
    /// Its length never shrinks: clearing 64 KiB before each read costs more than the read.
    buffer: Vec<u8>,
    /// The end of the data in `buffer`.
    filled: usize,
    /// The start of the first line in `buffer` that was not returned yet.
    start: usize,
    /// `buffer` was searched for a newline up to here.
    searched: usize,
    fds: VecDeque<OwnedFd>,
    intake: Arc<Intake>,
}

impl Receiver {
    /// Reads from `socket`.
    pub fn new(socket: OwnedFd) -> Self {
        let buffer = vec![0; READ_BYTES];
        let (fds, intake) = (VecDeque::new(), Arc::default());
        Self { socket, buffer, filled: 0, start: 0, searched: 0, fds, intake }
    }

    /// The counters of what comes in.
    pub fn intake(&self) -> Arc<Intake> {
        Arc::clone(&self.intake)
    }

    /// The next message, with its file descriptor if it has one. `None` at the end of the stream.
    ///
    /// # Errors
    /// The line is too long, cut off by the end of the stream, or not a message; or the socket can't be read.
    pub fn receive(&mut self) -> Result<Option<(Message, Option<OwnedFd>)>, Failure> {
        self.receive_or(|| Ok(None))
    }

    /// Like [`Self::receive`], but calls `before_wait` before each wait. `before_wait` returns after what time it is to
    /// be called again, if at all.
    ///
    /// # Errors
    /// Like [`Self::receive`], and any error of `before_wait`.
    pub fn receive_or(
        &mut self,
        mut before_wait: impl FnMut() -> Result<Option<Duration>, Failure>,
    ) -> Result<Option<(Message, Option<OwnedFd>)>, Failure> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(Some(message));
            }
            if !self.fill(&mut before_wait)? {
                return Ok(None);
            }
        }
    }

    /// The next message if it has already arrived. It can be handled before the next flush.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn buffered(&mut self) -> Result<Option<(Message, Option<OwnedFd>)>, Failure> {
        let Some(at) = self.buffer[self.searched..self.filled].iter().position(|&byte| byte == b'\n') else {
            self.searched = self.filled;
            return Ok(None);
        };
        let end = self.searched + at;
        if end - self.start >= LINE_BYTES_MAX {
            return Err(line_too_long());
        }
        let message = Message::decode(&self.buffer[self.start..end]).map_err(Failure::protocol)?;
        self.start = end + 1;
        self.searched = self.start;
        let fd = if message.carries_fd() {
            let fd = self.fds.pop_front();
            Some(fd.ok_or_else(|| Failure::protocol("a pool or table was received without its file descriptor"))?)
        } else {
            None
        };
        Ok(Some((message, fd)))
    }

    /// Whether a whole line has already arrived.
    pub(crate) fn has_line(&self) -> bool {
        self.buffer[self.searched..self.filled].contains(&b'\n')
    }

    /// Reads more. Returns false at the end of the stream.
    fn fill(&mut self, before_wait: &mut impl FnMut() -> Result<Option<Duration>, Failure>) -> Result<bool, Failure> {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.searched -= self.start;
        self.start = 0;
        if self.filled >= LINE_BYTES_MAX {
            return Err(Failure::protocol(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let mut read = self.receive_at(self.filled);
        while read == Err(Errno::AGAIN) {
            let time = before_wait()?;
            read = self.intake.waiting(|| self.wait(time)).and_then(|_| self.receive_at(self.filled));
        }
        let before = self.filled;
        self.filled += read.unwrap_or(0);
        self.intake.read(&self.buffer[before..self.filled]);
        match read {
            Ok(0) if self.filled > 0 => Err(Failure::protocol("the stream ended in the middle of a line")),
            Ok(bytes) => Ok(bytes > 0),
            Err(Errno::CONNRESET) => Ok(false),
            Err(Errno::NOTSOCK) => {
                Err(Failure::protocol("standard input is not a socket: PROTOCOL.md shows how to run an agent by hand"))
            }
            Err(errno) => Err(Failure::protocol(format!("reading the socket: {errno}"))),
        }
    }

    /// Waits until there is something to receive, or room for what `sender` still has to write. Returns true if there
    /// is something to receive.
    ///
    /// # Errors
    /// The sockets can't be polled.
    pub fn is_ready_before(&self, sender: &Sender) -> Result<bool, Failure> {
        if self.has_line() {
            return Ok(true);
        }
        let mut both = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&sender.socket, PollFlags::OUT)];
        let waited = self.intake.waiting(|| retry(|| poll(&mut both, None)));
        waited.map(|_| !both[0].revents().is_empty()).map_err(wait_failure)
    }

    /// Whether there is something to receive within `time`.
    ///
    /// # Errors
    /// The socket can't be polled.
    pub fn is_ready_within(&self, time: Duration) -> Result<bool, Failure> {
        if self.has_line() {
            return Ok(true);
        }
        self.intake.waiting(|| self.wait(Some(time))).map_err(wait_failure)
    }

    /// Waits until there is something to read. Returns false if `time` passed first.
    ///
    /// Uses `poll` instead of a blocking read. Each time the other side takes what this process has written, the kernel
    /// wakes every thread that sleeps in a read of the same socket, for nothing. Those wake-ups were a third of all
    /// context switches of a backup.
    fn wait(&self, time: Option<Duration>) -> Result<bool, Errno> {
        let time = time.map(|time| Timespec::try_from(time).map_err(|_| Errno::INVAL)).transpose()?;
        retry(|| poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], time.as_ref())).map(|ready| ready > 0)
    }

    /// Reads what has arrived. Returns `EAGAIN` if that is nothing.
    fn receive_at(&mut self, at: usize) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = loop {
            let mut into = [rustix::io::IoSliceMut::new(&mut self.buffer[at..])];
            match recvmsg(&self.socket, &mut into, &mut control, flags) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds.take(FDS_MAX.saturating_sub(self.fds.len())));
            }
        }
        Ok(received.bytes)
    }
}

/// The writing half of a socket. Any number of threads may use it.
///
/// Lines are queued. The first thread that flushes writes them all together. While one thread is in a write, the lines
/// of the others gather for the next write.
pub struct Sender {
    socket: OwnedFd,
    queued: Mutex<Vec<u8>>,
    /// The bytes that were taken from the queue and are not written yet. They come before everything in the queue.
    writing: Mutex<Vec<u8>>,
}

impl Sender {
    /// Writes to `socket`.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, queued: Mutex::new(Vec::new()), writing: Mutex::new(Vec::new()) }
    }

    /// Queues a message. Returns the number of bytes that are now queued.
    ///
    /// # Errors
    /// The message can't be encoded as a line.
    pub fn queue(&self, message: &Message) -> Result<usize, Failure> {
        let mut queued = lock(&self.queued);
        let start = queued.len();
        message.encode(&mut queued).map_err(Failure::protocol)?;
        if queued.len() - start > LINE_BYTES_MAX {
            queued.truncate(start);
            return Err(Failure::protocol(format!("a message of more than {LINE_BYTES_MAX} bytes")));
        }
        Ok(queued.len())
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// [`FailureKind::Peer`] if the reader has closed the socket.
    pub fn flush(&self) -> Result<(), Failure> {
        let mut writing = lock(&self.writing);
        self.write_queued(&mut writing)
    }

    /// Writes as much of the queue as the socket takes without blocking. Returns whether that was all.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn flush_now(&self) -> Result<bool, Failure> {
        let mut writing = lock(&self.writing);
        self.take_queued(&mut writing);
        while !writing.is_empty() {
            match self.write_some(&writing, SendFlags::DONTWAIT) {
                Ok(sent) => drop(writing.drain(..sent)),
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(write_failure(errno)),
            }
        }
        Ok(true)
    }

    /// Queues a message and flushes.
    ///
    /// # Errors
    /// As [`Self::queue`] and [`Self::flush`].
    pub fn send(&self, message: &Message) -> Result<(), Failure> {
        self.queue(message)?;
        self.flush()
    }

    /// Sends a message with a file descriptor.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_with_fd(&self, message: &Message, fd: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut writing = lock(&self.writing);
        self.write_queued(&mut writing)?;
        let mut line = Vec::new();
        message.encode(&mut line).map_err(Failure::protocol)?;
        let (first, rest) = line.split_at(1);
        self.write_first(first, fd)?;
        self.write_all(rest)
    }

    /// The descriptor travels with the line's first byte, so it arrives before the line is complete.
    fn write_first(&self, first: &[u8], fd: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        retry(|| sendmsg(&self.socket, &[IoSlice::new(first)], &mut control, SendFlags::NOSIGNAL))
            .map(drop)
            .map_err(write_failure)
    }

    fn take_queued(&self, writing: &mut Vec<u8>) {
        let mut queued = lock(&self.queued);
        if writing.is_empty() {
            std::mem::swap(&mut *queued, writing);
        } else {
            writing.append(&mut queued);
        }
    }

    fn write_queued(&self, writing: &mut Vec<u8>) -> Result<(), Failure> {
        self.take_queued(writing);
        self.write_all(writing)?;
        writing.clear();
        Ok(())
    }

    fn write_all(&self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let sent = self.write_some(bytes, SendFlags::empty()).map_err(write_failure)?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    fn write_some(&self, bytes: &[u8], flags: SendFlags) -> Result<usize, Errno> {
        retry(|| rustix::net::send(&self.socket, bytes, flags | SendFlags::NOSIGNAL))
    }
}

fn line_too_long() -> Failure {
    Failure::protocol(format!("a line of more than {LINE_BYTES_MAX} bytes"))
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

fn wait_failure(errno: Errno) -> Failure {
    Failure::protocol(format!("waiting at the socket: {errno}"))
}

fn write_failure(errno: Errno) -> Failure {
    match errno {
        Errno::PIPE | Errno::CONNRESET => Failure::new(FailureKind::Peer, "the next agent has closed the connection"),
        Errno::NOTSOCK => {
            Failure::protocol("standard output is not a socket: PROTOCOL.md shows how to run an agent by hand")
        }
        other => Failure::protocol(format!("writing the socket: {other}")),
    }
}

/// The bytes behind a poisoned lock are consistent between any two statements, so they can still be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn what_is_sent_arrives_in_order_and_then_the_end() {
        let (a, b) = pair();
        let sender = Sender::new(a);
        sender.queue(&Message::Scan).unwrap();
        sender.send(&Message::End).unwrap();
        drop(sender);
        let mut receiver = Receiver::new(b);
        assert_eq!(receiver.receive().unwrap().unwrap().0, Message::Scan);
        assert_eq!(receiver.receive().unwrap().unwrap().0, Message::End);
        assert!(receiver.receive().unwrap().is_none());
    }

    #[test]
    fn who_may_not_wait_writes_what_there_is_room_for_and_the_rest_later() {
        let (a, b) = pair();
        let (sender, mut receiver, mut back) =
            (Sender::new(a.try_clone().unwrap()), Receiver::new(b), Receiver::new(a));
        let mut queued = 0;
        while sender.flush_now().unwrap() {
            sender.queue(&Message::Scanned(queued)).unwrap();
            queued += 1;
        }
        sender.queue(&Message::End).unwrap();
        assert!(!sender.flush_now().unwrap(), "nobody has read anything");
        for number in 0..queued {
            assert_eq!(receiver.receive().unwrap().unwrap().0, Message::Scanned(number));
            while !receiver.has_line() && !sender.flush_now().unwrap() {}
        }
        assert_eq!(receiver.receive().unwrap().unwrap().0, Message::End);
        assert!(!back.is_ready_before(&sender).unwrap(), "there is room, and nothing to receive");
        drop(receiver);
        assert!(back.receive().unwrap().is_none());
        sender.queue(&Message::End).unwrap();
        assert_eq!(sender.flush_now().unwrap_err().kind, FailureKind::Peer);
    }

    #[test]
    fn an_oversized_line_is_refused_before_it_is_held_whole() {
        let (a, b) = pair();
        let writer = std::thread::spawn(move || {
            let block = vec![b'x'; 1 << 16];
            while rustix::net::send(&a, &block, SendFlags::NOSIGNAL).is_ok() {}
        });
        let failure = Receiver::new(b).receive().unwrap_err();
        assert!(failure.cause.contains("a line of more than"), "{failure}");
        writer.join().unwrap();
    }

    #[test]
    fn a_truncated_line_is_refused() {
        let (a, b) = pair();
        rustix::net::send(&a, b"{\"end\":tr", SendFlags::NOSIGNAL).unwrap();
        drop(a);
        let failure = Receiver::new(b).receive().unwrap_err();
        assert!(failure.cause.contains("in the middle of a line"), "{failure}");
    }

    #[test]
    fn a_pool_without_its_descriptor_is_refused() {
        let (a, b) = pair();
        rustix::net::send(
            &a,
            b"{\"pool\":{\"name\":\"reader_1\",\"unit_bytes\":4096,\"units\":1}}\n",
            SendFlags::NOSIGNAL,
        )
        .unwrap();
        assert!(Receiver::new(b).receive().unwrap_err().cause.contains("without its file descriptor"));
    }
}
