//! Which addresses a node may have are tested, at whom, how often, and what the answers mean.
//!
//! An address becomes one of ours when a peer that was asked has dialled it and said our nonce there; no peer's word alone makes
//! it so. It is tested again every hour, and given up when several cannot dial it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Reachability;

/// The addresses that others say this node has, and the peers that test them. `A` is an address, `P` names a peer.
#[derive(Debug)]
pub struct Prober<A, P> {
    candidates: BTreeMap<A, Candidate<P>>,
    servers: BTreeMap<P, Instant>,
    tests: BTreeMap<u64, Test<A, P>>,
}

#[derive(Debug)]
struct Candidate<P> {
    scope: Scope,
    observers: BTreeSet<P>,
    /// When somebody spoke of it or tested it.
    heard: Instant,
    /// When it was last dialled.
    reached: Option<Instant>,
    /// Enough peers could not dial it.
    failed: bool,
    /// Tests in a row that failed.
    failures: usize,
    tried: BTreeSet<P>,
    due: Instant,
    pause: Duration,
}

#[derive(Debug)]
struct Test<A, P> {
    address: A,
    server: P,
    until: Instant,
    /// The nonce was said.
    heard: bool,
}

/// From where an address can be dialled, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On networks of its own only.
    Local,
    /// From everywhere.
    Public,
}

/// What a peer says of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It dialled the address.
    Reached,
    /// Nobody answered there.
    Unreachable,
    /// It does not dial such an address.
    Refused,
    /// It does not test now, or said nothing that could be understood.
    Failed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<A, P> {
    /// Ask this peer to dial the address and to say the nonce; `handle_answer` follows.
    Test {
        /// Whom to ask.
        server: P,
        /// What to test.
        address: A,
        /// What is to be said there.
        nonce: u64,
    },
    /// The address leads here.
    Confirmed(A),
    /// It does no longer.
    Expired(A),
}

impl<A, P> Default for Prober<A, P> {
    fn default() -> Self {
        Self { candidates: BTreeMap::new(), servers: BTreeMap::new(), tests: BTreeMap::new() }
    }
}

impl<A: Ord + Clone, P: Ord + Clone> Prober<A, P> {
    /// Somebody sees this node there, or it listens there itself.
    pub fn handle_candidate(&mut self, address: A, scope: Scope, observer: Option<P>, now: Instant) {
        if !self.candidates.contains_key(&address) {
            if self.candidates.len() >= MAX_CANDIDATES && !self.forget_one() {
                return;
            }
            let fresh = Candidate {
                scope,
                observers: BTreeSet::new(),
                heard: now,
                reached: None,
                failed: false,
                failures: 0,
                tried: BTreeSet::new(),
                due: now,
                pause: FIRST_PAUSE,
            };
            self.candidates.insert(address.clone(), fresh);
        }
        let Some(candidate) = self.candidates.get_mut(&address) else { return };
        candidate.heard = now;
        if candidate.observers.len() < MAX_OBSERVERS {
            candidate.observers.extend(observer);
        }
    }

    /// The router says that it has opened this one: it is tested at once, whatever came of it before.
    pub fn handle_opened(&mut self, address: A, scope: Scope, now: Instant) {
        self.handle_candidate(address.clone(), scope, None, now);
        if let Some(candidate) = self.candidates.get_mut(&address).filter(|candidate| candidate.reached.is_none()) {
            candidate.begin_anew(now);
        }
    }

    /// A peer that is connected tests addresses.
    pub fn handle_server(&mut self, peer: P, now: Instant) {
        if self.servers.len() < MAX_SERVERS {
            self.servers.entry(peer).or_insert(now);
        }
    }

    /// A peer is gone, or tests no more.
    pub fn handle_gone(&mut self, peer: &P) {
        self.servers.remove(peer);
    }

    /// A nonce was said to this node; false: it is none of ours.
    pub fn handle_dial_back(&mut self, nonce: u64) -> bool {
        let Some(test) = self.tests.get_mut(&nonce) else { return false };
        test.heard = true;
        true
    }

    /// The answer to a test.
    pub fn handle_answer(&mut self, nonce: u64, answer: Answer, now: Instant) -> Vec<Action<A, P>> {
        let Some(test) = self.tests.remove(&nonce) else { return vec![] };
        let rest = match (answer, test.heard) {
            (Answer::Reached, true) | (Answer::Unreachable | Answer::Refused, _) => SERVER_REST,
            // It claims what did not happen.
            (Answer::Reached, false) | (Answer::Failed, _) => LONG_REST,
        };
        if let Some(free) = self.servers.get_mut(&test.server) {
            *free = now + rest;
        }
        let servers = self.servers.keys();
        let Some(candidate) = self.candidates.get_mut(&test.address) else { return vec![] };
        if answer != Answer::Failed {
            candidate.heard = now;
        }
        candidate.tried.insert(test.server);
        let untried = servers.filter(|peer| !candidate.tried.contains(*peer)).count();
        match (answer, test.heard) {
            (Answer::Reached, true) => {
                let is_news = candidate.reached.is_none();
                candidate.reached = Some(now);
                candidate.failed = false;
                candidate.begin_anew(now + AGAIN);
                candidate.pause = FIRST_PAUSE;
                if is_news { vec![Action::Confirmed(test.address)] } else { vec![] }
            }
            (Answer::Unreachable, _) => {
                candidate.failures += 1;
                // What was dialled before is not given up for one lost dial.
                let of_one = if candidate.reached.is_some() { ENOUGH_OF_ONE } else { 1 };
                let enough = candidate.failures >= ENOUGH || candidate.failures >= of_one && untried == 0;
                if !enough {
                    if untried == 0 {
                        candidate.tried.clear();
                    }
                    return vec![];
                }
                let was_reached = candidate.reached.take().is_some();
                candidate.failed = true;
                candidate.begin_anew(now + candidate.pause);
                candidate.pause = (candidate.pause * 2).min(AGAIN);
                if was_reached { vec![Action::Expired(test.address)] } else { vec![] }
            }
            _ => {
                if untried == 0 {
                    candidate.begin_anew(now + candidate.pause);
                }
                vec![]
            }
        }
    }

