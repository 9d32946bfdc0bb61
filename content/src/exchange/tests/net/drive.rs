//! What the driver of a node does: carries out its actions, and tells it what happened.

use std::time::Duration;

use super::node::Packet;
use super::{Event, Name, Net};
use crate::exchange::Action;
use crate::exchange::message::{Credit, Message, RequestId, Want};

impl Net {
    /// What the driver does: carries out the actions of a node until there are none.
    pub(in crate::exchange::tests) fn carry_out(&mut self, name: Name) {
        let now = self.now;
        while let Some(action) = self.nodes.get_mut(name).unwrap().exchange.poll() {
            if let Some(log) = &mut self.log {
                log.push(format!("{:?} {name} {action:?}", now - self.began));
            }
            self.act(name, action);
        }
        self.steps += 1;
        if self.checked_every > 0 && self.steps.is_multiple_of(self.checked_every) {
            let unattended = self.nodes[name].exchange.unattended();
            assert!(unattended.is_empty(), "{:?}: {name} waits for nothing: {unattended:?}", self.elapsed());
        }
        self.send_on(name);
        let this = self.nodes.get_mut(name).unwrap();
        if let Some(at) = this.exchange.poll_timeout()
            && this.wake.is_none_or(|wake| at < wake || wake < now)
        {
            this.wake = Some(at.max(now));
            self.at(at.max(now), Event::Wake { node: name });
        }
    }

    fn act(&mut self, name: Name, action: Action<Name>) {
        let this = self.nodes.get_mut(name).unwrap();
        match action {
            Action::Connect { peer } => {
                this.dialled.push(peer);
                let delay = self.delay(name, peer) * 4;
                self.after(delay, Event::Dialled { from: name, to: peer });
            }
            Action::Search { cid } => {
                this.searched.push(cid);
                self.after(self.search_time, Event::Searched { node: name, cid });
            }
            Action::StopSearch { .. } => {}
            Action::Send { peer, message } => this.say(peer, message),
            Action::Refer { peer, root, others } => {
                assert!(this.is_native(peer), "only native peers are referred");
                this.line(peer).said.push_back(Packet::Refer { root, others });
            }
            Action::Locate { peer, request, cids } => {
                self.after(Duration::from_micros(50), Event::Located { node: name, peer, request, cids });
            }
            Action::Load { peer, request, cid, urgent, .. } => this.load(peer, request, cid, urgent, self.sizes[&cid]),
            Action::Abort { peer, request, cid } => {
                this.abort(peer, request, &cid);
                this.exchange.handle_aborted(&peer, request, &cid, self.now);
            }
            Action::Delivered { session, cid, links } => {
                this.delivered.push(cid);
                this.wanted.remove(&cid);
                for (index, child) in links.iter().enumerate() {
                    if !this.store.contains_key(child) {
                        this.wanted.insert(*child);
                        this.exchange.want(session, *child, -(index as i32), self.now);
                    }
                }
                if this.wanted.is_empty() {
                    this.finished = Some(self.now);
                }
            }
            Action::Missing { cid, report, .. } => this.missing.push((cid, report)),
            Action::Ban { peer, .. } => {
                this.banned.push(peer);
                this.connections.remove(peer);
                self.after(Duration::ZERO, Event::Gone { node: name, peer });
            }
        }
    }

    /// One event. Gives the node that has something to do because of it.
    pub(super) fn happen(&mut self, event: Event) -> Option<Name> {
        let now = self.now;
        match event {
            Event::Packet { from, to, packet } => self.take_in(from, to, packet),
            Event::Read { from, to, packet } => self.read(from, to, packet),
            Event::UplinkFree { node } => self.uplink_free(node),
            Event::Dialled { from, to } => {
                if self.nodes[to].dead || self.is_cut(from, to) {
                    let this = self.nodes.get_mut(from)?;
                    this.exchange.handle_connect_failed(&to, "connection refused".to_owned(), now);
                } else {
                    self.connect(from, to);
                }
                Some(from)
            }
            Event::Gone { node, peer } => {
                let this = self.nodes.get_mut(node)?;
                this.connections.remove(peer);
                this.lines.remove(peer);
                this.exchange.handle_disconnected(&peer, now);
                Some(node)
            }
            Event::Searched { node, cid } => {
                let found = self.records.get(&cid).cloned().unwrap_or_default();
                let found: Vec<Name> = found.into_iter().filter(|found| *found != node).collect();
                let this = self.nodes.get_mut(node)?;
                if !found.is_empty() {
                    this.exchange.handle_providers(&cid, found, now);
                }
                this.exchange.handle_search_end(&cid, now);
                Some(node)
            }
            Event::Located { node, peer, request, cids } => {
                let this = self.nodes.get_mut(node)?;
                let found = cids.into_iter().map(|cid| (cid, this.store.get(&cid).map(|len| *len as u32))).collect();
                this.exchange.handle_located(&peer, request, found, now);
                Some(node)
            }
            Event::Verified { node, from, cid } => {
                let (len, links) = (self.sizes[&cid], self.children(&cid));
                let lies = self.nodes[from].lies;
                let this = self.nodes.get_mut(node)?;
                if lies {
                    this.exchange.handle_bad(&from, &cid, now);
                } else if this.exchange.handle_verified(&from, &cid, len, links, now) {
                    self.after(self.nodes[node].store_time, Event::Stored { node, cid });
                }
                Some(node)
            }
            Event::Stored { node, cid } => {
                let len = self.sizes[&cid];
                let this = self.nodes.get_mut(node)?;
                this.store.insert(cid, len);
                this.exchange.handle_stored(&cid, now);
                Some(node)
            }
            Event::Wake { node } => {
                let this = self.nodes.get_mut(node)?;
                this.wake = None;
                this.exchange.handle_timeout(now);
                Some(node)
            }
        }
    }
}

/// A message as a Bitswap peer would have it: no ids, roots or credits.
pub(super) fn as_bitswap(message: Message) -> Option<Message> {
    match message {
        Message::Want(want) => {
            assert_eq!(want.credit, Credit::All, "Bitswap has no credits");
            Some(Message::Want(Want { root: None, ..want }))
        }
        Message::Cancel { cids, .. } => {
            assert!(!cids.is_empty(), "Bitswap cancels by CID");
            Some(Message::Cancel { request: RequestId(0), cids })
        }
        Message::DontHave { cids, .. } => Some(Message::DontHave { request: RequestId(0), cids }),
        Message::Have { .. } => Some(message),
        Message::BlockHeader { .. } | Message::Pending { .. } => None,
    }
}
