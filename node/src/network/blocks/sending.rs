//! Bytes are written to a peer that may take none of them.

use std::io;
use std::time::Duration;

use futures::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

pub(super) async fn put<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), WriteError> {
    Ok(timeout(STALL, stream.write_all(bytes)).await.map_err(|_| WriteError::Stalled)??)
}

pub(super) async fn flush<S: AsyncWrite + Unpin>(stream: &mut S) -> Result<(), WriteError> {
    Ok(timeout(STALL, stream.flush()).await.map_err(|_| WriteError::Stalled)??)
}

/// A peer that takes nothing for so long has its connection closed.
const STALL: Duration = Duration::from_secs(60);

/// Why writing ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("its stream broke: {0}")]
    Broken(#[from] io::Error),
    #[error("it took nothing for {} s", STALL.as_secs())]
    Stalled,
}
