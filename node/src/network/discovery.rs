//! Finding peers and content: one [`Dht`] for each Kademlia network that this node takes part in.
//!
//! libp2p's Kademlia does the routing; here is what it leaves out: which peers get into its table, who waits for an answer,
//! the addresses of providers, a second try where it gives up early, and patience while nobody is known yet.

pub(super) mod announcer;
pub(super) mod known_peers;
pub(super) mod provide;
mod query;
pub(super) mod records;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant, SystemTime};

use cid::Cid;
use libp2p::core::Endpoint;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, Event, InboundRequest, Mode, ProviderRecord, QueryId, QueryResult, RecordKey, StoreInserts};
use libp2p::swarm::behaviour::{ExternalAddrConfirmed, ExternalAddrExpired};
use libp2p::swarm::{ConnectionId, FromSwarm, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use tokio::sync::oneshot;

pub(super) use self::query::{Finder, Finding};
use self::query::{Query, Waiting};
use self::records::{Records, VALIDITY};
use super::address::{is_loopback, is_unspecified};
use super::{ProvideError, Provider};

/// libp2p's Kademlia with our records.
pub(super) type Kademlia = kad::Behaviour<Records>;

/// One Kademlia network: its rules, and the look-ups that run in it.
pub(super) struct Dht {
    protocol: StreamProtocol,
    queries: HashMap<QueryId, Query>,
    waiting: Vec<Waiting>,
    expire_due: Instant,
}

/// The DHT of nodes on local and private networks, as Kubo's.
pub(super) const LAN: StreamProtocol = StreamProtocol::new(LAN_NAME);
pub(super) const LAN_NAME: &str = "/ipfs/lan/kad/1.0.0";

impl Dht {
    pub(super) fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, queries: HashMap::new(), waiting: vec![], expire_due: Instant::now() + EXPIRE_EVERY }
    }

    /// Its behaviour, as a server or as a client that answers nobody.
    pub(super) fn behaviour(&self, here: PeerId, records: Records, mode: Mode) -> Kademlia {
        let mut config = kad::Config::new(self.protocol.clone());
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
        let mut behaviour = Kademlia::with_config(here, records, config);
        behaviour.set_mode(Some(mode));
        behaviour
    }

    /// Looks for providers; the findings go to `finder`, for the exchange as the result of `handle_event` and `tick`.
    pub(super) fn find_providers(&mut self, kad: &mut Kademlia, cid: Cid, finder: Finder, hopeful: bool) {
        let query = Query::Providers { cid, finder, found: BTreeSet::new(), again: true };
        if hopeful && is_empty(kad) {
            return self.waiting.push(Waiting { query, until: Instant::now() + HOPE });
        }
        self.start_providers(kad, query);
    }

    /// Ends the exchange's search for this block; nothing more is told of it.
    pub(super) fn stop_search(&mut self, kad: &mut Kademlia, cid: &Cid) {
        self.waiting.retain(|waiting| !waiting.query.is_search_for(cid));
        for (id, _) in self.queries.extract_if(|_, query| query.is_search_for(cid)) {
            finish(kad, &id);
        }
    }

    /// Looks for where a peer is; the answer is empty when nobody knows.
    pub(super) fn find_peer(&mut self, kad: &mut Kademlia, peer: PeerId, reply: oneshot::Sender<Vec<Multiaddr>>) {
        let id = kad.get_closest_peers(peer);
        self.queries.insert(id, Query::Peer { peer, reply });
    }

    /// Keeps this node's own record of the key and looks for the peers that are to keep it too.
    pub(super) fn announce(
        &mut self,
        kad: &mut Kademlia,
        key: Vec<u8>,
        reply: oneshot::Sender<Result<Vec<Provider>, ProvideError>>,
    ) {
        let here = kad.store_mut().here();
        let kept = kad.store_mut().add_provider(ProviderRecord::new(key.clone(), here, vec![]));
        let refused = match kept {
            Ok(()) if is_empty(kad) => ProvideError::Alone,
            Ok(()) => {
                let id = kad.get_closest_peers(key);
                self.queries.insert(id, Query::Closest { reply });
                return;
            }
            Err(error) => ProvideError::Refused(error),
        };
        let _ = reply.send(Err(refused)); // nobody waits: the caller went away
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_looking_up(&self) -> bool {
        !self.queries.is_empty() || !self.waiting.is_empty()
    }

    /// A connected peer said who it is: it comes into the table if it is of this network, and leaves it if it is not.
    pub(super) fn handle_identified(
        &mut self,
        kad: &mut Kademlia,
        peer: PeerId,
        protocols: &[StreamProtocol],
        addresses: &[Multiaddr],
    ) {
        if !protocols.contains(&self.protocol) {
            kad.remove_peer(&peer);
            return;
        }
        for address in addresses.iter().take(MAX_ADDRESSES) {
            kad.add_address(&peer, address.clone());
        }
        for waiting in std::mem::take(&mut self.waiting) {
            self.start_providers(kad, waiting.query);
        }
    }

    /// This node listens there: what it announces says so.
    pub(super) fn handle_listening(kad: &mut Kademlia, addr: &Multiaddr) {
        kad.on_swarm_event(FromSwarm::ExternalAddrConfirmed(ExternalAddrConfirmed { addr }));
    }

    /// This node no longer listens there.
    pub(super) fn handle_not_listening(kad: &mut Kademlia, addr: &Multiaddr) {
        kad.on_swarm_event(FromSwarm::ExternalAddrExpired(ExternalAddrExpired { addr }));
    }

    /// Something happened in Kademlia; gives what the exchange is to know. `locate` says where a connected peer is.
    pub(super) fn handle_event(
        &mut self,
        kad: &mut Kademlia,
        event: Event,
        locate: impl FnOnce(&PeerId) -> Located,
    ) -> Vec<Finding> {
        match event {
            Event::InboundRequest { request: InboundRequest::AddProvider { record: Some(record) } } => {
                let located = locate(&record.provider);
                keep_record(kad, record, located);
                vec![]
            }
            Event::OutboundQueryProgressed { id, result, step, .. } => self.on_progress(kad, id, result, step.last),
            _ => vec![],
        }
    }

    /// Called about once a second: ends what waited long enough and what nobody waits for.
    pub(super) fn tick(&mut self, kad: &mut Kademlia, now: Instant) -> Vec<Finding> {
        let mut findings = vec![];
        for waiting in self.waiting.extract_if(.., |waiting| waiting.until <= now) {
            findings.extend(waiting.query.end());
        }
        for (id, _) in self.queries.extract_if(|_, query| query.is_abandoned()) {
            finish(kad, &id);
        }
        self.end_peer_searches(kad);
        if self.expire_due <= now {
            kad.store_mut().expire(SystemTime::now());
            self.expire_due = now + EXPIRE_EVERY;
        }
        findings
    }

    fn on_progress(&mut self, kad: &mut Kademlia, id: QueryId, result: QueryResult, last: bool) -> Vec<Finding> {
        if let QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) = &result {
            return self.on_providers(kad, id, providers);
        }
        if !last {
            return vec![];
        }
        let Some(query) = self.queries.remove(&id) else { return vec![] };
        match (query, result) {
            (Query::Closest { reply }, QueryResult::GetClosestPeers(result)) => {
                let provider = |info: kad::PeerInfo| Provider { peer: info.peer_id, addresses: info.addrs };
                let _ = reply.send(Ok(peers_of(result).into_iter().map(provider).collect())); // nobody waits
                vec![]
            }
            (Query::Peer { peer, reply }, QueryResult::GetClosestPeers(result)) => {
                let found = peers_of(result).into_iter().find(|info| info.peer_id == peer).map(|info| info.addrs);
                let found = found.filter(|found| !found.is_empty()).unwrap_or_else(|| addresses_of(kad, &peer));
                let _ = reply.send(found); // nobody waits: the caller went away
                vec![]
            }
            (query @ Query::Providers { .. }, _) if query.deserves_another_try() && !is_empty(kad) => {
                self.start_providers(kad, query.again());
                vec![]
            }
            (query, _) => query.end(),
        }
    }

    fn on_providers(&mut self, kad: &mut Kademlia, id: QueryId, peers: &HashSet<PeerId>) -> Vec<Finding> {
        let Some(query) = self.queries.get_mut(&id) else { return vec![] };
        let provider = |peer: &PeerId| Provider { peer: *peer, addresses: addresses_of(kad, peer) };
        let fresh: Vec<Provider> = peers.iter().filter(|peer| query.is_new(peer)).map(provider).collect();
        let findings = query.found(fresh);
        if query.is_abandoned() {
            self.queries.remove(&id);
            finish(kad, &id);
        }
        findings
    }

    /// Kademlia goes on to the nearest peers when somebody on the way has told where the one sought is.
    fn end_peer_searches(&mut self, kad: &mut Kademlia) {
        let mut ended = vec![];
        for (id, query) in &self.queries {
            if let Query::Peer { peer, .. } = query {
                let addresses = routed(kad, peer);
                if !addresses.is_empty() {
                    ended.push((*id, addresses));
                }
            }
        }
        for (id, addresses) in ended {
            if let Some(Query::Peer { reply, .. }) = self.queries.remove(&id) {
                let _ = reply.send(addresses); // nobody waits: the caller went away
            }
            finish(kad, &id);
        }
    }

    fn start_providers(&mut self, kad: &mut Kademlia, query: Query) {
        let Some(cid) = query.cid() else { return };
        let id = kad.get_providers(key(&cid));
        self.queries.insert(id, query);
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
const EXPIRE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Addresses of a peer that are taken into the table; the rest is left out.
const MAX_ADDRESSES: usize = 16;

/// Where a connected peer is, by its own words and by its connection.
#[derive(Default)]
pub(super) struct Located {
    pub(super) addresses: Vec<Multiaddr>,
    /// It is on this machine, so that loopback addresses lead to it.
    pub(super) here: bool,
}

/// Keeps a record that a provider brought, with the addresses that lead to it.
fn keep_record(kad: &mut Kademlia, mut record: ProviderRecord, located: Located) {
    if record.addresses.is_empty() {
        record.addresses = located.addresses;
    }
    record.addresses.retain(|address| !is_unspecified(address) && (located.here || !is_loopback(address)));
    if let Err(error) = kad.store_mut().add_provider(record) {
        tracing::debug!(%error, "refused a provider record");
    }
}

/// All that Kademlia knows of where a peer is: from its table, from look-ups that run, from records.
pub(super) fn addresses_of(kad: &mut Kademlia, peer: &PeerId) -> Vec<Multiaddr> {
    let mut known = routed(kad, peer);
    known.extend_from_slice(kad.store_mut().addresses(peer));
    let mut seen = BTreeSet::new();
    known.retain(|address| seen.insert(address.clone().with_p2p(*peer).unwrap_or_else(|as_it_is| as_it_is)));
    known.truncate(MAX_ADDRESSES);
    known
}

/// Where a peer is, from the table and from look-ups that run.
fn routed(kad: &mut Kademlia, peer: &PeerId) -> Vec<Multiaddr> {
    let id = ConnectionId::new_unchecked(usize::MAX);
    kad.handle_pending_outbound_connection(id, Some(*peer), &[], Endpoint::Dialer).unwrap_or_default()
}

/// Whether the table holds nobody.
pub(super) fn is_empty(kad: &mut Kademlia) -> bool {
    kad.kbuckets().all(|bucket| bucket.is_empty())
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
