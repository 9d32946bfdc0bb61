//! Content out of the store and, what is not there, from peers.
//!
//! A download drives the machine in `content::fetch`: what it wants is looked up in the store and else wanted from peers; what
//! it puts out is read from the store and proved once more. It works only while `next` is awaited, so a reader that is
//! slow slows it, and dropping it ends it.

mod ahead;
mod asking;
mod crowd;
mod event;
mod failure;
mod gather;
mod in_place;
mod report;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use cid::Cid;
use cidra_content::block::RAW;
use cidra_content::exchange::Order;
use cidra_content::fetch::{self, Fetch, Limits, Progress, Selector};
use futures::future::join_all;
use libp2p::Multiaddr;
use tokio::time::Instant;

use crate::network::Session;
use crate::node::Node;
use crate::store::{Lease, Located, StoreError};
use ahead::Ahead;
use asking::unprovable;
pub(crate) use crowd::Crowd;
pub use event::DownloadEvent;
pub use failure::{Answers, FetchError};
pub(crate) use gather::gather;
use in_place::Placing;
use report::Patience;

/// How a download may go about it.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// Only what is in the store.
    pub offline: bool,
    /// For all of it.
    pub timeout: Option<Duration>,
    /// Since something came last.
    pub idle_timeout: Option<Duration>,
    /// Peers that are known to have the content.
    pub holders: Vec<Multiaddr>,
    /// Bytes a second that come from peers, at most.
    pub limit_down: Option<NonZeroU64>,
    /// Whether somebody waits for what comes first.
    pub order: Order,
    /// It is to be kept: what is here only in files into which it was fetched is copied.
    pub keep: bool,
}

/// How a download stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How much was put out, and of how much.
    pub progress: Progress,
    /// Bytes that came from peers.
    pub received: u64,
    /// Peers that blocks are asked of.
    pub peers: usize,
    /// Blocks that are waited for.
    pub waiting: usize,
}

/// One download.
pub struct Download {
    node: Node,
    root: Cid,
    fetch: Fetch,
    options: FetchOptions,
    session: Option<Session>,
    /// What it found here and what comes is not collected meanwhile.
    lease: Option<Lease>,
    patience: Patience,
    /// Asked for by the machine, and not yet looked up.
    wanted: Vec<fetch::Want>,
    ahead: Ahead,
    ready: VecDeque<DownloadEvent>,
    waiting: usize,
    /// Whether it relies on blocks that are only in files into which they were fetched.
    borrows: bool,
    placing: Option<Placing>,
    state_due: Instant,
    ended: bool,
}

impl Download {
    pub(crate) fn new(node: Node, root: Cid, selector: Selector, options: FetchOptions) -> Self {
        let now = Instant::now();
        let ahead = Ahead::new(node.crowd());
        Self {
            node,
            root,
            fetch: Fetch::new(root, selector, limits(options.order)),
            patience: Patience::new(&options, now),
            options,
            session: None,
            lease: None,
            wanted: vec![],
            ahead,
            ready: VecDeque::new(),
            waiting: 0,
            borrows: false,
            placing: None,
            state_due: now + STATE_EVERY,
            ended: false,
        }
    }

