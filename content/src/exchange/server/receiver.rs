//! What one peer wants of us and what is on its way to it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use cid::Cid;

use crate::block::RAW;
use crate::exchange::Protocol;
use crate::exchange::message::{Credit, Kind, MAX_CIDS, RequestId, Want};

/// A connected peer, as the server sees it. It wants at most `MAX_WANTED` blocks at a time.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) protocol: Protocol,
    pub(super) requests: BTreeMap<RequestId, Request>,
    /// Look-ups that are not answered, and of how many blocks, also where the request was cancelled meanwhile.
    looking_up: BTreeMap<RequestId, usize>,
    /// Blocks asked for by name that are here, the most urgent first.
    queue: BTreeMap<Place, (RequestId, Cid)>,
    pub(super) sending: BTreeMap<(RequestId, Cid), Sending>,
    /// Blocks whose sending was cancelled and whose bytes may still be on their way out of the store, and how many bytes.
    aborting: BTreeMap<(RequestId, Cid), Aborting>,
    /// Bytes loading or unsent, those of cancelled blocks included.
    pub(super) unsent: usize,
    /// The turn in which it was served last.
    pub(super) served: u64,
    /// Takes so long that it holds no slot.
    pub(super) slow: bool,
    /// When what is being sent began, and how much it is.
    pub(super) turn_since: Option<Instant>,
    pub(super) turn_bytes: usize,
    pub(super) bytes_sent: u64,
    pub(super) blocks_sent: u64,
    pub(super) pending_told: Option<Instant>,
    next_order: u64,
}

type Place = (Reverse<i32>, bool, u64);

/// A request as far as it is not answered.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) root: Option<Cid>,
    pub(super) kind: Kind,
    /// How many more the peer lets us choose; `None`: all.
    pub(super) credit: Option<u32>,
    priority: i32,
    /// Not looked up yet, each with its number in the order of asking.
    locating: BTreeMap<Cid, u64>,
    /// Here, and to be sent.
    ready: BTreeMap<Cid, Ready>,
    /// Not here; a Bitswap peer wants them still when they come.
    unmet: BTreeMap<Cid, u64>,
}

#[derive(Debug)]
struct Ready {
    len: u32,
    order: u64,
    place: Option<Place>,
}

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) unsent: usize,
    pub(super) chosen: bool,
    pub(super) root: Option<Cid>,
}

/// The same block may be asked for and cancelled again before the first time has come to its end.
#[derive(Debug, Default)]
struct Aborting {
    times: usize,
    unsent: usize,
}

/// What to send next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) request: RequestId,
    pub(super) cid: Cid,
    pub(super) len: u32,
    pub(super) root: Option<Cid>,
    /// By us, of what the peer listed.
    pub(super) chosen: bool,
}

impl Receiver {
    pub(super) fn new(protocol: Protocol, turn: u64) -> Self {
        Self {
            protocol,
            requests: BTreeMap::new(),
            looking_up: BTreeMap::new(),
            queue: BTreeMap::new(),
            sending: BTreeMap::new(),
            aborting: BTreeMap::new(),
            unsent: 0,
            served: turn,
            slow: false,
            turn_since: None,
            turn_bytes: 0,
            bytes_sent: 0,
            blocks_sent: 0,
            pending_told: None,
            next_order: 0,
        }
    }

    /// Takes a request in. Gives the blocks to look up, and those refused: (request, CID).
    pub(super) fn admit(&mut self, want: &Want) -> (Vec<Cid>, Vec<(RequestId, Cid)>) {
        if self.requests.contains_key(&want.request) || self.looking_up.contains_key(&want.request) {
            return (Vec::new(), Vec::new());
        }
        let mut refused = Vec::new();
        let mut locating = BTreeMap::new();
        let mut wanted = self.wanted();
        for cid in want.cids.iter().take(MAX_CIDS) {
            if wanted + locating.len() >= MAX_WANTED {
                match self.drop_least(want.priority) {
                    Some(dropped) => refused.push(dropped),
                    None => {
                        refused.push((want.request, *cid));
                        continue;
                    }
                }
                wanted -= 1;
            }
            self.next_order += 1;
            locating.entry(*cid).or_insert(self.next_order);
        }
        let credit = match want.credit {
            Credit::All => None,
            Credit::Any(count) => Some(count),
        };
        let cids: Vec<Cid> = locating.keys().copied().collect();
        if !cids.is_empty() {
            self.looking_up.insert(want.request, cids.len());
            let (root, kind, priority) = (want.root, want.kind, want.priority);
            let (ready, unmet) = (BTreeMap::new(), BTreeMap::new());
            self.requests.insert(want.request, Request { root, kind, credit, priority, locating, ready, unmet });
        }
        (cids, refused)
    }

