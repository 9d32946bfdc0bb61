//! One node: its machines, and the driver that carries out what they say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cidra_content::Cid;
use cidra_content::block::RAW;
use cidra_content::exchange::message::RequestId;
use cidra_content::exchange::{Action, Config, Exchange, Order, SessionId};
use cidra_content::fetch::{Fetch, Limits, Output, Selector};

use crate::line::Packet;
use crate::wire::Uplink;
use crate::world::{Event, Id, MILLISECOND, SECOND, Time, World};

pub(crate) struct Node {
    pub(crate) exchange: Exchange<Id>,
    pub(crate) store: BTreeSet<Cid>,
    pub(crate) link: Link,
    /// Sends bytes that do not match.
    pub(crate) lies: bool,
    /// How long it stays when it has all; `None`: to the end.
    pub(crate) stays: Option<Time>,
    pub(crate) dead: bool,
    pub(crate) cut: bool,
    pub(crate) download: Option<Download>,
    pub(crate) lines: BTreeMap<Id, usize>,
    pub(crate) uplink: Uplink,
    pub(crate) downlink_free: Time,
    pub(crate) wake: Option<Time>,
    locating: VecDeque<(Id, RequestId, Vec<Cid>)>,
    verifying: VecDeque<(Id, Cid)>,
    hasher_free: Time,
    storing: VecDeque<Cid>,
    searching: VecDeque<Cid>,
}

/// Bytes a second, and how far away the rest of the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) up: f64,
    pub(crate) down: f64,
    pub(crate) delay: Time,
}

impl Link {
    /// A link of so many megabits a second each way, with a round trip of a quarter of a millisecond to others of its kind.
    pub(crate) fn of(up: f64, down: f64) -> Self {
        Self { up: up * 125e3, down: down * 125e3, delay: 62_500 }
    }

    /// Half of this is the delay of this node's link: two of them have this round trip.
    pub(crate) fn with_round_trip(self, milliseconds: f64) -> Self {
        Self { delay: (milliseconds * 250e3) as Time, ..self }
    }
}

pub(crate) struct Download {
    root: Cid,
    holders: Vec<Id>,
    pub(crate) order: Order,
    fetch: Fetch,
    session: Option<SessionId>,
    pub(crate) begun: Time,
    pub(crate) finished: Option<Time>,
    last_bytes: Time,
    /// The longest time between bytes of blocks, after the first.
    pub(crate) longest_pause: Time,
    /// When how many bytes had been put out in order.
    pub(crate) read: Vec<(Time, u64)>,
}

impl Node {
    pub(crate) fn new(link: Link, seed: u64) -> Self {
        Self {
            exchange: Exchange::new(Config::default(), seed),
            store: BTreeSet::new(),
            link,
            lies: false,
            stays: None,
            dead: false,
            cut: false,
            download: None,
            lines: BTreeMap::new(),
            uplink: Uplink::default(),
            downlink_free: 0,
            wake: None,
            locating: VecDeque::new(),
            verifying: VecDeque::new(),
            hasher_free: 0,
            storing: VecDeque::new(),
            searching: VecDeque::new(),
        }
    }

    /// Bytes of blocks came in.
    pub(crate) fn came(&mut self, bytes: usize, now: Time) {
        let Some(download) = self.download.as_mut().filter(|d| d.finished.is_none() && bytes > 0) else { return };
        if download.last_bytes > 0 {
            download.longest_pause = download.longest_pause.max(now - download.last_bytes);
        }
        download.last_bytes = now;
    }
}

impl World {
    /// The node will want all under this root from then on; it knows only these holders.
    pub(crate) fn will_get(&mut self, node: Id, root: Cid, holders: Vec<Id>, at: Time) {
        let fetch = Fetch::new(root, Selector::Entity { range: None }, Limits::default());
        self.nodes[node as usize].download = Some(Download {
            root,
            holders,
            order: Order::Any,
            fetch,
            session: None,
            begun: at,
            finished: None,
            last_bytes: 0,
            longest_pause: 0,
            read: Vec::new(),
        });
        self.open += 1;
        self.at(at, Event::Begin { node });
    }

    pub(crate) fn begin(&mut self, node: Id) {
        let now = self.clock();
        let this = &mut self.nodes[node as usize];
        let Some(download) = &mut this.download else { return };
        let session = this.exchange.open(download.root, download.order, now);
        this.exchange.add_holders(session, download.holders.clone(), now);
        download.session = Some(session);
        self.fetch_on(node);
    }

    /// Wants what the fetch needs, and takes out what is ready.
    fn fetch_on(&mut self, node: Id) {
        let now = self.clock();
        let this = &mut self.nodes[node as usize];
        let Some(download) = this.download.as_mut().filter(|download| download.finished.is_none()) else { return };
        let Some(session) = download.session else { return };
        loop {
            let mut moved = false;
            while let Some(want) = download.fetch.poll_want() {
                if this.store.contains(&want.cid) {
                    hand_over(&mut download.fetch, &self.library, &want.cid);
                } else {
                    this.exchange.want(session, want.cid, want.priority, now);
                }
            }
            while let Some(output) = download.fetch.poll_output() {
                moved = true;
                if let Output::Bytes { len, .. } = output {
                    let before = download.read.last().map_or(0, |(_, bytes)| *bytes);
                    download.read.push((self.now, before + len));
                }
            }
            if !moved {
                break;
            }
        }
        if download.fetch.is_done() {
            download.finished = Some(self.now);
            this.exchange.close(session, now);
            let stays = this.stays;
            self.open -= 1;
            if let Some(stays) = stays {
                self.after(stays, Event::Kill { node });
            }
        }
    }

