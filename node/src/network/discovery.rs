//! Finding peers and content: one [`Dht`] for each Kademlia network that this node takes part in.
//!
//! libp2p's Kademlia does the routing; here is what it leaves out: which peers get into its table, who waits for an answer,
//! the addresses of providers, a second try where it gives up early, and patience while nobody is known yet.

pub(super) mod announcer;
mod behaviour;
mod held;
pub(super) mod known_peers;
mod message;
mod names;
pub(super) mod provide;
mod query;
pub(super) mod records;
pub(super) mod rejoin;
pub(super) mod side;
pub(super) mod sweeper;
mod table;
mod values;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant, SystemTime};

use cid::Cid;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, Event, InboundRequest, Mode, ProviderRecord, QueryId, QueryResult, RecordKey, StoreInserts};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

pub(super) use self::query::{Closest, Finder, Finding};
use self::query::{Query, Waiting};
use self::records::{Records, VALIDITY};
pub(super) use self::side::Side;
use super::address::is_loopback;
use super::{ProvideError, Provider};

/// libp2p's Kademlia with our records.
type Kademlia = kad::Behaviour<Records>;

/// One Kademlia network: its routing, its rules, and the look-ups that run in it.
pub(super) struct Dht {
    side: Side,
    kad: Kademlia,
    /// Where this node tells the peers of this network that it is.
    here: Vec<Multiaddr>,
    queries: HashMap<QueryId, Query>,
    waiting: Vec<Waiting>,
    expire_due: Instant,
}

impl Dht {
    /// As a server, or as a client that answers nobody.
    pub(super) fn new(side: Side, here: PeerId, records: Records, mode: Mode) -> Self {
        let mut config = kad::Config::new(side.protocol());
        config
            .set_parallelism(ALPHA)
            .set_query_timeout(QUERY_TIMEOUT)
            .set_max_packet_size(MAX_PACKET)
            .set_record_filtering(StoreInserts::FilterBoth)
            .set_kbucket_inserts(kad::BucketInserts::Manual)
            .set_periodic_bootstrap_interval(Some(REFRESH))
            .set_provider_record_ttl(Some(VALIDITY))
            .set_provider_publication_interval(None)
            .set_publication_interval(None)
            .set_replication_interval(None)
            .set_caching(kad::Caching::Disabled);
        let mut kad = Kademlia::with_config(here, records, config);
        kad.set_mode(Some(mode));
        let expire_due = Instant::now() + EXPIRE_EVERY;
        Self { side, kad, here: vec![], queries: HashMap::new(), waiting: vec![], expire_due }
    }

    /// Whether it answers others, which they are told.
    pub(super) fn is_server(&self) -> bool {
        self.kad.mode() == Mode::Server
    }

    /// Begins to answer others, or ceases to.
    pub(super) fn serve(&mut self, serve: bool) {
        if serve != self.is_server() {
            tracing::info!(dht = self.side.name(), serve, "keeping records for others");
            self.kad.set_mode(Some(if serve { Mode::Server } else { Mode::Client }));
        }
    }

    /// How many provider records it keeps.
    pub(super) fn records(&mut self) -> usize {
        self.kad.store_mut().len()
    }

    /// Looks for providers; the findings go to `finder`, for the exchange as the result of `handle_event` and `tick`.
    pub(super) fn find_providers(&mut self, cid: Cid, finder: Finder, hopeful: bool) {
        let query = Query::Providers { cid, finder, found: BTreeSet::new(), again: true };
        if hopeful && self.is_empty() {
            return self.waiting.push(Waiting { query, until: Instant::now() + HOPE });
        }
        self.start(query);
    }

    /// Whether the exchange's search for this block goes on.
    pub(super) fn is_searching(&self, cid: &Cid) -> bool {
        let waiting = self.waiting.iter().map(|waiting| &waiting.query);
        self.queries.values().chain(waiting).any(|query| query.is_search_for(cid))
    }

    /// Ends the exchange's search for this block; nothing more is told of it.
    pub(super) fn stop_search(&mut self, cid: &Cid) {
        self.waiting.retain(|waiting| !waiting.query.is_search_for(cid));
        for (id, _) in self.queries.extract_if(|_, query| query.is_search_for(cid)) {
            finish(&mut self.kad, &id);
        }
    }

    /// The peers of another DHT turned up: who waits for those of this one does so not much longer.
    pub(super) fn hope_less(&mut self, now: Instant) {
        for waiting in &mut self.waiting {
            waiting.until = waiting.until.min(now + LESS_HOPE);
        }
    }

    /// Looks for where a peer is; the sender is dropped when nobody knows.
    pub(super) fn find_peer(&mut self, peer: PeerId, reply: mpsc::Sender<Vec<Multiaddr>>) {
        let id = self.kad.get_closest_peers(peer);
        self.queries.insert(id, Query::Peer { peer, reply });
    }

