//! A download, as whoever downloads holds it.

use std::num::NonZeroU64;

use cid::Cid;
use cidra_content::block::Links;
use cidra_content::exchange::{Report, SessionId, SessionReport};
use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot};

use super::command::Command;

/// Asks peers for blocks, and tells when they are in the store. Dropping it ends the download: peers are told at once that
/// nobody wants its blocks any more.
#[derive(Debug)]
pub struct Session {
    pub(super) id: SessionId,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) events: mpsc::Receiver<SessionEvent>,
}

/// What became of wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The block is in the store, proven; the want is over.
    Delivered {
        /// Which.
        cid: Cid,
        /// What it links to.
        links: Links,
    },
    /// Nobody delivers this one; the search goes on. Told once per round of asking.
    Missing {
        /// Which.
        cid: Cid,
        /// Who was asked, and what they said.
        report: Report<PeerId>,
    },
}

impl Session {
    /// Wants blocks, each with a priority (higher first). Of one that is wanted already, only the priority changes. At most
    /// [`MAX_PENDING`] wants that were neither taken back nor received may stand; a session with more is ended.
    pub async fn want(&self, wants: Vec<(Cid, i32)>) {
        let _ = self.commands.send(Command::Want { session: self.id, wants }).await; // the network ended: `next` says so
    }

    /// What it wants from here on shall come no faster than so many bytes a second.
    pub async fn limit(&self, rate: NonZeroU64) {
        let _ = self.commands.send(Command::LimitSession { session: self.id, rate }).await; // the network ended: `next` says so
    }

    /// No longer wants these.
    pub async fn unwant(&self, cids: Vec<Cid>) {
        let _ = self.commands.send(Command::Unwant { session: self.id, cids }).await; // the network ended: `next` says so
    }

    /// The next thing that happened; `None` when the network has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<SessionEvent> {
        self.events.recv().await
    }

    /// The next thing that has happened already.
    pub fn try_next(&mut self) -> Option<SessionEvent> {
        self.events.try_recv().ok()
    }

    /// How it stands; `None` when the network has ended.
    pub async fn report(&self) -> Option<SessionReport<PeerId>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Report { session: self.id, reply }).await.ok()?;
        answer.await.ok().flatten()
    }
}

impl Drop for Session {
    /// A full queue of commands is no reason to leak a session: the driver looks for dropped ones too.
    fn drop(&mut self) {
        let _ = self.commands.try_send(Command::CloseSession { session: self.id }); // found by its closed channel
    }
}

/// Wants of one session that may stand without having been received by its holder.
pub const MAX_PENDING: usize = 64 * 1024;
