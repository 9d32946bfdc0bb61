//! Who fetches something, for those who send it.

use std::sync::Arc;

use cid::Cid;
use cidra_content::exchange::Served;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

use super::command::Command;

/// Counts what of a root goes to whom, until it is dropped.
#[derive(Debug)]
pub struct Audience {
    pub(super) root: Cid,
    pub(super) commands: mpsc::Sender<Command>,
    /// The driver counts for as long as somebody holds it.
    pub(super) _interest: Arc<()>,
}

impl Audience {
    /// Who asked for it so far, at most 1,024 peers; nobody when the network has ended.
    pub async fn receivers(&self) -> Vec<Receiver> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Receivers { root: self.root, reply }).await.is_err() {
            return vec![];
        }
        answer.await.unwrap_or_default()
    }
}

/// A peer that asked for some of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Which.
    pub peer: PeerId,
    /// Where it is, as seen from here; none when it is not connected.
    pub address: Option<Multiaddr>,
    /// What went to it.
    pub served: Served,
}
