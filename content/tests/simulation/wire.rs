//! Uplinks, downlinks, and what is lost between them.

use std::collections::VecDeque;
use std::time::Duration;

use cidra_content::exchange::message::Message;

use crate::line::{Packet, QUEUE_TIME, Segment};
use crate::world::{Event, Id, Time, World};

/// What a node sends, in the order in which it goes.
#[derive(Default)]
pub(crate) struct Uplink {
    queue: VecDeque<(usize, Segment)>,
    queued: usize,
    busy: bool,
    /// Lines that have something to send, in turn.
    ring: VecDeque<usize>,
}

impl World {
    /// Writes what waits on a line into its socket. True: something was taken, which is news for the machine.
    pub(crate) fn write(&mut self, line: usize) -> bool {
        let now = self.clock();
        let this = &mut self.lines[line];
        let reports = this.write();
        let (from, to) = (this.from as usize, this.to);
        for sent in &reports {
            self.nodes[from].exchange.handle_sent(&to, sent.request, &sent.cid, sent.bytes, sent.last, now);
        }
        let this = &mut self.lines[line];
        if !this.in_ring && this.can_go(self.now) {
            this.in_ring = true;
            self.nodes[from].uplink.ring.push_back(line);
        } else if !this.in_ring && this.is_blocked {
            self.wait_for_answer(line);
        }
        !reports.is_empty()
    }

    fn wait_for_answer(&mut self, line: usize) {
        if let Some(at) = self.lines[line].next_answer() {
            self.at(at, Event::Opened { line });
        }
    }

    pub(crate) fn on_opened(&mut self, line: usize) -> Option<Id> {
        if self.lines[line].closed {
            return None;
        }
        self.write(line);
        let node = self.lines[line].from;
        self.send_on(node);
        Some(node)
    }

    /// Fills the queue of the uplink and sends the next of it. True: there is news for the machine.
    pub(crate) fn send_on(&mut self, node: Id) -> bool {
        let mut news = false;
        let link = self.nodes[node as usize].link;
        let most = ((link.up * SEGMENT_TIME) as usize).clamp(LEAST_SEGMENT, MOST_SEGMENT);
        let limit = ((link.up * QUEUE_TIME as f64 / 1e9) as usize).max(MOST_SEGMENT);
        while self.nodes[node as usize].uplink.queued < limit {
            let Some(line) = self.nodes[node as usize].uplink.ring.pop_front() else { break };
            self.lines[line].in_ring = false;
            if self.lines[line].closed {
                continue;
            }
            if self.lines[line].can_go(self.now) {
                let segment = self.lines[line].take(most);
                let uplink = &mut self.nodes[node as usize].uplink;
                uplink.queued += segment.bytes;
                uplink.queue.push_back((line, segment));
            }
            news |= self.write(line);
        }
        while self.send_next(node, link.up) {}
        news
    }

    /// Sends what is next in the queue. True: it was so little that more can go at once.
    fn send_next(&mut self, node: Id, rate: f64) -> bool {
        let uplink = &mut self.nodes[node as usize].uplink;
        if uplink.busy {
            return false;
        }
        let Some((line, mut segment)) = uplink.queue.pop_front() else { return false };
        uplink.queued -= segment.bytes;
        let takes = takes(segment.bytes, rate);
        let this = &mut self.lines[line];
        if segment.bytes < LITTLE && this.air.is_empty() && self.loss == 0.0 && !self.nodes[this.to as usize].cut {
            let free = self.nodes[this.to as usize].downlink_free;
            this.last_read = this.last_read.max(free).max(self.now + takes + this.delay);
            this.landed.push_back(segment);
            let at = this.last_read;
            self.at(at, Event::Read { line });
            return true;
        }
        self.nodes[node as usize].uplink.busy = true;
        segment.left = self.now + takes;
        self.after(takes, Event::Left { node });
        let delay = self.lines[line].delay + self.time_lost(line, segment.bytes);
        let this = &mut self.lines[line];
        this.last_landing = this.last_landing.max(self.now + delay);
        let at = this.last_landing;
        this.air.push_back(segment);
        self.at(at, Event::Landed { line });
        false
    }

    pub(crate) fn on_left(&mut self, node: Id) -> Option<Id> {
        self.nodes[node as usize].uplink.busy = false;
        self.send_on(node).then_some(node)
    }

