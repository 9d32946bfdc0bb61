//! Reads more from a socket than was asked for, while much comes: TLS asks for a record or a part of one at a time, and a call
//! of the system for each costs more than copying the bytes once more.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

/// A connection that is read in larger pieces. While little comes it holds no memory; one that fell silent when much had come
/// holds 64 KiB until little comes, a ping at the latest.
#[derive(Debug)]
pub(super) struct ReadAhead<C> {
    connection: C,
    /// `MUCH` of them, or none since little came last.
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

/// Bytes read at a time while much comes.
const MUCH: usize = 64 * 1024;
/// A read that brings no more shows that little comes.
const LITTLE: usize = 4 * 1024;

impl<C> ReadAhead<C> {
    pub(super) fn new(connection: C) -> Self {
        Self { connection, bytes: Vec::new(), begin: 0, end: 0 }
    }

    fn take(&mut self, out: &mut [u8]) -> usize {
        let taken = out.len().min(self.end - self.begin);
        out[..taken].copy_from_slice(&self.bytes[self.begin..self.begin + taken]);
        self.begin += taken;
        taken
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for ReadAhead<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.bytes.is_empty() {
            let read = ready!(Pin::new(&mut this.connection).poll_read(cx, out))?;
            if read == out.len() && read >= LITTLE {
                this.bytes = vec![0; MUCH];
            }
            return Poll::Ready(Ok(read));
        }
        if this.begin == this.end {
            (this.begin, this.end) = (0, 0);
            this.end = ready!(Pin::new(&mut this.connection).poll_read(cx, &mut this.bytes))?;
        }
        let taken = this.take(out);
        if this.begin == this.end && this.end <= LITTLE {
            this.bytes = Vec::new();
            (this.begin, this.end) = (0, 0);
        }
        Poll::Ready(Ok(taken))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for ReadAhead<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// What a socket has, in the pieces in which it came; `None`: nothing more has come yet.
    struct Pieces {
        pieces: VecDeque<Option<Vec<u8>>>,
        reads: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
            self.reads += 1;
            match self.pieces.pop_front() {
                None => Poll::Ready(Ok(0)),
                Some(None) => Poll::Pending,
                Some(Some(mut piece)) => {
                    let rest = piece.split_off(piece.len().min(out.len()));
                    out[..piece.len()].copy_from_slice(&piece);
                    if !rest.is_empty() {
                        self.pieces.push_front(Some(rest));
                    }
                    Poll::Ready(Ok(piece.len()))
                }
            }
        }
    }

    /// All that comes, read so many bytes at a time.
    fn all(connection: &mut ReadAhead<Pieces>, sizes: &[usize]) -> Vec<u8> {
        let (mut heard, mut sizes) = (vec![], sizes.iter().cycle());
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let mut out = vec![0; *sizes.next().unwrap()];
            match Pin::new(&mut *connection).poll_read(&mut cx, &mut out) {
                Poll::Pending => {}
                Poll::Ready(Ok(0)) => return heard,
                Poll::Ready(read) => heard.extend_from_slice(&out[..read.unwrap()]),
            }
        }
    }

    fn read_ahead(pieces: impl IntoIterator<Item = Option<Vec<u8>>>) -> ReadAhead<Pieces> {
        ReadAhead::new(Pieces { pieces: pieces.into_iter().collect(), reads: 0 })
    }

    #[test]
    fn much_is_read_at_once_and_little_holds_no_memory() {
        let mut connection = read_ahead([Some(vec![7; 16 * MUCH]), None, Some(vec![8; 100])]);

        let heard = all(&mut connection, &[5, LITTLE, 1000]);

        assert_eq!(heard.len(), 16 * MUCH + 100);
        assert!(connection.connection.reads <= 16 + 8, "{}", connection.connection.reads);
        assert!(connection.bytes.is_empty());
    }

    proptest! {
        #[test]
        fn what_comes_is_read(
            pieces in prop::collection::vec(prop::option::of((1_usize..200_000, any::<u8>())), 0..12),
            sizes in prop::collection::vec(1_usize..20_000, 1..5),
        ) {
            let pieces: Vec<Option<Vec<u8>>> = pieces
                .into_iter()
                .map(|piece| piece.map(|(len, seed)| (0..len).map(|at| (at % 251) as u8 ^ seed).collect()))
                .collect();
            let sent: Vec<u8> = pieces.iter().flatten().flatten().copied().collect();

            prop_assert_eq!(all(&mut read_ahead(pieces), &sizes), sent);
        }
    }
}
