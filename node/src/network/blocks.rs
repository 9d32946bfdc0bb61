//! What carries out the exchange of blocks: its machine, the streams to its partners, and the work under way for it in the
//! store and the hashing pool. It decides nothing; what needs the swarm is done by the driver.

mod assembly;
mod bitswap;
mod gathering;
mod meeting;
mod partner;
mod reader;
mod sending;
mod serving;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cid::Cid;
use cidra_content::Block;
use cidra_content::block::{BlockError, Links};
use cidra_content::exchange::message::{Message, RequestId};
use cidra_content::exchange::wire::native::{PROTOCOL, Referral};
use cidra_content::exchange::{self, Exchange, SessionId};
use cidra_content::hash::Expect;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::{PeerId, StreamProtocol};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::gathering::Gathering;
pub(super) use self::partner::{Heard, Inbound, LinkId, Partner, PartnerState, Report};
use self::reader::{BUDGET_UNIT, Payload};
use self::serving::Loading;
use self::writer::Said;
use super::ConnectError;
use super::session::SessionEvent;
use super::throttle::{Limits, Throttle};
use crate::config::DenyLists;
use crate::pool::Pool;
use crate::store::{Store, StoreError, Stored};

/// The protocols of streams that carry blocks, the best first, with how many streams of each a peer may have open on a
/// connection. What a side says goes on streams that it opened.
pub(super) fn protocols() -> Vec<(StreamProtocol, usize)> {
    [(StreamProtocol::new(PROTOCOL), MAX_INBOUND)].into_iter().chain(bitswap::protocols()).collect()
}

/// How good the best of these names is for blocks: the less the better, and the most where none is for blocks.
pub(super) fn rank<'a>(names: impl IntoIterator<Item = &'a str>) -> usize {
    let known = protocols();
    let place = |name: &str| known.iter().position(|(known, _)| known.as_ref() == name);
    names.into_iter().filter_map(place).min().unwrap_or(usize::MAX)
}

/// One is needed, and one more while the one before is being closed.
const MAX_INBOUND: usize = 2;

/// The exchange of blocks of one node.
pub(super) struct Blocks {
    pub(super) machine: Exchange<PeerId>,
    pub(super) sessions: BTreeMap<SessionId, mpsc::Sender<SessionEvent>>,
    pub(super) partners: BTreeMap<PeerId, Partner>,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Done>>,
    store: Store,
    deny: DenyLists,
    pool: Pool,
    serves: bool,
    pub(super) limits: Limits,
    /// Blocks that are being read, and how many of their readings were cancelled.
    loading: BTreeMap<(PeerId, RequestId, Cid), Loading>,
    gathering: Gathering,
    verified: Vec<(Block, OwnedSemaphorePermit)>,
    storing: bool,
    reports: mpsc::Sender<Report>,
    budget: Arc<Semaphore>,
    next_link: u64,
}

/// Work that is done.
pub(super) enum Done {
    Loaded {
        peer: PeerId,
        link: LinkId,
        request: RequestId,
        cid: Cid,
        limit: Option<Throttle>,
        result: Result<Option<Stored>, StoreError>,
    },
    Located {
        peer: PeerId,
        link: LinkId,
        request: RequestId,
        found: Vec<(Cid, Option<u32>)>,
    },
    Made {
        cid: Cid,
        links: Links,
        result: Result<(), StoreError>,
    },
    Reached {
        peer: PeerId,
        result: Result<(), ConnectError>,
    },
    Stored {
        cids: Vec<Cid>,
        result: Result<(), StoreError>,
    },
    Verified {
        verified: Vec<Verified>,
    },
}

/// A payload that was looked at.
pub(super) struct Verified {
    peer: PeerId,
    expect: Expect,
    result: Result<Block, BlockError>,
    budget: OwnedSemaphorePermit,
}

impl Blocks {
    pub(super) fn new(
        store: Store,
        pool: Pool,
        config: exchange::Config,
        serves: bool,
        deny: DenyLists,
        limits: Limits,
    ) -> (Self, mpsc::Receiver<Report>) {
        let (reports, receiver) = mpsc::channel(REPORTS);
        let blocks = Self {
            machine: Exchange::new(config, rand::random()),
            sessions: BTreeMap::new(),
            partners: BTreeMap::new(),
            work: FuturesUnordered::new(),
            store,
            pool,
            serves,
            deny,
            limits,
            loading: BTreeMap::new(),
            gathering: Gathering::default(),
            verified: vec![],
            storing: false,
            reports,
            budget: Arc::new(Semaphore::new(BUDGET / BUDGET_UNIT)),
            next_link: 0,
        };
        (blocks, receiver)
    }

    /// Wants a block for a session. That of no bytes is made here: Kubo never sends it.
    pub(super) fn want(&mut self, session: SessionId, cid: Cid, priority: i32, now: Instant) {
        self.machine.want(session, cid, priority, now);
        if let Some(block) = Block::empty(cid) {
            let (store, links) = (self.store.clone(), block.links().unwrap_or_default());
            let put = async move { Done::Made { cid, links, result: store.receive(vec![block]).await } };
            self.work.push(put.boxed());
        }
    }

    /// Takes a whole payload to the hashing pool, if the machine has a use for it.
    pub(super) fn on_payload(&mut self, peer: PeerId, payload: Payload, now: Instant) {
        let cid = match &payload.expect {
            Expect::Cid(cid) => Some(cid),
            Expect::Prefix(_) => None,
        };
        if self.machine.handle_arrived(&peer, cid, payload.data.len(), now) {
            let gathered = self.gathering.push(peer, payload, now);
            self.verify(gathered);
        }
    }

