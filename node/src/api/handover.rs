//! A daemon that starts asks the command that holds the repository to hand it over. Only its socket takes that question, and
//! the server that listens there answers it: it must not listen any more when the lock is free.

use std::path::PathBuf;

use axum::Extension;
use axum::extract::State;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use super::answer::{Answer, Failure, one};
use crate::node::{Node, NodeError, Settled, Ticket};
use crate::repository::socket;

/// Asks the server of the socket; what a server without one does not have.
#[derive(Clone, Debug)]
pub(super) struct Handover(mpsc::Sender<Wish>);

/// Somebody wants the repository.
pub(super) type Wish = oneshot::Sender<Result<Ticket, NodeError>>;

impl Handover {
    /// A way to ask, and where the questions come out.
    pub(super) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (sender, wishes) = mpsc::channel(1);
        (Self(sender), wishes)
    }
}

/// Gives the repository up; the answer is what the next holder must know to take its former holder as a guest.
pub(super) async fn hand_over(State(node): State<Node>, handover: Option<Extension<Handover>>) -> Answer {
    let Some(Extension(Handover(wishes))) = handover else {
        return Err(Failure::failed("a repository is handed over on its own socket alone"));
    };
    if node.is_daemon() {
        return Err(NodeError::Daemon.into());
    }
    let (wish, answer) = oneshot::channel();
    let ending = || Failure::failed("the command that holds this repository is ending");
    wishes.send(wish).await.map_err(|_| ending())?;
    let ticket = answer.await.map_err(|_| ending())??;
    Ok(one(&ticket))
}

/// A socket that is listened on. It is taken away with its listener.
pub(super) struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Whatever socket stood there is replaced: the caller holds the repository's lock.
    pub(super) fn bind(path: PathBuf) -> std::io::Result<Self> {
        Ok(Self { listener: socket::bind(&path)?, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever comes next replaces it anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Hands the repository over and finds its new holder. The socket to go on listening on, when there was none.
pub(super) async fn carry_out(node: &Node, wish: Wish, socket: Socket) -> Option<Socket> {
    let path = socket.path.clone();
    let mut socket = Some(socket);
    let handed = node.hand_over(|| drop(socket.take())).await;
    let ticket = handed.as_ref().ok().cloned();
    // Whoever asked may be gone: then nobody takes it, and it comes back.
    let _ = wish.send(handed);
    let Some(ticket) = ticket else { return socket };
    match node.settle(&ticket).await {
        Settled::Guest | Settled::Lost => None,
        Settled::Back => match Socket::bind(path) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "other commands wait until this one is done");
                None
            }
        },
    }
}
