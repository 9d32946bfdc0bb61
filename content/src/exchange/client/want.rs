//! One wanted block: who wants it, who was asked, what each said.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::session::Place;
use crate::exchange::SessionId;

/// A block that some session wants and that is not in the store.
#[derive(Debug)]
pub(super) struct Want<P> {
    pub(super) sessions: BTreeMap<SessionId, Place>,
    /// Peers that owe it and are not doubted.
    pub(super) askers: BTreeMap<P, Instant>,
    /// At most `MAX_SAID`.
    pub(super) said: BTreeMap<P, Said>,
    pub(super) stage: Stage,
    pub(super) seek: Seek,
    pub(super) rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be asked for.
    Open,
    /// A copy is being verified or stored.
    Here,
    /// The store refused it; open again then.
    Paused(Instant),
}

/// What a peer said to a question for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Asked whether it has it, no answer yet.
    Queried(Instant),
    Has,
    Lacks,
    Silent,
    Late,
    Left,
    Lied,
}

/// The search for somebody who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seek {
    Idle,
    Searching,
    /// The search has ended; those it found may still be on their way.
    Searched,
    /// People were told; all begins again then.
    Resting(Instant),
}

impl<P: Ord> Want<P> {
    pub(super) fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
            askers: BTreeMap::new(),
            said: BTreeMap::new(),
            stage: Stage::Open,
            seek: Seek::Idle,
            rounds: 0,
        }
    }

    pub(super) fn is_unasked(&self) -> bool {
        self.stage == Stage::Open && self.askers.is_empty()
    }

    pub(super) fn say(&mut self, peer: P, said: Said) {
        if self.said.len() < MAX_SAID || self.said.contains_key(&peer) {
            self.said.insert(peer, said);
        }
    }

    /// Whether this peer may be asked for the block, by what it has said about it.
    pub(super) fn may_ask(&self, peer: &P) -> bool {
        !self.askers.contains_key(peer)
            && match self.said.get(peer) {
                None => self.said.len() < MAX_SAID,
                Some(Said::Has | Said::Queried(_)) => true,
                Some(Said::Lacks | Said::Silent | Said::Late | Said::Left | Said::Lied) => false,
            }
    }

    /// Whether this peer has said, or shown, that it does not send the block.
    pub(super) fn was_refused(&self, peer: &P) -> bool {
        self.said.get(peer).is_some_and(|said| !matches!(said, Said::Has | Said::Queried(_)))
    }

    pub(super) fn is_queried(&self, now: Instant) -> bool {
        self.said.values().any(|said| matches!(said, Said::Queried(at) if now.duration_since(*at) < QUERY_PATIENCE))
    }

    /// A new round: everybody may be asked again, except who lied.
    pub(super) fn forget(&mut self) {
        self.said.retain(|_, said| *said == Said::Lied);
        self.seek = Seek::Idle;
    }
}

impl Said {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Queried(_) => "did not answer",
            Self::Has => "says it has it, and has not sent it",
            Self::Lacks => "does not have it",
            Self::Silent => "is silent",
            Self::Late => "did not send it in time",
            Self::Left => "left before it sent it",
            Self::Lied => "sent bytes that do not match",
        }
    }
}

/// Peers whose word on one block is kept in a round; no more are asked.
const MAX_SAID: usize = 512;
/// How long a question whether a peer has a block may stay open before the search goes on without the answer.
const QUERY_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_512_words_nobody_more_is_asked_in_this_round() {
        let mut want = Want::new();
        (0..=MAX_SAID).for_each(|peer| want.say(peer, Said::Lacks));
        assert_eq!(want.said.len(), MAX_SAID);
        assert!(!want.may_ask(&MAX_SAID));
        want.forget();
        assert!(want.may_ask(&MAX_SAID));
    }
}
