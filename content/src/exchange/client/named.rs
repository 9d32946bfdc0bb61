//! Peers that people named for a download: dialled until they come, with growing pauses, whatever else is tried meanwhile. Who was
//! found is tried once in a round; who was named is expected to come back, and should not find that everybody has gone.

use std::time::{Duration, Instant};

use super::Client;
use super::session::{Dial, Session};
use crate::exchange::{Peer, SessionId};

/// How it goes with one of them.
#[derive(Debug)]
pub(super) struct Named {
    due: Option<Instant>,
    pause: Duration,
    /// Why it could not be reached when it was dialled last.
    pub(super) why: Option<String>,
}

impl<P: Peer> Client<P> {
    /// Dials those that are due. Called at every tick of a download that lacks something.
    pub(super) fn dial_named(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut due = vec![];
        for (peer, named) in &mut session.named {
            if self.partners.contains_key(peer) {
                *named = Named::new();
                continue;
            }
            let under_way = session.candidates.get(peer).is_some_and(|c| !matches!(c.state, Dial::Failed(_)));
            match named.due {
                None => named.due = Some(now + named.pause),
                Some(at) if at > now || under_way => {}
                Some(_) => {
                    named.pause = (named.pause * 2).min(LONGEST_PAUSE);
                    named.due = Some(now + named.pause);
                    due.push(peer.clone());
                }
            }
        }
        if !session.wants.is_empty() {
            due.into_iter().for_each(|peer| session.try_again_one(peer));
        }
    }
}

impl<P: Peer> Session<P> {
    /// These were named. Those beyond the limit are dialled as if they had been found.
    pub(super) fn name(&mut self, peers: &[P]) {
        for peer in peers {
            if self.named.len() < MOST_NAMED {
                self.named.entry(peer.clone()).or_insert_with(Named::new);
            }
        }
    }

    /// Why those that were named and are not there could not be reached.
    pub(super) fn named_in_vain(&self) -> impl Iterator<Item = (&P, &str)> {
        self.named.iter().filter_map(|(peer, named)| Some((peer, named.why.as_deref()?)))
    }
}

impl Named {
    fn new() -> Self {
        Self { due: None, pause: FIRST_PAUSE, why: None }
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A person who has started the other side again waits for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const MOST_NAMED: usize = 64;
