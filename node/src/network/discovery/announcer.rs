//! Announces what the store lists: new roots within a second, as far as the peers that keep their records are found so soon; all
//! else in a sweep before its records run out.
//!
//! A node that was among few when it announced something announces it again when it knows more peers: those who would be
//! asked for the record may not have been there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cid::Cid;
use cidra_content::dht::Key;
use futures::StreamExt;
use futures::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::super::config::Strategy;
use super::super::{ProvideError, WeakNetwork};
use super::names::Names;
use super::provide::{Told, provide};
use super::sweeper::{SweepError, SweepStats, Sweeper};
use crate::config::DenyLists;
use crate::store::{Store, StoreError};

/// The task that announces; it ends when this is dropped, or with the network.
pub(in crate::network) struct Announcer(tokio::task::AbortHandle);

impl Announcer {
    pub(in crate::network) fn spawn(
        network: WeakNetwork,
        store: Store,
        (strategy, deny): (Strategy, DenyLists),
        file: PathBuf,
        told: watch::Sender<SweepStats>,
    ) -> Self {
        let sweeper = Sweeper::open(file, (strategy, deny.clone()), told);
        let state = State { network, store, strategy, deny, sweeper, pause: FIRST_PAUSE, weak: BTreeMap::new() };
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
    strategy: Strategy,
    deny: DenyLists,
    sweeper: Sweeper,
    pause: Duration,
    /// What this process told to few peers, and to how many.
    weak: BTreeMap<Cid, usize>,
}

impl State {
    async fn run(mut self) {
        loop {
            let next = match self.round().await {
                Ok(Round::Done(wait)) => {
                    self.pause = FIRST_PAUSE;
                    wait
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
        let queued = self.announce_queued().await?;
        if !matches!(queued, Round::Done(_)) {
            return Ok(queued);
        }
        match self.sweeper.step(&self.network, &self.store).await {
            Ok(wait) => Ok(Round::Done(wait)),
            Err(SweepError::Provide(ProvideError::Ended)) => Ok(Round::Ended),
            Err(SweepError::Provide(error)) => {
                tracing::debug!(%error, "cannot announce a region again");
                Ok(Round::NobodyTold)
            }
            Err(SweepError::Store(error)) => Err(error),
        }
    }

    async fn announce_queued(&mut self) -> Result<Round, StoreError> {
        let due = self.due().await?;
        let network = self.network.clone();
        let announce = |cid: Cid| {
            let network = network.clone();
            async move {
                let Some(network) = network.upgrade() else { return (cid, Err(ProvideError::Ended)) };
                (cid, provide(&network, &cid, Some(FIRST)).await)
            }
        };
        let mut results = stream::iter(due).map(announce).buffer_unordered(AT_A_TIME);
        let mut told_nobody = false;
        let mut again = vec![];
        while let Some((cid, result)) = results.next().await {
            match result {
                Ok(Told { peers: 0, .. }) | Err(ProvideError::Alone) => told_nobody = true,
                Ok(told) => {
                    tracing::debug!(%cid, ?told, "announced");
                    self.store.announced(cid, SystemTime::now()).await?;
                    self.remember(cid, told.peers);
                    if self.strategy != Strategy::Roots {
                        again.extend(Names::below(cid, &self.store).await?);
                    } else if !told.is_whole {
                        let name = cid.hash().to_bytes();
                        again.push((Key::of(&name), name));
                    }
                }
                Err(ProvideError::Ended) => return Ok(Round::Ended),
                Err(error) => {
                    tracing::debug!(%cid, %error, "cannot announce");
                    told_nobody = true;
                }
            }
        }
        drop(results);
        again.sort();
        again.dedup();
        // Those who were told in the first second are many enough to begin with: what is missed here comes with the sweep.
        match self.sweeper.announce(&self.network, again).await {
            Err(ProvideError::Ended) => Ok(Round::Ended),
            Err(_) => Ok(Round::NobodyTold),
            Ok(()) if told_nobody => Ok(Round::NobodyTold),
            Ok(()) => Ok(Round::Done(LOOK_EVERY)),
        }
    }

    /// What was never announced, and what few know of where many could.
    async fn due(&mut self) -> Result<Vec<Cid>, StoreError> {
        let mut due = self.store.announcements().await?;
        if !self.weak.is_empty() {
            let queued: BTreeSet<Cid> = due.iter().copied().collect();
            let known = self.peers_known().await;
            let weak = self.weak.iter().filter(|(cid, told)| known > **told * 2 && !queued.contains(cid));
            due.extend(weak.map(|(cid, _)| *cid));
        }
        let denied = self.deny.current();
        due.retain(|cid| denied.block(cid).is_none());
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
    /// For so long.
    Done(Duration),
    Ended,
    NobodyTold,
}

/// A new root is told to those that are found by then, and to the others afterwards: peers that do not answer cost several seconds.
const FIRST: Duration = Duration::from_secs(1);
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