    /// Makes room for something more important. The blocks of least priority, asked for last, go first.
    fn drop_least(&mut self, priority: i32) -> Option<(RequestId, Cid)> {
        let (place, (request, cid)) = self.queue.last_key_value().map(|(place, entry)| (*place, *entry))?;
        if place.0.0 >= priority {
            return None;
        }
        self.forget(request, &cid);
        Some((request, cid))
    }

    /// How many blocks it wants that are not being sent, those being looked up included.
    fn wanted(&self) -> usize {
        let known: usize = self.requests.values().map(|request| request.ready.len() + request.unmet.len()).sum();
        known + self.looking_up.values().sum::<usize>()
    }

    /// A look-up was answered.
    pub(super) fn looked_up(&mut self, request: RequestId) {
        self.looking_up.remove(&request);
    }

    /// The look-up of a block ended: it is here, so long. False: it was cancelled before.
    pub(super) fn located(&mut self, request: RequestId, cid: &Cid, len: u32) -> bool {
        let Some(entry) = self.requests.get_mut(&request) else { return false };
        let asked = entry.locating.remove(cid);
        let Some(order) = asked.into_iter().chain(entry.unmet.remove(cid)).next() else { return false };
        if entry.kind == Kind::Have && !sends_instead(self.protocol, len) {
            self.drop_if_answered(request);
            return true;
        }
        if entry.credit.is_none() && self.sending.keys().any(|(_, sent)| sent == cid) {
            // It was chosen for the peer before this came, and is on its way.
            self.drop_if_answered(request);
            return false;
        }
        let place = entry.credit.is_none().then_some((Reverse(entry.priority), cid.codec() == RAW, order));
        entry.ready.insert(*cid, Ready { len, order, place });
        if let Some(place) = place {
            self.queue.insert(place, (request, *cid));
        }
        true
    }

    /// The look-up ended: it is not here. False: it was cancelled before.
    pub(super) fn not_located(&mut self, request: RequestId, cid: &Cid) -> bool {
        let Some(entry) = self.requests.get_mut(&request) else { return false };
        let Some(order) = entry.locating.remove(cid) else { return false };
        if !self.protocol.native {
            entry.unmet.insert(*cid, order);
        }
        self.drop_if_answered(request);
        true
    }

    /// What of the request was not looked up yet.
    pub(super) fn locating(&self, request: RequestId) -> Vec<Cid> {
        self.requests.get(&request).map(|entry| entry.locating.keys().copied().collect()).unwrap_or_default()
    }

    /// Requests that wait for this block, which has come into the store.
    pub(super) fn waiting_for(&self, cid: &Cid) -> Vec<RequestId> {
        let waits = |entry: &Request| entry.unmet.contains_key(cid) || entry.locating.contains_key(cid);
        self.requests.iter().filter(|(_, entry)| waits(entry)).map(|(id, _)| *id).collect()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.requests.values().any(Request::can_choose)
    }

    pub(super) fn next_is_urgent(&self) -> bool {
        self.queue.first_key_value().is_some_and(|((_, leaf, _), _)| !leaf)
    }

    /// Takes the next block out of what is wanted. Where the peer lets us choose, `rank` says which, by its root and its number in
    /// the order of asking: the least.
    pub(super) fn take_next(&mut self, mut rank: impl FnMut(Option<Cid>, &Cid, u64) -> (u32, u64)) -> Option<Next> {
        if let Some((_, (request, cid))) = self.queue.pop_first() {
            let entry = self.requests.get_mut(&request)?;
            let (root, ready) = (entry.root, entry.ready.remove(&cid)?);
            self.drop_if_answered(request);
            return Some(Next { request, cid, len: ready.len, root, chosen: false });
        }
        let (request, entry) = self.requests.iter_mut().find(|(_, entry)| entry.can_choose())?;
        let (request, root) = (*request, entry.root);
        let (cid, _) = entry.ready.iter().min_by_key(|(cid, ready)| rank(root, cid, ready.order))?;
        let cid = *cid;
        let ready = entry.ready.remove(&cid)?;
        entry.credit = entry.credit.map(|left| left - 1);
        // The same block listed under another credit would be sent twice.
        for other in self.requests.values_mut().filter(|other| other.credit.is_some()) {
            other.ready.remove(&cid);
        }
        self.requests.retain(|_, entry| !entry.is_answered());
        Some(Next { request, cid, len: ready.len, root, chosen: true })
    }