    /// What is lost comes a round trip later, and what follows it waits for it.
    fn time_lost(&mut self, line: usize, bytes: usize) -> Time {
        if self.loss == 0.0 {
            return 0;
        }
        let packets = bytes.div_ceil(1448) as i32;
        if self.random.share() < (1.0 - self.loss).powi(packets) {
            return 0;
        }
        let now = self.now;
        self.lines[line].shrink(now);
        2 * self.lines[line].delay
    }

    pub(crate) fn on_landed(&mut self, line: usize) -> Option<Id> {
        let (from, to) = (self.lines[line].from as usize, self.lines[line].to as usize);
        let segment = self.lines[line].air.pop_front()?;
        if self.nodes[from].cut || self.nodes[to].cut {
            self.lines[line].stuck.push_back(segment);
            return None;
        }
        let free = self.nodes[to].downlink_free.max(self.now);
        if free > self.now + QUEUE_TIME {
            let now = self.now;
            self.lines[line].shrink(now);
        }
        let read = (free + takes(segment.bytes, self.nodes[to].link.down)).max(segment.left + self.lines[line].delay);
        self.nodes[to].downlink_free = read;
        self.lines[line].last_read = read;
        self.lines[line].landed.push_back(segment);
        self.at(read, Event::Read { line });
        None
    }

    /// What was lost in a cut is sent again.
    pub(crate) fn resend(&mut self, line: usize) {
        let stuck = std::mem::take(&mut self.lines[line].stuck);
        for segment in stuck.into_iter().rev() {
            self.lines[line].air.push_front(segment);
            self.after(RESEND, Event::Landed { line });
        }
    }

    pub(crate) fn on_read(&mut self, line: usize) -> Option<Id> {
        let (from, to, delay) = (self.lines[line].from, self.lines[line].to, self.lines[line].delay);
        let segment = self.lines[line].landed.pop_front()?;
        let at = self.now + delay;
        self.lines[line].acknowledge(segment.bytes, at);
        if self.lines[line].is_blocked {
            self.lines[line].is_blocked = false;
            self.at(at, Event::Opened { line });
        }
        if self.nodes[to as usize].dead || !self.nodes[to as usize].lines.contains_key(&from) {
            return None;
        }
        self.take_in(from, to, segment);
        Some(to)
    }

    fn take_in(&mut self, from: Id, to: Id, segment: Segment) {
        let now = self.clock();
        let mut progress = 0;
        for packet in segment.packets {
            let machine = &mut self.nodes[to as usize].exchange;
            match packet {
                Packet::Said(message) => machine.handle_message(&from, message, now),
                Packet::Refer { root, others } => {
                    let others = others.into_iter().filter(|other| *other != to).collect();
                    machine.handle_referred(&from, &root, others, now);
                }
                Packet::Piece { request, cid, len, bytes, first, last } => {
                    if first {
                        let header = Message::BlockHeader { request, cid, len: len as u32 };
                        machine.handle_message(&from, header, now);
                    }
                    progress += bytes;
                    if last {
                        machine.handle_progress(&from, std::mem::take(&mut progress), now);
                        if machine.handle_arrived(&from, Some(&cid), len, now) {
                            self.verify(to, from, cid, len);
                        }
                    }
                    self.nodes[to as usize].came(bytes, self.now);
                }
            }
        }
        if progress > 0 {
            self.nodes[to as usize].exchange.handle_progress(&from, progress, now);
        }
    }
}

/// So many bytes over a link of so many bytes a second, with headers.
fn takes(bytes: usize, rate: f64) -> Time {
    Duration::from_secs_f64(bytes as f64 * HEADERS / rate).as_nanos() as Time
}

/// A packet of 1,514 bytes carries 1,448; TLS and Yamux take some more.
const HEADERS: f64 = 1.047;
/// A segment takes an uplink so many seconds.
const SEGMENT_TIME: f64 = 0.005;
/// What takes an uplink and a downlink no time worth counting: a few messages.
const LITTLE: usize = 1024;
const LEAST_SEGMENT: usize = 4 * 1024;
const MOST_SEGMENT: usize = 64 * 1024;
/// After a cut is mended, the first repetition comes through so much later.
const RESEND: Time = 200_000_000;
