//! Frames on their way to a caller: many small ones in one piece.

use bytes::BytesMut;

use super::answer::Output;
use super::tree::{Frame, TreeError, data_head};

/// Gathers frames until they are worth a piece of the answer, or somebody waits for them.
pub(super) struct Framing {
    output: Output,
    gathered: BytesMut,
}

impl Framing {
    pub(super) fn new(output: Output) -> Self {
        Self { output, gathered: BytesMut::new() }
    }

    /// The next frame. Bytes that are worth a piece of their own are not copied; they fit into one frame, as a leaf does.
    pub(super) async fn put(&mut self, frame: Frame) -> Result<(), TreeError> {
        match frame {
            Frame::Data(data) if data.len() >= OWN_PIECE => {
                self.gathered.extend_from_slice(&data_head(data.len()));
                self.flush().await;
                self.output.bytes(data).await;
            }
            frame => {
                frame.put(&mut self.gathered)?;
                if self.gathered.len() >= PIECE {
                    self.flush().await;
                }
            }
        }
        Ok(())
    }

    /// What was gathered goes out.
    pub(super) async fn flush(&mut self) {
        self.output.bytes(self.gathered.split().freeze()).await;
        self.gathered.reserve(PIECE + OWN_PIECE);
    }
}

/// Bytes that are worth a piece of the answer.
const PIECE: usize = 64 << 10;
/// Bytes whose copying costs more than a piece of their own.
const OWN_PIECE: usize = 32 << 10;
