//! Those who handed the store over to this process and go on as its guests: what they rely on is kept while they are there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Lease, Store, StoreError, Ticket};

/// The guests of a store that is in this process.
#[derive(Debug)]
pub struct Guests {
    store: Store,
    known: Mutex<BTreeMap<String, Guest>>,
}

#[derive(Debug)]
struct Guest {
    ticket: Ticket,
    lease: Arc<Lease>,
    is_present: bool,
}

impl Guests {
    /// Nobody yet.
    pub fn new(store: Store) -> Guests {
        Guests { store, known: Mutex::default() }
    }

    /// Keep what the bearer of this ticket relies on, for a minute; longer when it comes.
    pub async fn expect(&self, ticket: Ticket) -> Result<(), StoreError> {
        let lease = Arc::new(self.store.lease_for(&ticket, Some(Instant::now() + COMES_WITHIN)).await?);
        self.known().insert(ticket.session.clone(), Guest { ticket, lease, is_present: false });
        Ok(())
    }

    /// The bearer of a ticket came; it is a guest until the presence is dropped. None when its session is not known, or over.
    pub async fn enter(self: &Arc<Self>, session: &str) -> Result<Option<Presence>, StoreError> {
        let Some(ticket) = self.known().get(session).map(|guest| guest.ticket.clone()) else { return Ok(None) };
        let lease = Arc::new(self.store.lease_for(&ticket, None).await?);
        let mut known = self.known();
        let Some(guest) = known.get_mut(session).filter(|guest| !guest.is_present) else { return Ok(None) };
        guest.is_present = true;
        guest.lease = lease;
        Ok(Some(Presence { guests: self.clone(), session: session.to_owned() }))
    }

    /// The lease of a guest that is there.
    pub fn lease(&self, session: &str) -> Option<Arc<Lease>> {
        self.known().get(session).filter(|guest| guest.is_present).map(|guest| guest.lease.clone())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Guest>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who gave the repository up looks for its new holder at once; opening a large store takes seconds.
const COMES_WITHIN: Duration = Duration::from_secs(60);

/// A guest is there as long as this lives.
#[derive(Debug)]
pub struct Presence {
    guests: Arc<Guests>,
    session: String,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.guests.known().remove(&self.session);
    }
}
