//! Between the machine, whose requests have ids, and a Bitswap peer, which keeps a list: what that peer wants of us.

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;

use super::{Entry, Message, Wish};
use crate::exchange::message::{self, Credit, Kind, MAX_CIDS, RequestId};

/// What one peer wants, from its first message to its last: at most [`Self::MOST`] blocks.
#[derive(Debug, Default)]
pub struct Wants {
    known: BTreeMap<Cid, Known>,
    /// Those that are not here, as they were refused: the peer gets them still when they come.
    refused: BTreeMap<u64, Cid>,
    next_request: u64,
    next_refusal: u64,
}

#[derive(Debug)]
struct Known {
    kind: Kind,
    send_dont_have: bool,
    refused: Option<u64>,
}

/// What comes of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// For `Exchange::handle_message`, in this order.
    pub said: Vec<message::Message>,
    /// Wants beyond the limit, for which the peer is to be told so.
    pub answer: Option<Message>,
}

impl Wants {
    /// As many as Kubo keeps of a peer. One more takes the place of the one refused longest ago, and where none is it is refused.
    pub const MOST: usize = 1024;

    /// A message of the peer.
    pub fn handle_message(&mut self, message: Message) -> Taken {
        let Message { full, entries, haves, dont_haves, pending } = message;
        let mut cancelled = BTreeSet::new();
        if full {
            let kept: BTreeSet<&Cid> =
                entries.iter().filter(|entry| entry.wish != Wish::Cancel).map(|e| &e.cid).collect();
            cancelled.extend(self.known.keys().filter(|cid| !kept.contains(cid)).copied());
            cancelled.iter().for_each(|cid| self.forget(cid));
        }
        let (mut wanted, mut surplus) = (vec![], vec![]);
        for entry in entries {
            match entry.wish {
                Wish::Cancel => {
                    // What was asked for in the same message was not asked for.
                    wanted.retain(|other: &Entry| other.cid != entry.cid);
                    if self.known.contains_key(&entry.cid) {
                        self.forget(&entry.cid);
                        cancelled.insert(entry.cid);
                    }
                }
                Wish::Want(kind) => match self.admit(&entry, kind, &mut cancelled) {
                    Admitted::Known => {}
                    Admitted::New => wanted.push(entry),
                    Admitted::TooMany if entry.send_dont_have => surplus.push(entry.cid),
                    Admitted::TooMany => {}
                },
            }
        }
        let mut said = vec![];
        let lists = |cids: Vec<Cid>| cids.chunks(MAX_CIDS).map(<[Cid]>::to_vec).collect::<Vec<_>>();
        let cancels = lists(cancelled.into_iter().collect());
        said.extend(cancels.into_iter().map(|cids| message::Message::Cancel { request: NO_ID, cids }));
        said.extend(self.requests(wanted));
        said.extend(lists(haves).into_iter().map(|cids| message::Message::Have { cids }));
        said.extend(lists(dont_haves).into_iter().map(|cids| message::Message::DontHave { request: NO_ID, cids }));
        if pending > 0 {
            said.push(message::Message::Pending { bytes: pending });
        }
        let answer = (!surplus.is_empty()).then(|| Message { dont_haves: surplus, ..Message::default() });
        Taken { said, answer }
    }

    /// What the machine says, in the words of Bitswap; `None`: nothing of it concerns the peer.
    pub fn translate(&mut self, said: message::Message) -> Option<Message> {
        let mut message = Message::default();
        match said {
            message::Message::Want(want) => {
                let (wish, priority) = (Wish::Want(want.kind), want.priority);
                let entry = |cid| Entry { cid, wish, priority, send_dont_have: true };
                message.entries = want.cids.into_iter().map(entry).collect();
            }
            message::Message::Cancel { cids, .. } => {
                let entry = |cid| Entry { cid, wish: Wish::Cancel, priority: 0, send_dont_have: false };
                message.entries = cids.into_iter().map(entry).collect();
            }
            message::Message::Have { cids } => {
                for cid in &cids {
                    if self.known.get(cid).is_some_and(|known| known.kind == Kind::Have) {
                        self.forget(cid);
                    }
                }
                message.haves = cids;
            }
            message::Message::DontHave { cids, .. } => {
                message.dont_haves = cids.into_iter().filter(|cid| self.refuse(cid)).collect();
            }
            message::Message::BlockHeader { .. } | message::Message::Pending { .. } => {}
        }
        (!message.is_empty()).then_some(message)
    }

    /// The block has gone to the peer: the want is over.
    pub fn handle_sent(&mut self, cid: &Cid) {
        self.forget(cid);
    }

    fn admit(&mut self, entry: &Entry, kind: Kind, cancelled: &mut BTreeSet<Cid>) -> Admitted {
        if let Some(known) = self.known.get_mut(&entry.cid) {
            let covered = known.kind == Kind::Block || kind == Kind::Have;
            if known.refused.is_none() && covered {
                known.send_dont_have |= entry.send_dont_have;
                return Admitted::Known;
            }
            // Asked for again, or for more: it is to be answered again.
            self.forget(&entry.cid);
            cancelled.insert(entry.cid);
        } else if self.known.len() >= Self::MOST {
            let Some(oldest) = self.refused.first_key_value().map(|(_, cid)| *cid) else { return Admitted::TooMany };
            self.forget(&oldest);
            cancelled.insert(oldest);
        }
        self.known.insert(entry.cid, Known { kind, send_dont_have: entry.send_dont_have, refused: None });
        Admitted::New
    }

    /// The most important first, those alike together.
    fn requests(&mut self, mut wanted: Vec<Entry>) -> Vec<message::Message> {
        wanted.sort_by_key(|entry| std::cmp::Reverse(entry.priority));
        let groups = wanted.chunk_by(|one, other| one.wish == other.wish).flat_map(|alike| alike.chunks(TOGETHER));
        let mut requests = vec![];
        for group in groups {
            let Wish::Want(kind) = group[0].wish else { continue };
            self.next_request += 1;
            requests.push(message::Message::Want(message::Want {
                request: RequestId(self.next_request),
                root: None,
                cids: group.iter().map(|entry| entry.cid).collect(),
                credit: Credit::All,
                kind,
                priority: group[0].priority,
            }));
        }
        requests
    }

    /// Whether the peer is to be told.
    fn refuse(&mut self, cid: &Cid) -> bool {
        let Some(known) = self.known.get_mut(cid) else { return false };
        if known.refused.is_none() {
            self.next_refusal += 1;
            known.refused = Some(self.next_refusal);
            self.refused.insert(self.next_refusal, *cid);
        }
        known.send_dont_have
    }

    fn forget(&mut self, cid: &Cid) {
        if let Some(Known { refused: Some(number), .. }) = self.known.remove(cid) {
            self.refused.remove(&number);
        }
    }
}

enum Admitted {
    /// It is owed already.
    Known,
    New,
    TooMany,
}

/// Of what goes by CIDs.
const NO_ID: RequestId = RequestId(0);
/// Most wants that are looked up together, and whose order among themselves is not kept.
const TOGETHER: usize = 16;
