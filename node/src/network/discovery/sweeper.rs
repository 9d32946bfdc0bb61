//! Announces everything again before its records run out, region by region of the key space, as `content::dht::Sweep` says when. Where it
//! is stands in a file, from which it goes on after a restart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cidra_content::dht::{Key, Sweep};
use tokio::sync::watch;

use super::super::config::Strategy;
use super::super::{ProvideError, WeakNetwork};
use super::names::{self, Names};
use super::provide::{self, Swept};
use crate::config::DenyLists;
use crate::store::{Store, StoreError};

/// The sweep, and what is ahead of it.
pub(super) struct Sweeper {
    file: PathBuf,
    strategy: Strategy,
    deny: DenyLists,
    sweep: Sweep,
    ahead: Vec<(Key, Vec<u8>)>,
    /// Whether more lies behind what is ahead than is held.
    is_cut: bool,
    read: Option<Instant>,
    told: watch::Sender<SweepStats>,
}

/// What announcing again came to since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepStats {
    /// How often everything was announced again since this node first ran.
    pub turns: u64,
    /// How much of this turn is done, in thousandths.
    pub done: u64,
    /// Names that were announced.
    pub names: u64,
    /// Look-ups for them, one a region.
    pub regions: u64,
    /// Requests of these look-ups.
    pub requests: u64,
    /// Records that peers took.
    pub records: u64,
    /// When the last region was done, in seconds since 1970.
    pub last: Option<u64>,
}

impl Sweeper {
    pub(super) fn open(
        file: PathBuf,
        (strategy, deny): (Strategy, DenyLists),
        told: watch::Sender<SweepStats>,
    ) -> Self {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let sweep = text.parse().unwrap_or_else(|_| Sweep::new(now()));
        let sweeper = Self { file, strategy, deny, sweep, ahead: vec![], is_cut: false, read: None, told };
        sweeper.tell(None);
        sweeper
    }

    /// Announces what is due; gives for how long nothing is.
    pub(super) async fn step(&mut self, network: &WeakNetwork, store: &Store) -> Result<Duration, SweepError> {
        self.sweep.catch_up(now());
        loop {
            let place = self.sweep.place();
            self.ahead.drain(..self.ahead.partition_point(|(key, _)| key.place() < place));
            if self.ahead.is_empty() && self.is_cut || self.read.is_none_or(|read| read.elapsed() > READ_EVERY) {
                self.ahead = Names::from(place, self.strategy, store).await?;
                self.is_cut = self.ahead.len() == names::MOST;
                let denied = self.deny.current();
                self.ahead.retain(|(_, name)| denied.key(name).is_none());
                self.read = Some(Instant::now());
            }
            let now = now();
            let due = self.ahead.first().map(|(key, _)| self.sweep.when(key.place()));
            if due.is_some_and(|due| due <= now) {
                self.announce_region(network, store).await?;
                continue;
            }
            if !self.sweep.skip_to(now) {
                self.save().await;
                return Ok(due.map_or(LOOK_EVERY, |due| (due - now).min(LOOK_EVERY)));
            }
            self.read = None; // another turn begins, with all names
        }
    }

    async fn announce_region(&mut self, network: &WeakNetwork, store: &Store) -> Result<(), SweepError> {
        let network = network.upgrade().ok_or(ProvideError::Ended)?;
        let swept = provide::sweep(&network, &self.ahead).await?;
        let done: Vec<_> = self.ahead.drain(..swept.keys).collect();
        let last = done.last().filter(|_| self.is_cut && self.ahead.is_empty());
        self.sweep.handle_done(last.map_or(swept.last, |(key, _)| key.place()));
        tracing::debug!(?swept, "announced a region again");
        self.save().await;
        self.tell(Some(swept));
        Ok(names::set_times(store, &done, SystemTime::now()).await?)
    }

    /// Announces these names at once, whatever is due.
    pub(super) async fn announce(&self, network: &WeakNetwork, names: Vec<(Key, Vec<u8>)>) -> Result<(), ProvideError> {
        let mut names = &names[..];
        while !names.is_empty() {
            let network = network.upgrade().ok_or(ProvideError::Ended)?;
            let swept = provide::sweep(&network, names).await?;
            names = &names[swept.keys..];
            self.tell(Some(swept));
        }
        Ok(())
    }

    fn tell(&self, swept: Option<Swept>) {
        self.told.send_modify(|stats| {
            stats.turns = self.sweep.turns();
            stats.done = ((u128::from(self.sweep.place()) * 1000) >> 64) as u64;
            if let Some(swept) = swept {
                stats.names += swept.keys as u64;
                stats.regions += 1;
                stats.requests += u64::from(swept.requests);
                stats.records += swept.records as u64;
                stats.last = Some(now().as_secs());
            }
        });
    }

    /// A crash loses no more than the last region, which is then announced once more.
    async fn save(&self) {
        let (file, text) = (self.file.clone(), self.sweep.to_string());
        let saved = tokio::task::spawn_blocking(move || write(&file, &text)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, file = %self.file.display(), "cannot keep how far announcing has come");
        }
    }
}

/// What is to be announced is looked through so often, as it changes; what is added is announced when it comes.
const READ_EVERY: Duration = Duration::from_secs(3600);
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);

fn write(file: &Path, text: &str) -> io::Result<()> {
    let beside = file.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Why a region is not announced.
#[derive(Debug, thiserror::Error)]
pub(super) enum SweepError {
    #[error(transparent)]
    Provide(#[from] ProvideError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