    /// Carries out the actions of a node until there are none.
    pub(crate) fn carry_out(&mut self, node: Id) {
        if self.nodes[node as usize].dead {
            return;
        }
        loop {
            let mut touched = Vec::new();
            while let Some(action) = self.nodes[node as usize].exchange.poll() {
                touched.extend(self.act(node, action));
            }
            if touched.is_empty() {
                break;
            }
            touched.sort_unstable();
            touched.dedup();
            for line in touched {
                self.write(line);
            }
            self.send_on(node);
        }
        self.set_alarm(node);
    }

    fn set_alarm(&mut self, node: Id) {
        let Some(at) = self.nodes[node as usize].exchange.poll_timeout() else { return };
        let at = self.time_of(at).max(self.now);
        let this = &mut self.nodes[node as usize];
        if this.wake.is_none_or(|wake| at < wake) {
            this.wake = Some(at);
            self.at(at, Event::Wake { node });
        }
    }

    /// Gives the line that has something more to say.
    fn act(&mut self, node: Id, action: Action<Id>) -> Option<usize> {
        let this = &mut self.nodes[node as usize];
        match action {
            Action::Abort { peer, request, cid } => {
                if let Some(line) = this.lines.get(&peer) {
                    self.lines[*line].abort(request, &cid);
                }
                let now = self.clock();
                self.nodes[node as usize].exchange.handle_aborted(&peer, request, &cid, now);
            }
            Action::Ban { peer, .. } => self.disconnect(node, peer),
            Action::Connect { peer } => {
                let delay = self.dial_time(node, peer);
                self.after(delay, Event::Dialled { from: node, to: peer });
            }
            Action::Delivered { cid, .. } => {
                if let Some(download) = &mut this.download {
                    hand_over(&mut download.fetch, &self.library, &cid);
                }
                self.fetch_on(node);
            }
            Action::Load { peer, request, cid, .. } => {
                let line = *this.lines.get(&peer)?;
                self.lines[line].load(request, cid, self.library.len(&cid) as usize);
                return Some(line);
            }
            Action::Locate { peer, request, cids } => {
                this.locating.push_back((peer, request, cids));
                self.after(LOOK_UP, Event::Located { node });
            }
            Action::Missing { .. } | Action::StopSearch { .. } => {}
            Action::Refer { peer, root, others } => {
                let line = *this.lines.get(&peer)?;
                self.lines[line].say(Packet::Refer { root, others });
                return Some(line);
            }
            Action::Search { cid } => {
                this.searching.push_back(cid);
                self.after(SEARCH, Event::Searched { node });
            }
            Action::Send { peer, message } => {
                let line = *this.lines.get(&peer)?;
                self.lines[line].say(Packet::Said(message));
                return Some(line);
            }
        }
        None
    }

    pub(crate) fn on_located(&mut self, node: Id) {
        let now = self.clock();
        let this = &mut self.nodes[node as usize];
        let Some((peer, request, cids)) = this.locating.pop_front() else { return };
        let len = |cid: &Cid| this.store.contains(cid).then(|| self.library.len(cid));
        let found = cids.into_iter().map(|cid| (cid, len(&cid))).collect();
        this.exchange.handle_located(&peer, request, found, now);
    }

    /// A payload goes to be proved.
    pub(crate) fn verify(&mut self, node: Id, from: Id, cid: Cid, len: usize) {
        let this = &mut self.nodes[node as usize];
        this.verifying.push_back((from, cid));
        this.hasher_free = this.hasher_free.max(self.now) + len as Time * NANOSECONDS_PER_BYTE;
        let at = this.hasher_free;
        self.at(at, Event::Verified { node });
    }

    pub(crate) fn on_verified(&mut self, node: Id) {
        let now = self.clock();
        let Some((from, cid)) = self.nodes[node as usize].verifying.pop_front() else { return };
        let lies = self.nodes[from as usize].lies && cid.codec() == RAW;
        let this = &mut self.nodes[node as usize];
        if lies {
            this.exchange.handle_bad(&from, &cid, now);
            return;
        }
        let (len, links) = (self.library.len(&cid) as usize, self.library.links(&cid));
        if this.exchange.handle_verified(&from, &cid, len, links, now) {
            this.storing.push_back(cid);
            self.after(STORE, Event::Stored { node });
        }
    }

    pub(crate) fn on_stored(&mut self, node: Id) {
        let now = self.clock();
        let this = &mut self.nodes[node as usize];
        let Some(cid) = this.storing.pop_front() else { return };
        this.store.insert(cid);
        this.exchange.handle_stored(&cid, now);
    }

    pub(crate) fn on_searched(&mut self, node: Id) {
        let now = self.clock();
        let this = &mut self.nodes[node as usize];
        let Some(cid) = this.searching.pop_front() else { return };
        let mut found = self.providers.get(&cid).cloned().unwrap_or_default();
        found.retain(|found| *found != node);
        if !found.is_empty() {
            this.exchange.handle_providers(&cid, found, now);
        }
        this.exchange.handle_search_end(&cid, now);
    }
}

fn hand_over(fetch: &mut Fetch, library: &crate::library::Library, cid: &Cid) {
    let taken = match library.node(cid) {
        Some(block) => fetch.handle_block(block),
        None => fetch.handle_leaf(cid, u64::from(library.len(cid))),
    };
    taken.expect("the library is sound");
}

/// Finding out whether blocks are in the store.
const LOOK_UP: Time = MILLISECOND / 10;
/// Hashing a gigabyte a second.
const NANOSECONDS_PER_BYTE: Time = 1;
const STORE: Time = MILLISECOND;
const SEARCH: Time = SECOND / 5;