    /// The peer takes back what it asked for; an empty list means all of the request. From a Bitswap peer ids mean
    /// nothing. Gives what is to be aborted.
    pub(super) fn cancel(&mut self, request: RequestId, cids: &[Cid]) -> Vec<(RequestId, Cid)> {
        let native = self.protocol.native;
        let meant = |id: RequestId, cid: &Cid| {
            (!native || id == request) && (cids.contains(cid) || (native && cids.is_empty()))
        };
        let mut wanted = Vec::new();
        for (id, entry) in &self.requests {
            let all = entry.locating.keys().chain(entry.ready.keys()).chain(entry.unmet.keys());
            wanted.extend(all.filter(|cid| meant(*id, cid)).map(|cid| (*id, *cid)));
        }
        for (id, cid) in wanted {
            self.forget(id, &cid);
        }
        self.sending.keys().filter(|(id, cid)| meant(*id, cid)).copied().collect()
    }

    /// The block is not sent any more. Gives the bytes that are no longer on their way.
    pub(super) fn stop(&mut self, request: RequestId, cid: &Cid) -> Option<Sending> {
        let sending = self.sending.remove(&(request, *cid))?;
        self.unsent -= sending.unsent;
        if self.sending.is_empty() {
            self.turn_since = None;
        }
        Some(sending)
    }

    /// The block is not sent any more; its bytes count until `aborted`.
    pub(super) fn abort(&mut self, request: RequestId, cid: &Cid) {
        let Some(sending) = self.sending.remove(&(request, *cid)) else { return };
        let aborting = self.aborting.entry((request, *cid)).or_default();
        aborting.times += 1;
        aborting.unsent += sending.unsent;
        if self.sending.is_empty() {
            self.turn_since = None;
        }
    }

    /// Nothing of a cancelled block is on its way any more. Gives its bytes.
    pub(super) fn aborted(&mut self, request: RequestId, cid: &Cid) -> usize {
        let Entry::Occupied(mut aborting) = self.aborting.entry((request, *cid)) else { return 0 };
        aborting.get_mut().times -= 1;
        if aborting.get().times > 0 {
            return 0;
        }
        let freed = aborting.remove().unsent;
        self.unsent -= freed;
        freed
    }

    /// Bytes that wait for their turn.
    pub(super) fn queued_bytes(&self) -> u64 {
        let ready = self.requests.values().flat_map(|entry| entry.ready.values());
        ready.map(|ready| u64::from(ready.len)).sum()
    }

    fn forget(&mut self, request: RequestId, cid: &Cid) {
        let Some(entry) = self.requests.get_mut(&request) else { return };
        entry.locating.remove(cid);
        entry.unmet.remove(cid);
        if let Some(Ready { place: Some(place), .. }) = entry.ready.remove(cid) {
            self.queue.remove(&place);
        }
        self.drop_if_answered(request);
    }

    fn drop_if_answered(&mut self, request: RequestId) {
        if self.requests.get(&request).is_some_and(Request::is_answered) {
            self.requests.remove(&request);
        }
    }
}

impl Request {
    fn can_choose(&self) -> bool {
        self.credit.is_some_and(|left| left > 0) && !self.ready.is_empty()
    }

    fn is_answered(&self) -> bool {
        let nothing_left = self.locating.is_empty() && self.ready.is_empty() && self.unmet.is_empty();
        nothing_left || self.credit == Some(0)
    }
}

/// Whether a block so long is the answer to whether it is there: in Bitswap, where it costs little more than the word.
pub(super) fn sends_instead(protocol: Protocol, len: u32) -> bool {
    !protocol.native && len <= MOST_INSTEAD
}

/// As Kubo has it.
const MOST_INSTEAD: u32 = 1024;
/// Most blocks that one peer may want at a time, as Kubo has it. Beyond it those of least priority are refused.
pub(super) const MAX_WANTED: usize = 1024;
