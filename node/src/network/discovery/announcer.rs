//! Announces what the store lists: new roots at once, the others before their records run out.
//!
//! A node that was among few when it announced something announces it again when it knows more peers: those who would be
//! asked for the record may not have been there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use cid::Cid;
use futures::StreamExt;
use futures::stream;
use tokio::time::{Instant, sleep_until};

use super::super::{ProvideError, WeakNetwork};
use crate::store::{Store, StoreError};

/// The task that announces; it ends when this is dropped, or with the network.
pub(in crate::network) struct Announcer(tokio::task::AbortHandle);

impl Announcer {
    pub(in crate::network) fn spawn(network: WeakNetwork, store: Store) -> Self {
        let state = State { network, store, pause: FIRST_PAUSE, weak: BTreeMap::new(), looked: None };
        Self(tokio::spawn(state.run()).abort_handle())
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct State {
    network: WeakNetwork,
    store: Store,
    pause: Duration,
    /// What this process told to few peers, and to how many.
    weak: BTreeMap<Cid, usize>,
    /// When the whole list of what was announced was read last.
    looked: Option<Instant>,
}

impl State {
    async fn run(mut self) {
        loop {
            let next = match self.round().await {
                Ok(Round::Done) => {
                    self.pause = FIRST_PAUSE;
                    LOOK_EVERY
                }
                Ok(Round::Ended) => return,
                Ok(Round::NobodyTold) => self.grow_pause(),
                Err(error) => {
                    tracing::warn!(%error, "cannot read what is to be announced");
                    self.grow_pause()
                }
            };
            let wake = Instant::now() + next;
            let shared = self.network.shared.clone();
            tokio::select! {
                () = sleep_until(wake) => {}
                () = shared.announce.notified() => {
                    // Several may come together.
                    sleep_until(Instant::now() + TOGETHER).await;
                }
            }
        }
    }

    async fn round(&mut self) -> Result<Round, StoreError> {
        let due = self.due().await?;
        if due.is_empty() {
            return Ok(Round::Done);
        }
        let network = self.network.clone();
        let announce = |cid: Cid| {
            let network = network.clone();
            async move {
                let Some(network) = network.upgrade() else { return (cid, Err(ProvideError::Ended)) };
                (cid, network.provide(cid).await)
            }
        };
        let mut results = stream::iter(due).map(announce).buffer_unordered(AT_A_TIME);
        let mut told_nobody = false;
        while let Some((cid, result)) = results.next().await {
            match result {
                Ok(0) | Err(ProvideError::Alone) => told_nobody = true,
                Ok(told) => {
                    tracing::debug!(%cid, told, "announced");
                    self.store.announced(cid, SystemTime::now()).await?;
                    self.remember(cid, told);
                }
                Err(ProvideError::Ended) => return Ok(Round::Ended),
                Err(error) => {
                    tracing::debug!(%cid, %error, "cannot announce");
                    told_nobody = true;
                }
            }
        }
        Ok(if told_nobody { Round::NobodyTold } else { Round::Done })
    }

    /// What was never announced, what was so long ago, and what few know of where many could.
    async fn due(&mut self) -> Result<Vec<Cid>, StoreError> {
        let mut due = self.store.announcements().await?;
        let queued: BTreeSet<Cid> = due.iter().copied().collect();
        let mut more = BTreeSet::new();
        // The list may be long, and nothing in it becomes due in a hurry.
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            let now = SystemTime::now();
            let is_old = |cid: &Cid, when| now.duration_since(when).is_ok_and(|since| since >= again_after(cid));
            let times = self.store.announcement_times().await?;
            more.extend(times.into_iter().filter(|(cid, when)| is_old(cid, *when)).map(|(cid, _)| cid));
        }
        if !self.weak.is_empty() {
            let known = self.peers_known().await;
            more.extend(self.weak.iter().filter(|(_, told)| known > **told * 2).map(|(cid, _)| *cid));
        }
        due.extend(more.difference(&queued));
        Ok(due)
    }

    fn remember(&mut self, cid: Cid, told: usize) {
        if told >= ENOUGH {
            self.weak.remove(&cid);
        } else if self.weak.len() < MOST_WEAK || self.weak.contains_key(&cid) {
            self.weak.insert(cid, told);
        }
    }

    async fn peers_known(&self) -> usize {
        match self.network.upgrade() {
            Some(network) => network.peers().await.len(),
            None => 0,
        }
    }

    fn grow_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

enum Round {
    Done,
    Ended,
    NobodyTold,
}

/// Announcements under way at a time.
const AT_A_TIME: usize = 8;
/// Peers that keep a record in a large network; a node that told as many told everybody it should.
const ENOUGH: usize = 20;
/// Of what few know, so much is announced again before its time; the rest waits for it.
const MOST_WEAK: usize = 4096;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
const TOGETHER: Duration = Duration::from_millis(100);

/// The public network's 22 hours, for each root up to two less, so that what was added together is not announced together.
fn again_after(cid: &Cid) -> Duration {
    let spread = cid.hash().digest().last().copied().unwrap_or_default();
    Duration::from_secs(22 * 3600) - Duration::from_secs(2 * 3600) * u32::from(spread) / 255
}