    /// Called about once a second, with a source of random numbers: what is to be done.
    pub fn tick(&mut self, now: Instant, mut random: impl FnMut() -> u64) -> Vec<Action<A, P>> {
        let late: Vec<u64> = self.tests.iter().filter(|(_, test)| test.until <= now).map(|(nonce, _)| *nonce).collect();
        let mut actions: Vec<_> =
            late.into_iter().flat_map(|nonce| self.handle_answer(nonce, Answer::Failed, now)).collect();
        let is_old = |candidate: &Candidate<P>| match candidate.reached {
            Some(at) => now.duration_since(at) > VALIDITY,
            None => now.duration_since(candidate.heard) > VALIDITY,
        };
        let old: Vec<A> = self
            .candidates
            .iter()
            .filter(|(_, candidate)| is_old(candidate))
            .map(|(address, _)| address.clone())
            .collect();
        for address in old {
            let expired = self.candidates.remove(&address).filter(|candidate| candidate.reached.is_some());
            actions.extend(expired.map(|_| Action::Expired(address)));
        }
        while self.tests.len() < MAX_TESTS {
            let Some((address, server)) = self.next(now) else { break };
            let nonce = random();
            let test = Test { address: address.clone(), server: server.clone(), until: now + PATIENCE, heard: false };
            self.tests.insert(nonce, test);
            actions.push(Action::Test { server, address, nonce });
        }
        actions
    }

    /// The address that most peers speak of among those due, and a peer that has not tried it.
    fn next(&self, now: Instant) -> Option<(A, P)> {
        let is_free = |peer: &P, free: &Instant| *free <= now && !self.tests.values().any(|test| test.server == *peer);
        let is_tested = |address: &A| self.tests.values().any(|test| test.address == *address);
        let due = self.candidates.iter().filter(|(address, candidate)| candidate.due <= now && !is_tested(address));
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(_, candidate)| {
            (candidate.scope == Scope::Local, std::cmp::Reverse(candidate.observers.len()))
        });
        due.into_iter().find_map(|(address, candidate)| {
            // Who told of it is asked last: it may be the one whose network it leads through.
            let free =
                self.servers.iter().filter(|(peer, free)| is_free(peer, free) && !candidate.tried.contains(*peer));
            let (server, _) = free.min_by_key(|(peer, _)| candidate.observers.contains(*peer))?;
            Some((address.clone(), server.clone()))
        })
    }

    /// What the answers mean so far.
    pub fn reachability(&self) -> Reachability<A> {
        let public = self.confirmed(Scope::Public);
        if !public.is_empty() {
            return Reachability::Public(public);
        }
        let failed = |scope| self.candidates.values().any(|candidate| candidate.scope == scope && candidate.failed);
        let is_here = !self.confirmed(Scope::Local).is_empty();
        match failed(Scope::Public) || failed(Scope::Local) && !is_here {
            true => Reachability::Private,
            false => Reachability::Unknown,
        }
    }

    /// The addresses that were dialled.
    pub fn confirmed(&self, scope: Scope) -> Vec<A> {
        let candidates = self.candidates.iter();
        let confirmed = candidates.filter(|(_, candidate)| candidate.scope == scope && candidate.reached.is_some());
        confirmed.map(|(address, _)| address.clone()).collect()
    }

    /// Makes room: what fewest speak of goes, never what was confirmed.
    fn forget_one(&mut self) -> bool {
        let unsure = self.candidates.iter().filter(|(_, candidate)| candidate.reached.is_none());
        let least = unsure.min_by_key(|(_, candidate)| (candidate.observers.len(), candidate.heard));
        let Some(address) = least.map(|(address, _)| address.clone()) else { return false };
        self.candidates.remove(&address);
        true
    }
}

impl<P: Ord> Candidate<P> {
    fn begin_anew(&mut self, due: Instant) {
        self.failures = 0;
        self.tried.clear();
        self.due = due;
    }
}

/// Addresses that are remembered; one more takes the place of one that was not confirmed, if there is one.
const MAX_CANDIDATES: usize = 16;
/// Peers that are remembered to have seen this node at an address.
const MAX_OBSERVERS: usize = 8;
/// Peers that test; more are not needed.
const MAX_SERVERS: usize = 64;
/// Tests under way at a time.
const MAX_TESTS: usize = 2;
/// For a test; then the peer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// A peer is left alone after a test; servers of Go take 12 requests a minute.
const SERVER_REST: Duration = Duration::from_secs(6);
/// And after one that failed.
const LONG_REST: Duration = Duration::from_secs(120);
/// Peers that could not dial an address, after which it is none of ours …
const ENOUGH: usize = 3;
/// … or so many tests where there are no other peers, if it was one of ours.
const ENOUGH_OF_ONE: usize = 2;
/// An address that is ours is tested again.
const AGAIN: Duration = Duration::from_secs(3600);
/// One that is not, for the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(300);
/// One that nobody has confirmed, tested or spoken of for so long is forgotten.
const VALIDITY: Duration = Duration::from_secs(2 * 3600);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to begin with")]
mod tests;