    /// Looks for the peers that are nearest to a key; with `patience`, for so long.
    pub(super) fn closest(
        &mut self,
        key: Vec<u8>,
        count: NonZeroUsize,
        patience: Option<Duration>,
        reply: oneshot::Sender<Result<Closest, ProvideError>>,
    ) {
        if self.is_empty() {
            return drop(reply.send(Err(ProvideError::Alone))); // nobody waits: the caller went away
        }
        let id = self.kad.get_n_closest_peers(key, count);
        let until = patience.map(|patience| Instant::now() + patience);
        self.queries.insert(id, Query::Closest { reply, until, is_whole: true });
    }

    /// Keeps records of this node's own among those of others, where there is room.
    pub(super) fn keep_own(&mut self, names: Vec<Vec<u8>>) {
        let here = self.kad.store_mut().here();
        for name in names {
            if let Err(error) = self.kad.store_mut().add_provider(ProviderRecord::new(name, here, vec![])) {
                tracing::debug!(%error, "no room for a record of this node's own");
            }
        }
    }

    /// Looks for the peers nearest to a key; the sender is dropped when there is nobody.
    pub(super) fn find_nearest(&mut self, key: Vec<u8>, reply: mpsc::Sender<Closest>, hopeful: bool) {
        let query = Query::Nearest { key, reply };
        match self.is_empty() {
            true if hopeful => self.waiting.push(Waiting { query, until: Instant::now() + HOPE }),
            true => {}
            false => self.start(query),
        }
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_looking_up(&self) -> bool {
        !self.queries.is_empty() || !self.waiting.is_empty() || self.kad.iter_queries().next().is_some()
    }

    /// This node can be reached there: what it announces says so.
    pub(super) fn handle_addresses(&mut self, addresses: &[Multiaddr]) {
        self.here = addresses.iter().filter(|address| self.side.dials(address)).cloned().collect();
        self.kad.store_mut().set_own_addresses(self.here.clone());
    }

    /// Something happened in Kademlia; gives what the exchange is to know. `locate` says where a connected peer is.
    pub(super) fn handle_event(&mut self, event: Event, locate: impl FnOnce(&PeerId) -> Located) -> Vec<Finding> {
        match event {
            Event::InboundRequest { request: InboundRequest::AddProvider { record: Some(record) } } => {
                let located = locate(&record.provider);
                self.keep_record(record, located);
                vec![]
            }
            Event::InboundRequest { request: InboundRequest::PutRecord { record: Some(record), source, .. } } => {
                if !self.kad.store_mut().keep_value(&record) {
                    tracing::debug!(peer = %source, "refused a value that is not proven, or not better than the one here");
                }
                vec![]
            }
            Event::OutboundQueryProgressed { id, result, step, stats } => {
                self.on_progress(id, result, stats.num_requests(), step.last)
            }
            Event::RoutingUpdated { peer, addresses, .. } => {
                self.prune(&peer, addresses.iter());
                vec![]
            }
            _ => vec![],
        }
    }

    /// Called about once a second: ends what waited long enough and what nobody waits for.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Finding> {
        let mut findings = vec![];
        for waiting in self.waiting.extract_if(.., |waiting| waiting.until <= now) {
            findings.extend(waiting.query.end());
        }
        for (id, _) in self.queries.extract_if(|_, query| query.is_abandoned()) {
            finish(&mut self.kad, &id);
        }
        for (id, query) in &mut self.queries {
            if query.is_late(now) {
                finish(&mut self.kad, id);
            }
        }
        self.end_peer_searches();
        if self.expire_due <= now {
            self.kad.store_mut().expire(SystemTime::now());
            self.expire_due = now + EXPIRE_EVERY;
        }
        findings
    }

