//! The leases of the store in this process: what somebody is writing or relies on is not collected.
//!
//! A lease protects everything that is put while it is held (put again, too), and what it is told to protect. The latter is
//! kept as roots with an expiry, so that a download that was killed is still there for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use cid::Cid;

use super::command::Command;
use super::roots::{Root, RootKind};
use super::{Shared, StoreError};

/// Protects blocks until it is dropped.
#[derive(Debug)]
pub(super) struct LocalLease {
    id: u64,
    shared: Arc<Shared>,
}

impl LocalLease {
    /// Protect what is put from here on, and what was put since a generation; nothing any more once `until` has come.
    pub(super) fn begin(shared: Arc<Shared>, since: Option<u32>, until: Option<Instant>) -> LocalLease {
        let id = shared.leases.begin(&shared, since, until);
        LocalLease { id, shared }
    }

    /// Protect `cid` and everything below it that is here or will come.
    pub(super) async fn protect(&self, cid: Cid) -> Result<(), StoreError> {
        let root = self.shared.leases.protect(self.id, cid);
        self.shared.spared.protect(cid, true);
        self.shared.writes.push(Command::Lease(root), 0).await.map_err(|_| StoreError::Closed)
    }
}

impl Drop for LocalLease {
    fn drop(&mut self) {
        if let Some(held) = self.shared.leases.lock().remove(&self.id) {
            let keys = held.cids.iter().map(|cid| key(self.id, cid)).collect();
            // With the store closed they expire.
            let _ = self.shared.writes.push_unbounded(Command::EndLease(keys));
        }
    }
}

/// All leases that are held.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Mutex<BTreeMap<u64, Held>>,
}

#[derive(Debug)]
struct Held {
    /// Begun with it: what was put in it or later is protected.
    generation: u32,
    cids: Vec<Cid>,
    /// Over then, for a guest that never came.
    until: Option<Instant>,
}

impl Held {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Leases {
    fn begin(&self, shared: &Shared, since: Option<u32>, until: Option<Instant>) -> u64 {
        let mut held = self.lock();
        // Under the lock: a generation must not be over before its lease is listed.
        let generation = shared.begin_generation();
        let generation = since.map_or(generation, |since| since.min(generation));
        let id = rand::random();
        held.insert(id, Held { generation, cids: Vec::new(), until });
        id
    }

    fn protect(&self, id: u64, cid: Cid) -> Root {
        if let Some(held) = self.lock().get_mut(&id) {
            held.cids.push(cid);
        }
        root(id, cid)
    }

    /// The generation of the oldest lease.
    pub(super) fn oldest(&self) -> Option<u32> {
        let now = Instant::now();
        self.lock().values().filter(|held| !held.is_over(now)).map(|held| held.generation).min()
    }

    /// Roots of all leases, good for another while.
    pub(super) fn roots(&self) -> Vec<Root> {
        let now = Instant::now();
        let held = self.lock();
        let held = held.iter().filter(|(_, held)| !held.is_over(now));
        held.flat_map(|(id, held)| held.cids.iter().map(|cid| root(*id, *cid))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn root(id: u64, cid: Cid) -> Root {
    let expires = Some(SystemTime::now() + LEASE);
    Root { kind: RootKind::Lease, key: key(id, &cid), cid, recursive: true, name: None, expires }
}

fn key(id: u64, cid: &Cid) -> Vec<u8> {
    [&id.to_be_bytes()[..], &cid.to_bytes()].concat()
}

/// How long what a killed process protected stays protected.
const LEASE: Duration = Duration::from_secs(3600);
/// Leases that are held are extended so often.
pub(super) const RENEWAL: Duration = Duration::from_secs(600);
