//! Who holds the store: this process, then another one that asked for it, and every call goes on without knowing.
//!
//! To hand over is to commit and to let go of every file. Then the store is away, and calls wait, until it is known where it
//! went: to the daemon that asked for it, or back here when that one never came.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, RwLock, RwLockReadGuard, watch};

use super::lease::Leases;
use super::limit::Limit;
use super::local::Local;
use super::part_file::PartFiles;
use super::remote::Remote;
use super::wire::{CidText, cids, texts};
use super::{Lease, OpenError, Options, Store, StoreError};

/// The store, wherever it is.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) folder: PathBuf,
    pub(super) options: Options,
    state: RwLock<State>,
    /// How often it changed.
    number: watch::Sender<u32>,
    pub(super) leases: Leases,
    /// Whose turn it is to collect.
    pub(super) collecting: Arc<Mutex<()>>,
    pub(super) limit: Limit,
    pub(super) part_files: PartFiles,
}

#[derive(Debug)]
enum State {
    At(Place),
    /// Handed over, and not found again yet.
    Away,
    /// For good.
    Over(StoreError),
}

/// Where the store is.
#[derive(Debug)]
pub(super) enum Place {
    Local(Local),
    Remote(Remote),
}

/// Has the store do something, wherever it is. It stays there until that is done.
macro_rules! at {
    ($self:ident, $store:ident => $call:expr) => {{
        let place = $self.0.place().await?;
        match &*place {
            Place::Local($store) => $call.await,
            Place::Remote($store) => $call.await,
        }
    }};
}
pub(super) use at;

/// What whoever takes the store over must know of whoever gave it up, so that it keeps what that one relies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub(super) session: String,
    since: Option<u32>,
    protected: Vec<CidText>,
}

impl Tenure {
    pub(super) fn new(folder: PathBuf, options: Options, local: Local) -> Tenure {
        let state = RwLock::new(State::At(Place::Local(local)));
        Tenure {
            folder,
            options,
            state,
            number: watch::Sender::new(0),
            leases: Leases::default(),
            collecting: Arc::default(),
            limit: Limit::default(),
            part_files: PartFiles::default(),
        }
    }

    /// Where the store is; waits while it is away.
    pub(super) async fn place(&self) -> Result<RwLockReadGuard<'_, Place>, StoreError> {
        loop {
            let mut number = self.number.subscribe();
            let state = self.state.read().await;
            let at = RwLockReadGuard::try_map(state, |state| match state {
                State::At(place) => Some(place),
                State::Away | State::Over(_) => None,
            });
            match at {
                Ok(place) => return Ok(place),
                Err(state) => {
                    if let State::Over(error) = &*state {
                        return Err(error.clone());
                    }
                }
            }
            number.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }

    pub(super) async fn is_away(&self) -> bool {
        matches!(*self.state.read().await, State::Away)
    }

    /// Another one after every change.
    pub(super) fn number(&self) -> u32 {
        *self.number.borrow()
    }

    /// List a lease, held by the store while it is here.
    pub(super) async fn begin_lease(&self) -> u64 {
        match &*self.state.read().await {
            State::At(Place::Local(local)) => self.leases.begin(Some(local.lease(None, None))),
            State::At(Place::Remote(_)) | State::Away | State::Over(_) => self.leases.begin(None),
        }
    }

    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let mut state = self.state.write().await;
        let left = std::mem::replace(&mut *state, State::Over(StoreError::Closed));
        self.leases.let_go();
        self.number.send_modify(|number| *number += 1);
        match left {
            State::At(Place::Local(local)) => local.close().await,
            State::At(Place::Remote(remote)) => {
                if let Err(error) = remote.commit().await {
                    // Whatever was acknowledged waited for a commit of its own.
                    tracing::info!(%error, "what was put last may not be kept");
                }
                Ok(())
            }
            State::Away | State::Over(_) => Ok(()),
        }
    }

    /// Where the store went; nowhere, when it was closed meanwhile.
    async fn arrive(&self, at: State) {
        let mut state = self.state.write().await;
        if let State::Away = *state {
            *state = at;
        }
        self.number.send_modify(|number| *number += 1);
    }
}

impl Store {
    /// Commit, and let go of all files: when it returns, another process may open the store. Calls wait from here on until
    /// [`join`](Self::join), [`come_back`](Self::come_back) or [`give_up`](Self::give_up) ends that.
    ///
    /// Fails, and changes nothing, when it cannot be committed or is not here.
    pub async fn hand_over(&self) -> Result<Ticket, StoreError> {
        let tenure = &*self.0;
        let mut state = tenure.state.write().await;
        let local = match std::mem::replace(&mut *state, State::Away) {
            State::At(Place::Local(local)) => local,
            other => {
                *state = other;
                return Err(StoreError::NotHeld);
            }
        };
        if let Err(error) = local.commit().await {
            *state = State::At(Place::Local(local));
            return Err(error);
        }
        let since = local.leased_since();
        let ticket = Ticket {
            session: format!("{:032x}", rand::random::<u128>()),
            since,
            protected: texts(&tenure.leases.cids()),
        };
        tenure.leases.let_go();
        tenure.number.send_modify(|number| *number += 1);
        if let Err(error) = local.close().await {
            // All that was put is durable; the end of a lease may not be, which its expiry makes good.
            tracing::warn!(%error, "closing the store for its next holder");
        }
        Ok(ticket)
    }

    /// Go on as the guest of the daemon that serves `socket`, which knows of the ticket. Fails when none does yet.
    pub async fn join(&self, socket: &Path, ticket: &Ticket) -> Result<(), JoinError> {
        let joined = Remote::join(socket.to_owned(), ticket.session.clone()).await;
        let remote = joined.map_err(|lost| JoinError { socket: socket.to_owned(), why: lost.to_string() })?;
        self.0.arrive(State::At(Place::Remote(remote))).await;
        Ok(())
    }

    /// Open the store here again; the caller holds the repository's lock again.
    pub async fn come_back(&self, ticket: &Ticket) -> Result<(), OpenError> {
        let (folder, options) = (self.0.folder.clone(), self.0.options.clone());
        let opened = tokio::task::spawn_blocking(move || Local::open(&folder, &options)).await;
        let local = opened.map_err(|panic| OpenError::of(&self.0.folder, "", std::io::Error::other(panic)))??;
        self.0.leases.take_up(&local, ticket.since).await;
        self.0.arrive(State::At(Place::Local(local))).await;
        Ok(())
    }

    /// Fail every call from here on: nobody took the store over, and it cannot be opened here.
    pub async fn give_up(&self, error: StoreError) {
        self.0.arrive(State::Over(error)).await;
    }

    /// Whether another process holds it.
    pub async fn is_handed_over(&self) -> bool {
        !matches!(*self.0.state.read().await, State::At(Place::Local(_)))
    }

    /// Hold for the bearer of the ticket what its leases held; until then, unless it comes.
    pub(super) async fn lease_for(&self, ticket: &Ticket, until: Option<Instant>) -> Result<Lease, StoreError> {
        let place = self.0.place().await?;
        let Place::Local(local) = &*place else { return Err(StoreError::NotHeld) };
        let id = self.0.leases.begin(Some(local.lease(ticket.since, until)));
        drop(place);
        let lease = Lease::listed(self.clone(), id);
        for cid in cids(ticket.protected.clone()) {
            lease.protect(cid).await?;
        }
        Ok(lease)
    }
}

/// Nobody who knows of the ticket serves the socket.
#[derive(Debug, thiserror::Error)]
#[error("nobody took over at {}: {why}", socket.display())]
pub struct JoinError {
    socket: PathBuf,
    why: String,
}
