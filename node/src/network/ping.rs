//! A ping on request; libp2p's own runs by its own clock.

use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::PingError;

/// The protocol's name.
pub(super) const PROTOCOL: &str = "/ipfs/ping/1.0.0";
/// For the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Sends 32 random bytes and waits for them to come back.
pub(super) async fn ping(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Duration, PingError> {
    let (mut sent, mut answer) = ([0u8; 32], [0u8; 32]);
    rand::fill(&mut sent);
    let begun = Instant::now();
    let exchange = async {
        stream.write_all(&sent).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    timeout(PATIENCE, exchange).await.map_err(|_| PingError::Timeout)??;
    let time = begun.elapsed();
    let _ = stream.close().await; // the answer is here
    if answer == sent { Ok(time) } else { Err(PingError::Wrong) }
}
