//! Messages of AutoNAT on a stream: the length, then the bytes.

use std::io;

use cidra_content::autonat::MAX_MESSAGE;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;

/// Reads one message; a longer one than allowed is an error before its bytes are read.
pub(super) async fn read(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut length = 0;
    for shift in [0, 7, 14] {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

pub(super) async fn write(stream: &mut Stream, message: &[u8]) -> io::Result<()> {
    let mut buffer = unsigned_varint::encode::usize_buffer();
    let length = unsigned_varint::encode::usize(message.len(), &mut buffer);
    stream.write_all(&[length, message].concat()).await?;
    stream.flush().await
}
