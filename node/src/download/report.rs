//! How long a download waits, and what it says when it gives up.

use std::fmt::Write;
use std::time::Duration;

use cid::Cid;
use cidra_content::exchange::{PeerState, Report, SessionReport};
use libp2p::PeerId;
use tokio::time::Instant;

use super::{Answers, FetchError, FetchOptions};

/// The time limits of a download, and what was heard meanwhile.
pub(super) struct Patience {
    began: Instant,
    end: Option<Instant>,
    idle: Option<Duration>,
    came_last: Instant,
    received: u64,
    heard: Option<(Cid, Report<PeerId>)>,
}

impl Patience {
    pub(super) fn new(options: &FetchOptions, now: Instant) -> Self {
        Self {
            began: now,
            end: options.timeout.map(|timeout| now + timeout),
            idle: options.idle_timeout,
            came_last: now,
            received: 0,
            heard: None,
        }
    }

    /// Peers are asked from here on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.came_last = now;
    }

    pub(super) fn delivered(&mut self, now: Instant) {
        self.came_last = now;
        self.heard = None;
    }

    /// So many bytes came in all, parts of blocks among them.
    pub(super) fn received(&mut self, received: u64, now: Instant) {
        if received > self.received {
            self.received = received;
            self.came_last = now;
        }
    }

    pub(super) fn missing(&mut self, cid: Cid, report: Report<PeerId>) {
        self.heard = Some((cid, report));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.idle.map(|idle| self.came_last + idle);
        match (self.end, idle) {
            (Some(end), Some(idle)) => Some(end.min(idle)),
            (end, idle) => end.or(idle),
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// Patience is over. `last` is how the download stands at its end.
    pub(super) fn end(&mut self, waiting_for: Cid, last: Option<&SessionReport<PeerId>>, now: Instant) -> FetchError {
        let since = if self.end.is_some_and(|end| now >= end) { self.began } else { self.came_last };
        let (cid, asked, text) = match self.heard.take() {
            Some((cid, report)) => {
                let asked = report.asked.iter().take(NAMED).map(|(peer, said)| (*peer, said.to_string()));
                (cid, asked.collect(), describe(&report))
            }
            None => {
                let asked = states(last);
                let text = describe_peers(&asked);
                (waiting_for, asked, text)
            }
        };
        FetchError::NotDelivered { cid, waited: now - since, report: Box::new(Answers { asked, text }) }
    }
}

/// Where nothing was concluded yet: what is known of each peer.
fn states(report: Option<&SessionReport<PeerId>>) -> Vec<(PeerId, String)> {
    let peers = report.map(|report| &report.peers[..]).unwrap_or_default();
    let said = peers.iter().filter_map(|report| match &report.state {
        PeerState::Failed(why) => Some((report.peer, format!("could not be reached: {why}"))),
        PeerState::Dialling => Some((report.peer, "does not answer when it is dialled".to_owned())),
        PeerState::Doubted | PeerState::Owing(_) => Some((report.peer, "was asked, and is silent".to_owned())),
        PeerState::Idle | PeerState::Away => None,
    });
    said.take(NAMED).collect()
}

fn describe_peers(said: &[(PeerId, String)]) -> String {
    let said: Vec<String> = said.iter().map(|(peer, said)| format!("{peer}: {said}")).collect();
    match said.is_empty() {
        true => {
            "no provider was found or none answered; is a peer that has it online and reachable? Name one with --peer"
                .to_owned()
        }
        false => format!("{}; is it online, and is its address still the same?", said.join("; ")),
    }
}

fn describe(report: &Report<PeerId>) -> String {
    let mut text = String::new();
    for (peer, said) in report.asked.iter().take(NAMED) {
        let _ = write!(text, "{peer}: {said}; ");
    }
    if report.asked.len() > NAMED {
        let _ = write!(text, "{} more peers; ", report.asked.len() - NAMED);
    }
    match (report.asked.is_empty(), report.searches) {
        (true, 0) => text.push_str("nobody is known to ask: no peer is connected. Add a bootstrap node with --bootstrap, or name a peer that has it with --peer"),
        (true, searches) => {
            let _ = write!(text, "{} found no provider. Does anybody share it? Name a peer that has it with --peer", count(searches));
        }
        (false, searches) => {
            let _ = write!(text, "{} for further providers found none that delivers", count(searches));
        }
    }
    text
}

fn count(searches: u32) -> String {
    if searches == 1 { "a search".to_owned() } else { format!("{searches} searches") }
}

/// So many peers are named in a message.
const NAMED: usize = 5;
