//! The server of AutoNAT: reads what a client asks, takes what it pays, says the nonce where it was dialled, and answers.

use std::io;
use std::time::Duration;

use cidra_content::autonat::{self, Message, Response};
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, Stream};
use tokio::time::timeout;

use super::{Done, frame};
use crate::network::streams::Slot;

/// What a client asks, and the stream that it waits at.
pub(in crate::network) struct Request {
    pub(in crate::network) client: PeerId,
    pub(in crate::network) connection: ConnectionId,
    pub(in crate::network) addresses: Vec<Vec<u8>>,
    /// Which of them is dialled.
    pub(in crate::network) index: usize,
    pub(in crate::network) nonce: u64,
    stream: Stream,
    _slot: Slot,
}

impl Request {
    /// The address of this number, if it is one.
    pub(in crate::network) fn address(&self, index: usize) -> Option<Multiaddr> {
        Multiaddr::try_from(self.addresses.get(index)?.clone()).ok()
    }
}

/// Reads what is asked on a stream that a client opened.
pub(in crate::network) async fn read(client: PeerId, connection: ConnectionId, mut stream: Stream, slot: Slot) -> Done {
    let message = async { Message::decode(&frame::read(&mut stream).await?).map_err(io::Error::other) };
    match timeout(PATIENCE, message).await {
        Ok(Ok(Message::Request { addresses, nonce })) => {
            Done::Asked(Request { client, connection, addresses, index: 0, nonce, stream, _slot: slot })
        }
        _ => Done::Nothing,
    }
}

/// Has the client pay for a dial to another host than its own.
pub(in crate::network) async fn take_payment(mut request: Request, bytes: u64) -> Done {
    match timeout(PATIENCE, receive(&mut request, bytes)).await {
        Ok(Ok(())) => Done::Paid(request),
        _ => Done::Checked { request, response: None, dialled: None },
    }
}

async fn receive(request: &mut Request, bytes: u64) -> io::Result<()> {
    frame::write(&mut request.stream, &Message::Pay { index: request.index, bytes }.encode()).await?;
    let mut left = bytes;
    while left > 0 {
        let message = Message::decode(&frame::read(&mut request.stream).await?).map_err(io::Error::other)?;
        let Message::Paid { bytes: paid @ 1.. } = message else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no payment"));
        };
        left = left.saturating_sub(paid as u64);
    }
    Ok(())
}

/// Says the nonce on a stream of the connection that was dialled, then answers.
pub(in crate::network) async fn say_back(mut stream: Stream, dialled: ConnectionId, request: Request) -> Done {
    let say = async {
        frame::write(&mut stream, &autonat::dial_back(request.nonce)).await?;
        frame::read(&mut stream).await
    };
    let response = match timeout(PATIENCE, say).await {
        Ok(Ok(_)) => Response::Reached { index: request.index },
        _ => Response::Unreachable { index: request.index },
    };
    Done::Checked { request, response: Some(response), dialled: Some(dialled) }
}

/// Tells the client what came of it.
pub(in crate::network) async fn answer(mut request: Request, response: Response) -> Done {
    let response = Message::Response(response).encode();
    let _ = timeout(PATIENCE, frame::write(&mut request.stream, &response)).await; // it has gone: nobody waits
    Done::Nothing
}

/// For each step.
const PATIENCE: Duration = Duration::from_secs(10);
