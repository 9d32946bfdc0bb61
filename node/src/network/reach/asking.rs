//! The client of AutoNAT: asks a peer to dial an address, and hears the nonce that is said there.

use std::io;
use std::time::Duration;

use cidra_content::autonat::{self, Message, PIECE, Response};
use cidra_content::reach::Answer;
use libp2p::{Multiaddr, Stream};
use tokio::time::timeout;

use super::{Done, frame};
use crate::network::streams::Slot;

/// Asks on a fresh stream whether the peer can dial the address.
pub(in crate::network) async fn ask(mut stream: Stream, address: Multiaddr, nonce: u64) -> Done {
    stream.ignore_for_keep_alive();
    let answer = match timeout(PATIENCE, try_ask(&mut stream, &address, nonce)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "an address was not tested");
            Answer::Failed
        }
        Err(_) => Answer::Failed,
    };
    Done::Answered { nonce, answer }
}

async fn try_ask(stream: &mut Stream, address: &Multiaddr, nonce: u64) -> io::Result<Answer> {
    let request = Message::Request { addresses: vec![address.to_vec()], nonce };
    frame::write(stream, &request.encode()).await?;
    let mut paid = false;
    loop {
        let message = Message::decode(&frame::read(stream).await?).map_err(io::Error::other)?;
        match message {
            Message::Pay { index: 0, bytes } if !paid && autonat::is_fair(bytes) => {
                paid = true;
                pay(stream, bytes).await?;
            }
            Message::Response(Response::Reached { index: 0 }) => return Ok(Answer::Reached),
            Message::Response(Response::Unreachable { index: 0 }) => return Ok(Answer::Unreachable),
            Message::Response(Response::DialRefused) => return Ok(Answer::Refused),
            _ => return Ok(Answer::Failed),
        }
    }
}

async fn pay(stream: &mut Stream, bytes: u64) -> io::Result<()> {
    let mut left = bytes as usize;
    while left > 0 {
        let piece = left.min(PIECE);
        frame::write(stream, &Message::Paid { bytes: piece }.encode()).await?;
        left -= piece;
    }
    Ok(())
}

/// Hears the nonce on a stream that a server opened.
pub(in crate::network) async fn hear(mut stream: Stream, slot: Slot) -> Done {
    let heard = async {
        let bytes = frame::read(&mut stream).await?;
        autonat::dialled_back(&bytes).map_err(io::Error::other)
    };
    let nonce = timeout(NONCE, heard).await;
    drop(slot);
    match nonce {
        Ok(Ok(nonce)) => Done::DialledBack { nonce, stream },
        _ => Done::Nothing,
    }
}

/// Says that it was heard.
pub(in crate::network) async fn confirm(mut stream: Stream) -> Done {
    let _ = timeout(NONCE, frame::write(&mut stream, &autonat::heard_dial_back())).await; // the server has said it
    Done::Nothing
}

/// For a whole test: the server dials for up to ten seconds.
const PATIENCE: Duration = Duration::from_secs(25);
/// For a nonce to be said.
const NONCE: Duration = Duration::from_secs(5);
