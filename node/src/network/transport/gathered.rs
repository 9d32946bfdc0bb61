//! TLS that sends what was written when it is flushed, or when there is much of it. The stream as its library has it sends each
//! write on its own: Yamux writes the head of a frame and its body apart, and each head was a record and a packet.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use futures_rustls::TlsStream;

/// An encrypted connection. What is written is encrypted at once, and waits.
#[derive(Debug)]
pub(super) struct Gathered<C>(TlsStream<C>);

/// Encrypted bytes that wait at most; then writing waits.
const LIMIT: usize = 256 * 1024;

impl<C> Gathered<C> {
    pub(super) fn new(mut stream: TlsStream<C>) -> Self {
        match &mut stream {
            TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(Some(LIMIT)),
            TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(Some(LIMIT)),
        }
        Self(stream)
    }

    /// None of them: the limit is reached.
    fn encrypt(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.0 {
            TlsStream::Client(stream) => stream.get_mut().1.writer().write_vectored(bytes),
            TlsStream::Server(stream) => stream.get_mut().1.writer().write_vectored(bytes),
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gathered<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = self.encrypt(bytes)?;
        if taken > 0 || bytes.iter().all(|part| part.is_empty()) {
            return Poll::Ready(Ok(taken));
        }
        let sent = Pin::new(&mut self.0).poll_flush(cx)?;
        // Some of it may have gone: then there is room.
        let taken = self.encrypt(bytes)?;
        if taken > 0 || sent.is_ready() { Poll::Ready(Ok(taken)) } else { Poll::Pending }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt};
    use libp2p::identity::Keypair;
    use libp2p::tcp::tokio::TcpStream;
    use tokio::net::TcpListener;

    use super::super::tls::Tls;
    use super::*;
    use std::task::Waker;

    /// A connection that counts what goes out, in pieces, and takes nothing while it is stuck.
    struct Inner<C> {
        connection: C,
        pieces: usize,
        is_stuck: bool,
    }

    impl<C> Inner<C> {
        fn new(connection: C) -> Self {
            Self { connection, pieces: 0, is_stuck: false }
        }
    }

    impl<C: AsyncRead + Unpin> AsyncRead for Inner<C> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.connection).poll_read(cx, buffer)
        }
    }

    impl<C: AsyncWrite + Unpin> AsyncWrite for Inner<C> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.is_stuck {
                return Poll::Pending;
            }
            self.pieces += 1;
            Pin::new(&mut self.connection).poll_write(cx, bytes)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            if self.is_stuck {
                return Poll::Pending;
            }
            self.pieces += 1;
            Pin::new(&mut self.connection).poll_write_vectored(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.connection).poll_flush(cx)
        }

        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.connection).poll_close(cx)
        }
    }

    type Stream = Gathered<Inner<TcpStream>>;

    async fn pair() -> (Stream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let here = listener.accept().await.unwrap().0;
        let tls = || Tls::new(&Keypair::generate_ed25519()).unwrap();
        let accept = tls().accept(Inner::new(TcpStream(here)));
        let connect = tls().connect(Inner::new(TcpStream(there)));
        let (accepted, connected) = futures::future::try_join(accept, connect).await.unwrap();
        (Gathered::new(accepted.1), Gathered::new(connected.1))
    }

    fn pieces(stream: &Stream) -> usize {
        stream.0.get_ref().0.pieces
    }

    #[tokio::test]
    async fn what_is_flushed_together_goes_together() {
        let (mut here, mut there) = pair().await;
        let before = pieces(&here);

        for part in [&[1; 12][..], &[2; 50_000], &[3; 5]] {
            here.write_all(part).await.unwrap();
        }
        assert_eq!(pieces(&here), before, "it waits");
        here.flush().await.unwrap();

        assert_eq!(pieces(&here) - before, 1);
        let mut heard = vec![0; 50_017];
        there.read_exact(&mut heard).await.unwrap();
        assert_eq!([heard[11], heard[12], heard[50_011], heard[50_012]], [1, 2, 2, 3]);
    }

    #[tokio::test]
    async fn who_does_not_read_makes_the_writer_wait() {
        let (mut here, mut there) = pair().await;
        let mut cx = Context::from_waker(Waker::noop());
        let stick = |stream: &mut Stream, is_stuck| match &mut stream.0 {
            TlsStream::Client(stream) => stream.get_mut().0.is_stuck = is_stuck,
            TlsStream::Server(stream) => stream.get_mut().0.is_stuck = is_stuck,
        };
        stick(&mut here, true);

        let mut written = 0;
        while written <= LIMIT
            && let Poll::Ready(taken) = Pin::new(&mut here).poll_write(&mut cx, &[7; 10_000])
        {
            written += taken.unwrap();
        }
        // What encrypting adds counts, too.
        assert!((LIMIT - LIMIT / 64..=LIMIT).contains(&written), "{written}");
        assert!(Pin::new(&mut here).poll_write(&mut cx, &[7]).is_pending());
        stick(&mut here, false);

        let (read, flushed) = futures::join!(
            async {
                let mut heard = vec![0; written];
                there.read_exact(&mut heard).await.map(|()| heard)
            },
            here.flush()
        );
        flushed.unwrap();
        assert!(read.unwrap().iter().all(|byte| *byte == 7));
    }
}
