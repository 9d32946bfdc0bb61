//! Deleting what nobody protects, while everybody goes on.
//!
//! First all is marked that roots and leases lead to (`cidra_content::garbage`). Then, before anything goes, those DAGs are no
//! longer called complete that were not marked. Then what was not marked is taken out of the index in small commits. What is
//! put, looked for or protected meanwhile is spared: what is put is known by its generation, the others by [`Spared`]; a root
//! that comes while it deletes is marked before it deletes anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cid::Cid;
use cid::multihash::Multihash;
use cidra_content::garbage::{Marking, Question};
use tokio::sync::OwnedMutexGuard;

use super::command::{Command, Swept};
use super::entry::{Entry, Key, Place};
use super::local::Local;
use super::roots::{Change, RootKind};
use super::spared::Spared;
use super::tenure;
use super::{PUT_OVERHEAD, Store, StoreError};

/// A collection. It works while [`next`](Self::next) is awaited; dropped, it ends, and what it deleted stays deleted.
#[derive(Debug)]
pub struct Collection {
    store: Store,
    /// As of this tenure of the store.
    tenure: u32,
    /// What is put in it or later stays.
    generation: u32,
    spared: Sparing,
    marking: Marking,
    phase: Phase,
    extent: Extent,
    /// Bytes of what is not marked, by segment.
    garbage: BTreeMap<u32, u64>,
    /// The segments to delete from; none: all.
    chosen: Option<BTreeSet<u32>>,
    /// Not marked when they were looked at.
    unmarked: Vec<Key>,
    collected: Collected,
    used: u64,
    _turn: OwnedMutexGuard<()>,
}

/// How much a collection deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that nobody protects.
    All,
    /// What was written first of it, until the store takes no more than so many bytes of disk space.
    DownTo(u64),
}

/// How far a collection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many blocks were found to be protected.
    Marked(u64),
    /// These are deleted for good.
    Removed(Vec<Multihash<64>>),
}

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blocks that are protected.
    pub marked: u64,
    /// Blocks that were deleted.
    pub removed: u64,
    /// Protected blocks of which it is not known what they lead to.
    pub unreadable: u64,
    /// Bytes of disk space that came back.
    pub freed: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    Mark {
        then: Box<Phase>,
    },
    /// DAGs up to this one are still complete or no longer called so.
    Forget(Option<Cid>),
    /// Blocks up to this one are weighed.
    Weigh(Option<Key>),
    /// Blocks up to this one are looked at.
    Sweep(Option<Key>),
    GiveBack {
        left: Option<Vec<u32>>,
    },
    Done,
}

/// Has the store spare what a collection must leave alone, until it is dropped.
#[derive(Debug)]
struct Sparing(Arc<Spared>, u64);

impl Drop for Sparing {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Collection {
    pub(super) async fn begin(
        store: Store,
        extent: Extent,
        turn: OwnedMutexGuard<()>,
    ) -> Result<Collection, StoreError> {
        let place = store.0.place().await?;
        let tenure::Place::Local(local) = &*place else { return Err(elsewhere(&store)) };
        let shared = local.shared();
        // In this order: whoever is protected before this is among the roots below, whoever is later is heard of.
        let number = shared.spared.begin();
        let spared = Sparing(shared.spared.clone(), number);
        let generation = shared.begin_generation();
        let mut marking = Marking::new(rand::random());
        for kind in RootKind::ALL {
            for root in local.roots(kind).await? {
                marking.protect(root.cid, root.recursive);
            }
        }
        let used = local.read(|shared| shared.used()).await?;
        let tenure = store.0.number();
        drop(place);
        Ok(Collection {
            store,
            tenure,
            generation,
            spared,
            marking,
            phase: Phase::Mark {
                then: Box::new(match extent {
                    Extent::All => Phase::Forget(None),
                    Extent::DownTo(_) => Phase::Weigh(None),
                }),
            },
            extent,
            garbage: BTreeMap::new(),
            chosen: None,
            unmarked: Vec::new(),
            collected: Collected::default(),
            used,
            _turn: turn,
        })
    }

