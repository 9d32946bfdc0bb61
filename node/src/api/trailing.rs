//! Trailers for every caller. Kubo tells an error that comes after the first bytes in a trailer, and its clients rely on that
//! without saying so, while hyper sends trailers to those alone that say `TE: trailers`.
//!
//! So the connection says it for them: the line is put into the head of each request as it is read. Where a head begins is
//! known for the first request, and for each further one that comes after the request before was read to its end and
//! answered to its end. One that comes earlier (pipelining) is left as it is; its caller sees the connection cut instead.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::ServiceExt;

use crate::http::Keeping;

/// A connection whose requests ask for trailers.
pub(super) struct Trailing<S> {
    stream: S,
    turns: Turns,
    /// Read and not yet handed on.
    ahead: BytesMut,
    /// The line of the request has begun.
    begun: bool,
}

impl<S> Trailing<S> {
    pub(super) fn new(stream: S) -> (Self, Turns) {
        let turns = Turns { head_comes: Arc::new(AtomicBool::new(true)) };
        (Self { stream, turns: turns.clone(), ahead: BytesMut::new(), begun: false }, turns)
    }

    /// Takes in bytes of a head up to the end of its first line, and adds the line after that.
    fn take_head(&mut self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            // Empty lines may stand before a request.
            self.begun |= !matches!(byte, b'\r' | b'\n');
            if *byte == b'\n' && self.begun {
                self.ahead.extend_from_slice(&bytes[..=at]);
                self.ahead.extend_from_slice(LINE);
                self.ahead.extend_from_slice(&bytes[at + 1..]);
                self.begun = false;
                self.turns.head_comes.store(false, Ordering::Relaxed);
                return;
            }
        }
        self.ahead.extend_from_slice(bytes);
    }
}

const LINE: &[u8] = b"TE: trailers\r\n";

impl<S: AsyncRead + Unpin> AsyncRead for Trailing<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if !this.turns.head_comes.load(Ordering::Relaxed) {
                return Pin::new(&mut this.stream).poll_read(context, buf);
            }
            let mut bytes = [0; HEAD];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            this.take_head(read.filled());
        }
        let count = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead[..count]);
        this.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Bytes of a head read at a time; most are shorter.
const HEAD: usize = 2048;

impl<S: AsyncWrite + Unpin> AsyncWrite for Trailing<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The requests of a connection, one after the other.
#[derive(Clone)]
pub(super) struct Turns {
    head_comes: Arc<AtomicBool>,
}

impl Turns {
    /// Has a request answered, and sees when the next one may come.
    pub(super) async fn answer(self, router: Router, request: Request<Incoming>) -> Response<Body> {
        let is_read = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| Body::new(Asked { body, is_read: is_read.clone() }));
        let Ok(response) = router.oneshot(request).await;
        response.map(|body| Body::new(Keeping::new(body, Turn { is_read, turns: self })))
    }
}

/// The body of a request.
struct Asked {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

impl hyper::body::Body for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.is_read.store(self.body.is_end_stream(), Ordering::Relaxed);
    }
}

/// Ends with the body of an answer, and with it the body of the request, which its work may hold.
struct Turn {
    is_read: Arc<AtomicBool>,
    turns: Turns,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.head_comes.store(self.is_read.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_head_is_asked_to_take_trailers_and_what_follows_is_left_alone() {
        let (mut trailing, turns) = Trailing::new(&b"\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\nbody\nPOST /"[..]);
        let mut read = vec![];

        trailing.read_to_end(&mut read).await.unwrap();

        assert_eq!(read, b"\r\nPOST / HTTP/1.1\r\nTE: trailers\r\nHost: x\r\n\r\nbody\nPOST /");
        assert!(!turns.head_comes.load(Ordering::Relaxed));
    }

    proptest! {
        #[test]
        fn the_line_is_found_however_the_head_is_cut(cut in 1usize..30, room in 1usize..30) {
            let mut trailing = Trailing::new(tokio::io::empty()).0;
            let mut read = vec![];
            for piece in b"POST / HTTP/1.1\nHost: x\n\n".chunks(cut) {
                if trailing.turns.head_comes.load(Ordering::Relaxed) {
                    trailing.take_head(piece);
                } else {
                    trailing.ahead.extend_from_slice(piece);
                }
                while !trailing.ahead.is_empty() {
                    let mut bytes = vec![0; room];
                    let mut buf = ReadBuf::new(&mut bytes);
                    let mut context = Context::from_waker(std::task::Waker::noop());
                    prop_assert!(Pin::new(&mut trailing).poll_read(&mut context, &mut buf).is_ready());
                    read.extend_from_slice(buf.filled());
                }
            }

            prop_assert_eq!(read, b"POST / HTTP/1.1\nTE: trailers\r\nHost: x\n\n");
        }
    }
}
