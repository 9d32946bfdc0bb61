//! Leases as their owners hold them: they protect wherever the store is.
//!
//! While it is in this process each is a lease of that store. Once it was handed over, the daemon's store holds one lease for
//! all of this process, for as long as its session lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cid::Cid;

use super::leases::LocalLease;
use super::local::Local;
use super::tenure::Place;
use super::{Store, StoreError};

/// Protects blocks until it is dropped.
#[derive(Debug)]
pub struct Lease {
    id: u64,
    store: Store,
}

impl Lease {
    pub(super) async fn begin(store: Store) -> Lease {
        let id = store.0.begin_lease().await;
        Lease { id, store }
    }

    pub(super) fn listed(store: Store, id: u64) -> Lease {
        Lease { id, store }
    }

    /// Protect `cid` and everything below it that is here or will come.
    pub async fn protect(&self, cid: Cid) -> Result<(), StoreError> {
        let place = self.store.0.place().await?;
        let local = self.store.0.leases.protect(self.id, cid);
        match (&*place, local) {
            (Place::Local(_), Some(local)) => local.protect(cid).await,
            (Place::Local(_), None) => Ok(()),
            (Place::Remote(remote), _) => remote.protect(cid).await,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.store.0.leases.end(self.id);
    }
}

/// All leases that are held by this process.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Mutex<BTreeMap<u64, Held>>,
}

#[derive(Debug)]
struct Held {
    /// None: the store is elsewhere.
    local: Option<Arc<LocalLease>>,
    cids: Vec<Cid>,
}

impl Leases {
    pub(super) fn begin(&self, local: Option<LocalLease>) -> u64 {
        let mut held = self.lock();
        let id = held.last_key_value().map_or(0, |(last, _)| last + 1);
        held.insert(id, Held { local: local.map(Arc::new), cids: Vec::new() });
        id
    }

    fn protect(&self, id: u64, cid: Cid) -> Option<Arc<LocalLease>> {
        let mut held = self.lock();
        let held = held.get_mut(&id)?;
        held.cids.push(cid);
        held.local.clone()
    }

    /// What they were told to protect.
    pub(super) fn cids(&self) -> Vec<Cid> {
        self.lock().values().flat_map(|held| held.cids.iter().copied()).collect()
    }

    /// Let go of the store in this process.
    pub(super) fn let_go(&self) {
        self.lock().values_mut().for_each(|held| held.local = None);
    }

    /// Hold in a store that was opened here again what is put from a generation on.
    pub(super) async fn take_up(&self, local: &Local, since: Option<u32>) {
        let mut protect = Vec::new();
        for held in self.lock().values_mut() {
            let lease = Arc::new(local.lease(since, None));
            protect.extend(held.cids.iter().map(|cid| (lease.clone(), *cid)));
            held.local = Some(lease);
        }
        for (lease, cid) in protect {
            // Fails when its threads have ended, as everything will then.
            let _ = lease.protect(cid).await;
        }
    }

    /// The lease of the store goes under the lock: once `let_go` has it, none is half gone.
    fn end(&self, id: u64) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