    /// Go on; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Step>, StoreError> {
        loop {
            let store = self.store.clone();
            let place = store.0.place().await?;
            let tenure::Place::Local(local) = &*place else { return Err(elsewhere(&store)) };
            if self.tenure != store.0.number() {
                return Err(elsewhere(&store));
            }
            let step = match self.phase.clone() {
                Phase::Mark { then } => match self.marking.poll() {
                    Some(question) => Some(self.answer(local, question).await?),
                    None => {
                        let late = self.spared.0.take_protected();
                        if late.is_empty() {
                            self.phase = *then;
                        }
                        self.protect(late);
                        None
                    }
                },
                Phase::Forget(after) => {
                    self.phase = self.forget(local, after).await?;
                    None
                }
                Phase::Weigh(after) => {
                    self.phase = self.weigh(local, after).await?;
                    None
                }
                Phase::Sweep(after) => self.sweep(local, after).await?,
                Phase::GiveBack { left } => {
                    self.phase = self.give_back(local, left).await?;
                    None
                }
                Phase::Done => return Ok(None),
            };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    /// Run to the end.
    pub async fn finish(mut self) -> Result<Collected, StoreError> {
        while self.next().await?.is_some() {}
        Ok(self.collected())
    }

    /// What it did so far.
    pub fn collected(&self) -> Collected {
        Collected { marked: self.marking.marked(), unreadable: self.marking.unreadable(), ..self.collected }
    }

    fn protect(&mut self, roots: Vec<(Cid, bool)>) {
        roots.into_iter().for_each(|(root, recursive)| self.marking.protect(root, recursive));
    }

    async fn answer(&mut self, local: &Local, question: Question) -> Result<Step, StoreError> {
        match question {
            Question::Here(cids) => self.marking.handle_here(local.read(move |shared| shared.here(cids)).await?),
            Question::Links(cids) => {
                for links in local.read(move |shared| shared.links(&cids)).await? {
                    match links {
                        Some(links) => self.marking.handle_links(&links),
                        None => self.marking.handle_unreadable(),
                    }
                }
            }
        }
        Ok(Step::Marked(self.marking.marked()))
    }

    /// A DAG that was not marked is not called complete any more: it may lose a block.
    async fn forget(&mut self, local: &Local, after: Option<Cid>) -> Result<Phase, StoreError> {
        let complete = local.read(move |shared| shared.complete(after, PAGE)).await?;
        let Some(last) = complete.last().copied() else { return Ok(Phase::Sweep(None)) };
        let lost: Vec<Cid> = complete.into_iter().filter(|cid| !self.marking.covers(cid)).collect();
        if !lost.is_empty() {
            local.change(vec![Change::Forget(lost)]).await?;
        }
        Ok(Phase::Forget(Some(last)))
    }

    /// Segment by segment, so that others go on.
    async fn give_back(&mut self, local: &Local, left: Option<Vec<u32>>) -> Result<Phase, StoreError> {
        let Some(mut left) = left else { return Ok(Phase::GiveBack { left: Some(local.wasteful().await?) }) };
        if let Some(segment) = left.pop() {
            match local.tidy(segment).await {
                // Copies need room; what was made a hole before has given some.
                Err(StoreError::Full { .. }) => {}
                done => done?,
            }
            return Ok(Phase::GiveBack { left: Some(left) });
        }
        local.write(PUT_OVERHEAD, |reply| Command::Settle { reply }).await?;
        self.collected.freed = self.used.saturating_sub(local.read(|shared| shared.used()).await?);
        Ok(Phase::Done)
    }

    /// How much could be deleted where, and of which segments it is: the numbers of segments grow as they are written.
    async fn weigh(&mut self, local: &Local, after: Option<Key>) -> Result<Phase, StoreError> {
        let page = local.read(move |shared| shared.page(after.as_ref(), PAGE)).await?;
        for (key, entry) in &page {
            if let Place::Record(location) = entry.place
                && entry.generation < self.generation
                && !is_marked(&self.marking, key)
            {
                *self.garbage.entry(location.segment).or_default() += u64::from(location.length);
            }
        }
        if let Some((last, _)) = page.last() {
            return Ok(Phase::Weigh(Some(last.clone())));
        }
        let Extent::DownTo(target) = self.extent else { unreachable!("only this extent is weighed") };
        let young = self.store.0.options.young;
        let young = local.read(move |shared| Ok(shared.young(young))).await?;
        let mut left = self.used;
        let garbage = std::mem::take(&mut self.garbage);
        let oldest = garbage.into_iter().filter(|(segment, _)| !young.contains(segment)).take_while(|(_, bytes)| {
            let goes = left > target;
            left = left.saturating_sub(*bytes);
            goes
        });
        self.chosen = Some(oldest.map(|(segment, _)| segment).collect());
        Ok(if self.chosen.as_ref().is_some_and(BTreeSet::is_empty) { Phase::Done } else { Phase::Forget(None) })
    }

    async fn sweep(&mut self, local: &Local, after: Option<Key>) -> Result<Option<Step>, StoreError> {
        let mut ended = false;
        if self.unmarked.len() < SWEPT {
            let from = after.clone();
            let page = local.read(move |shared| shared.page(from.as_ref(), PAGE)).await?;
            ended = page.is_empty();
            if let Some((last, _)) = page.last() {
                self.phase = Phase::Sweep(Some(last.clone()));
            }
            let is_chosen = |entry: &Entry| match (&self.chosen, entry.place) {
                (None, _) => true,
                (Some(chosen), Place::Record(location)) => chosen.contains(&location.segment),
                (Some(_), Place::Reference(_)) => false,
            };
            let garbage = page.into_iter().filter(|(_, entry)| entry.generation < self.generation && is_chosen(entry));
            self.unmarked.extend(garbage.map(|(key, _)| key).filter(|key| !is_marked(&self.marking, key)));
            if !ended && self.unmarked.len() < SWEPT {
                return Ok(None);
            }
        }
        if ended && self.unmarked.is_empty() {
            self.phase = Phase::GiveBack { left: None };
            return Ok(None);
        }
        let few = self.unmarked.len().min(SWEPT);
        // Marked since, perhaps.
        let keys: Vec<Key> = self.unmarked.drain(..few).filter(|key| !is_marked(&self.marking, key)).collect();
        let (sent, collection, generation) = (keys.clone(), self.spared.1, self.generation);
        let cost = keys.len() * PUT_OVERHEAD;
        match local.write(cost, |reply| Command::Sweep { collection, keys: sent, generation, reply }).await? {
            Swept::Mark(roots) => {
                self.protect(roots);
                self.unmarked.extend(keys);
                self.phase = Phase::Mark { then: Box::new(self.phase.clone()) };
                Ok(None)
            }
            Swept::Removed(removed) => {
                self.collected.removed += removed.len() as u64;
                let removed = removed.iter().filter_map(|key| Multihash::from_bytes(&key.0).ok());
                Ok(Some(Step::Removed(removed.collect())))
            }
        }
    }
}

fn is_marked(marking: &Marking, key: &Key) -> bool {
    // What cannot be read as a multihash is not ours to delete.
    Multihash::from_bytes(&key.0).map_or(true, |hash| marking.is_marked(&hash))
}

fn elsewhere(store: &Store) -> StoreError {
    StoreError::Elsewhere { folder: store.0.folder.clone() }
}

/// Blocks that are looked at together.
const PAGE: usize = 4096;
/// Blocks that are taken out of the index in one commit: some tens of milliseconds, during which nothing is put.
const SWEPT: usize = 2048;