    fn verify(&mut self, gathered: Vec<(PeerId, Payload)>) {
        if gathered.is_empty() {
            return;
        }
        let pool = self.pool.clone();
        let verify = async move {
            let payloads = gathered.iter().map(|(_, payload)| (payload.expect, payload.data.clone()));
            let results = pool.verify(payloads.collect()).await;
            let verified = gathered.into_iter().zip(results);
            let verified = verified.map(|((peer, Payload { expect, budget, .. }), result)| Verified {
                peer,
                expect,
                result,
                budget,
            });
            Done::Verified { verified: verified.collect() }
        };
        self.work.push(verify.boxed());
    }

    /// When `on_timeout` is to be called.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout().into_iter().chain(self.gathering.due()).min()
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        if self.gathering.due().is_some_and(|due| due <= now) {
            let gathered = self.gathering.take();
            self.verify(gathered);
        }
        self.machine.handle_timeout(now);
    }

    /// Something that was begun is done.
    pub(super) fn on_done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Located { peer, link, request, mut found } if self.is_current(&peer, link) => {
                if let Some(allowance) = self.partners.get(&peer).and_then(|partner| partner.allowance) {
                    // What the relay would not carry is not here for this peer.
                    let carried = |length: &u32| allowance.covers(*length as usize);
                    found.iter_mut().for_each(|(_, length)| *length = length.filter(carried));
                }
                self.machine.handle_located(&peer, request, found, now);
            }
            Done::Loaded { peer, link, request, cid, limit, result } if self.is_current(&peer, link) => {
                self.on_loaded(peer, request, cid, limit, result, now);
            }
            Done::Loaded { .. } | Done::Located { .. } => {}
            Done::Made { cid, links, result: Ok(()) } => self.machine.handle_added(&cid, 0, links, now),
            Done::Made { result: Err(error), .. } => tracing::error!(%error, "the store takes no blocks"),
            Done::Reached { peer, result: Err(error) } => {
                self.machine.handle_connect_failed(&peer, error.to_string(), now);
            }
            Done::Reached { .. } => {}
            Done::Verified { verified } => verified.into_iter().for_each(|verified| self.on_verified(verified, now)),
            Done::Stored { cids, result } => {
                self.storing = false;
                if let Err(error) = &result {
                    tracing::error!(%error, "the store takes no blocks");
                }
                for cid in cids {
                    match &result {
                        Ok(()) => self.machine.handle_stored(&cid, now),
                        Err(_) => self.machine.handle_store_failed(&cid, now),
                    }
                }
            }
        }
        self.store_verified();
    }

    fn on_verified(&mut self, Verified { peer, expect, result, budget }: Verified, now: Instant) {
        let block = match result {
            Ok(block) => block,
            Err(error) => {
                tracing::warn!(%peer, ?expect, %error, "a peer sent a bad block");
                if let Expect::Cid(cid) = expect {
                    self.machine.handle_bad(&peer, &cid, now);
                }
                return;
            }
        };
        let cid = *block.cid();
        // The bytes are those of the CID: that they are no node of its codec is not the peer's fault.
        let links = block.links().unwrap_or_default();
        if self.machine.handle_verified(&peer, &cid, block.data().len(), links, now) {
            self.verified.push((block, budget));
        }
    }

    /// One put at a time, of all that was verified meanwhile: a slow disk gets larger ones.
    fn store_verified(&mut self) {
        if self.storing || self.verified.is_empty() {
            return;
        }
        self.storing = true;
        let (blocks, budgets): (Vec<Block>, Vec<OwnedSemaphorePermit>) = self.verified.drain(..).unzip();
        let cids = blocks.iter().map(|block| *block.cid()).collect();
        let store = self.store.clone();
        let put = async move {
            let result = store.receive(blocks).await;
            drop(budgets);
            Done::Stored { cids, result }
        };
        self.work.push(put.boxed());
    }

    /// False: the peer takes nothing any more, its connection has to go.
    pub(super) fn send(&mut self, peer: &PeerId, message: Message) -> bool {
        self.say(peer, Said::Message(message))
    }

    pub(super) fn refer(&mut self, peer: &PeerId, root: Cid, peers: Vec<Referral>) -> bool {
        self.say(peer, Said::Refer { root, peers })
    }

    fn say(&mut self, peer: &PeerId, said: Said) -> bool {
        match self.partners.get_mut(peer) {
            Some(Partner { state: PartnerState::Open(speaker), active, .. }) => {
                *active = Instant::now();
                speaker.say(said)
            }
            _ => true,
        }
    }

    /// Peers that owe or are owed something, or did within the last seconds.
    pub(super) fn busy(&self, now: Instant) -> BTreeSet<PeerId> {
        let loading = self.loading.keys().map(|(peer, _, _)| *peer);
        let active = self.partners.iter().filter(|(_, partner)| now < partner.active + RECENT).map(|(peer, _)| *peer);
        let reports = self.sessions.keys().filter_map(|session| self.machine.session_report(*session));
        let owing = reports
            .flat_map(|report| report.peers)
            .filter(|report| matches!(report.state, exchange::PeerState::Owing(_) | exchange::PeerState::Dialling));
        loading.chain(active).chain(owing.map(|report| report.peer)).collect()
    }
}

/// Reports of streams between their tasks and the driver; a full channel makes the tasks wait.
const REPORTS: usize = 512;
/// Bytes of payloads that came in and are not stored yet, of all peers; then readers wait. Twice what the machine asks for.
const BUDGET: usize = 64 * 1024 * 1024;
/// A peer that blocks went to or came from within this time is not idle.
const RECENT: Duration = Duration::from_secs(5);
