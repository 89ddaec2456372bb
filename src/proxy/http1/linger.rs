//! The end of a connection whose client may still be sending.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Read off behind the last answer, so that its client sees the answer and no reset.
pub(super) const LINGER_BYTES: usize = 64 * 1024;
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// Read at a time.
const READ: usize = 4 * 1024;

/// Reads off what a client still sends while its answer is on the way. Past the bound nothing more
/// is read, but the socket stays open for the rest of the second: closed with bytes unread, it would
/// be reset, and the client might never see the answer.
pub(super) struct Linger {
    sleep: Pin<Box<Sleep>>,
    left: usize,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(sleep(LINGER)), left: LINGER_BYTES }
    }

    /// Ready when the client has closed its side, or its second is over.
    pub(super) fn poll(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while self.left > 0 {
            if self.sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut space = [MaybeUninit::uninit(); READ];
            let mut buf = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buf.filled().len());
                }
                _ => return Poll::Ready(()),
            }
        }
        self.sleep.as_mut().poll(cx)
    }
}