    /// The next piece of the content; `None` when all of it was given. After an error nothing more comes.
    ///
    /// Cancel safe: a piece that is not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Result<DownloadEvent, FetchError>> {
        if self.ended {
            return None;
        }
        let step = self.step().await;
        if !matches!(step, Some(Ok(_))) {
            self.ended = true;
            self.session = None;
        }
        step
    }

    /// The next piece, if it is at hand: nothing is waited for.
    pub fn try_next(&mut self) -> Option<DownloadEvent> {
        self.ready.pop_front()
    }

    /// How it stands.
    pub async fn state(&self) -> State {
        let report = match &self.session {
            Some(session) => session.report().await,
            None => None,
        };
        State {
            progress: self.fetch.progress(),
            received: report.as_ref().map_or(0, |report| report.bytes),
            peers: report.as_ref().map_or(0, |report| report.peers.len()),
            waiting: self.waiting,
        }
    }

    /// Runs to the end without handing anything out; for downloads that put nothing out.
    pub async fn complete(mut self) -> Result<(), FetchError> {
        while let Some(event) = self.next().await {
            event?;
        }
        Ok(())
    }

    async fn step(&mut self) -> Option<Result<DownloadEvent, FetchError>> {
        if self.lease.is_none()
            && let Err(error) = self.hold().await
        {
            return Some(Err(error.into()));
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Err(error) = self.advance().await {
                return Some(Err(error));
            }
            if self.is_done() {
                return match self.finish().await {
                    Ok(()) => None,
                    Err(error) => Some(Err(error)),
                };
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_placed = self.placing.as_ref().is_none_or(Placing::is_idle);
        is_placed && self.ready.is_empty() && self.ahead.is_empty() && self.fetch.is_done()
    }

    /// Before anything is looked for.
    async fn hold(&mut self) -> Result<(), StoreError> {
        let lease = self.node.store().lease().await;
        lease.protect(self.root).await?;
        self.lease = Some(lease);
        Ok(())
    }

    /// One step of work: ask for what may be asked for, else put out what is ready, else wait for a block.
    async fn advance(&mut self) -> Result<(), FetchError> {
        self.tell(Instant::now()).await;
        if self.ahead.is_empty() {
            // All that was put out was given: a file that is to be placed has been.
            self.fetch.begin();
        }
        while self.wanted.len() < LOOK_UP {
            let Some(want) = self.fetch.poll_want() else { break };
            self.wanted.push(want);
        }
        if !self.wanted.is_empty() {
            return self.look_up().await;
        }
        if self.put_in_place().await? {
            return Ok(());
        }
        if self.placing.is_none() {
            self.ahead.fill(&mut self.fetch, self.node.store()).await?;
        }
        if !self.ahead.is_empty() {
            self.ready.extend(self.ahead.next().await?);
            return Ok(());
        }
        if self.fetch.is_done() {
            return Ok(());
        }
        self.wait().await
    }

    /// What is in the store is handed to the machine, the rest is wanted from peers. Dropped in the middle, it is begun anew.
    async fn look_up(&mut self) -> Result<(), FetchError> {
        gather::check(&self.node, self.wanted.iter().map(|want| &want.cid))?;
        let wanted = self.find_in_place(self.wanted.clone()).await?;
        if wanted.is_empty() {
            self.wanted.clear();
            return Ok(());
        }
        let located = self.node.store().look_up(wanted.iter().map(|want| want.cid).collect()).await?;
        let mut absent = vec![];
        let mut nodes = vec![];
        for (want, located) in wanted.iter().zip(located) {
            let Some(Located { length, is_borrowed }) = located else {
                absent.push(*want);
                continue;
            };
            let copies = is_borrowed && self.options.keep;
            self.borrows |= is_borrowed && !copies;
            // A file may have changed; what is to be written elsewhere has to be read.
            match want.cid.codec() == RAW && !is_borrowed && self.placing.is_none() {
                true => self.fetch.handle_leaf(&want.cid, u64::from(length))?,
                false => nodes.push((*want, copies)),
            }
        }
        for batch in nodes.chunks(READ_AHEAD) {
            let blocks = join_all(batch.iter().map(|(want, _)| self.node.store().block(&want.cid))).await;
            for ((want, copies), block) in batch.iter().zip(blocks) {
                let Some(block) = block? else {
                    absent.push(*want);
                    continue;
                };
                if *copies {
                    self.node.store().put(vec![block.clone()]).await?;
                }
                self.copy_in_place(want, &block).await?;
                match want.cid.codec() {
                    RAW => self.fetch.handle_leaf(&want.cid, block.data().len() as u64)?,
                    _ => self.fetch.handle_block(&block)?,
                }
            }
        }
        self.want(absent).await?;
        self.wanted.clear();
        Ok(())
    }

    /// Tells how it stands, where that is due.
    async fn tell(&mut self, now: Instant) {
        if now >= self.state_due {
            self.state_due = now + STATE_EVERY;
            let state = self.state().await;
            self.patience.received(state.received, now);
            self.ready.push_back(DownloadEvent::State(state));
        }
    }

    async fn finish(&mut self) -> Result<(), FetchError> {
        // What is only in the file of a fetch goes when that does.
        if self.fetch.covers_dag() && !self.borrows {
            self.node.store().set_complete(self.root).await?;
        } else if self.session.is_some() {
            self.node.store().commit().await?;
        }
        Ok(())
    }
}

/// Where nobody waits for what comes first, much may come before it: it stands in the store, or in the file itself, and a crowd is
/// the faster the more there is to choose from.
fn limits(order: Order) -> Limits {
    match order {
        Order::Any => Limits { bytes_ahead: ANY_AHEAD, ..Limits::default() },
        Order::Priority => Limits::default(),
    }
}

/// Blocks looked up at a time.
const LOOK_UP: usize = 256;
/// Bytes of content that may be here before what comes first is. How many pieces are known of bounds the memory.
const ANY_AHEAD: u64 = 1 << 30;
/// Nodes read and proved side by side.
const READ_AHEAD: usize = 4;
const STATE_EVERY: Duration = Duration::from_millis(500);
