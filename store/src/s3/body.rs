//! Sends a list of pieces as the body of a request, without a copy, and records the progress.
//!
//! Pieces are views of shared memory. A retry clones only the views.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The most bytes that are passed to the connection at once. Few, so that progress is visible on slow connections too.
const FRAME_BYTES_MAX: usize = 256 << 10;

/// When data was last transferred. Threads share it.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    start: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last_ms: Arc::default() }
    }

    pub(super) fn step(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    /// The time since data was last transferred.
    pub(super) fn idle(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// The pieces of a body that are still to be sent.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left_bytes: u64,
    progress: Progress,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.progress.step();
        let Some(mut piece) = self.pieces.pop_front() else { return Poll::Ready(None) };
        if piece.len() > FRAME_BYTES_MAX {
            let rest = piece.split_off(FRAME_BYTES_MAX);
            self.pieces.push_front(rest);
        }
        self.left_bytes -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

/// The pieces as the body of a request, with its length.
pub(super) fn stream(pieces: &[Bytes], progress: &Progress) -> ByteStream {
    let pieces: VecDeque<Bytes> = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
    let left_bytes = total_bytes(pieces.iter());
    if left_bytes == 0 {
        return ByteStream::new(SdkBody::from(Vec::new()));
    }
    ByteStream::new(SdkBody::from_body_1_x(Pieces { pieces, left_bytes, progress: progress.clone() }))
}

pub(super) fn total_bytes<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> u64 {
    pieces.into_iter().map(|piece| piece.len() as u64).sum()
}