    fn on_progress(&mut self, id: QueryId, result: QueryResult, requests: u32, last: bool) -> Vec<Finding> {
        if let QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) = &result {
            return self.on_providers(id, providers);
        }
        if !last {
            return vec![];
        }
        let Some(query) = self.queries.remove(&id) else { return vec![] };
        match (query, result) {
            (Query::Closest { reply, is_whole, .. }, QueryResult::GetClosestPeers(result)) => {
                let peers = peers_of(result).into_iter().map(|info| self.provider(info)).collect();
                let here = self.here.clone();
                let _ = reply.send(Ok(Closest { side: self.side, peers, here, is_whole, requests })); // nobody waits
                vec![]
            }
            (Query::Nearest { reply, .. }, QueryResult::GetClosestPeers(result)) => {
                let peers = peers_of(result).into_iter().map(|info| self.provider(info)).collect();
                let _ = reply.try_send(Closest { side: self.side, peers, here: vec![], is_whole: true, requests }); // nobody waits
                vec![]
            }
            (Query::Peer { peer, reply }, QueryResult::GetClosestPeers(result)) => {
                let found = peers_of(result).into_iter().find(|info| info.peer_id == peer);
                let found = found.map(|info| self.provider(info).addresses).filter(|found| !found.is_empty());
                let found = found.unwrap_or_else(|| self.addresses_of(&peer));
                if !found.is_empty() {
                    let _ = reply.try_send(found); // nobody waits, or another DHT was faster
                }
                vec![]
            }
            (query @ Query::Providers { .. }, _) if query.deserves_another_try() && !self.is_empty() => {
                self.start(query.again());
                vec![]
            }
            (query, _) => query.end(),
        }
    }

    fn on_providers(&mut self, id: QueryId, peers: &HashSet<PeerId>) -> Vec<Finding> {
        let Some(mut query) = self.queries.remove(&id) else { return vec![] };
        let fresh: Vec<PeerId> = peers.iter().filter(|peer| query.is_new(peer)).copied().collect();
        let fresh = fresh.into_iter().map(|peer| Provider { peer, addresses: self.addresses_of(&peer) }).collect();
        let findings = query.found(fresh);
        if query.is_abandoned() {
            finish(&mut self.kad, &id);
        } else {
            self.queries.insert(id, query);
        }
        findings
    }

    /// Kademlia goes on to the nearest peers when somebody on the way has told where the one sought is.
    fn end_peer_searches(&mut self) {
        let sought = |(id, query): (&QueryId, &Query)| match query {
            Query::Peer { peer, .. } => Some((*id, *peer)),
            _ => None,
        };
        for (id, peer) in self.queries.iter().filter_map(sought).collect::<Vec<_>>() {
            let addresses = self.routed(&peer);
            if addresses.is_empty() {
                continue;
            }
            if let Some(Query::Peer { reply, .. }) = self.queries.remove(&id) {
                let _ = reply.try_send(addresses); // nobody waits, or another DHT was faster
            }
            finish(&mut self.kad, &id);
        }
    }

    fn start(&mut self, query: Query) {
        let id = match &query {
            Query::Nearest { key, .. } => self.kad.get_closest_peers(key.clone()),
            query => match query.cid() {
                Some(cid) => self.kad.get_providers(key(&cid)),
                None => return,
            },
        };
        self.queries.insert(id, query);
    }

    /// Keeps a record that a provider brought, with the addresses that lead to it.
    fn keep_record(&mut self, mut record: ProviderRecord, located: Located) {
        if record.addresses.is_empty() {
            record.addresses = located.addresses;
        }
        record.addresses.retain(|address| self.side.dials(address) && (located.here || !is_loopback(address)));
        if let Err(error) = self.kad.store_mut().add_provider(record) {
            tracing::debug!(%error, "refused a provider record");
        }
    }

    fn provider(&self, info: kad::PeerInfo) -> Provider {
        let mut addresses = info.addrs;
        addresses.retain(|address| self.side.dials(address));
        Provider { peer: info.peer_id, addresses }
    }
}

/// Requests of one look-up under way at a time.
const ALPHA: NonZeroUsize = NonZeroUsize::new(10).expect("10 is not 0");
/// A look-up that lasts longer ends with what it has.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// What others send in one message, in bytes; Go allows as much, and answers of 40 KB are common.
const MAX_PACKET: usize = 4 * 1024 * 1024;
/// How often buckets are refreshed.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// How long a search waits for the first peer of the network to turn up.
const HOPE: Duration = Duration::from_secs(10);
/// The same when the other DHT has peers: those of this one would be among the first.
const LESS_HOPE: Duration = Duration::from_secs(1);
const EXPIRE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Where a connected peer is, by its own words and by its connection.
#[derive(Default)]
pub(super) struct Located {
    pub(super) addresses: Vec<Multiaddr>,
    /// It is on this machine, so that loopback addresses lead to it.
    pub(super) here: bool,
}

/// The DHT knows blocks by their multihash, whatever the rest of their CIDs says.
fn key(cid: &Cid) -> RecordKey {
    RecordKey::from(cid.hash().to_bytes())
}

fn peers_of(result: kad::GetClosestPeersResult) -> Vec<kad::PeerInfo> {
    let (Ok(kad::GetClosestPeersOk { peers, .. }) | Err(kad::GetClosestPeersError::Timeout { peers, .. })) = result;
    peers
}

fn finish(kad: &mut Kademlia, id: &QueryId) {
    if let Some(mut query) = kad.query_mut(id) {
        query.finish();
    }
}
