//! Giving the repository to a daemon that asks for it, and going on as its guest.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Node, NodeError};
use crate::repository::socket_path;
use crate::store::{StoreError, Ticket};

/// What became of a repository that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is held here again: the daemon did not take it.
    Back,
    /// The daemon has it, and this node is its guest.
    Guest,
    /// Nobody has it who could be asked: whatever needs the store fails.
    Lost,
}

impl Node {
    /// Makes all durable and lets go of the store and of the lock. `quiet` ends what only a holder may do, while the lock is
    /// still held.
    ///
    /// Fails, and changes nothing, when this is a daemon, when the repository was handed over before, or when the disk fails.
    pub async fn hand_over(&self, quiet: impl FnOnce()) -> Result<Ticket, NodeError> {
        if self.is_daemon() {
            return Err(NodeError::Daemon);
        }
        let ticket = self.0.store.hand_over().await?;
        quiet();
        self.0.repository.release();
        tracing::info!(repository = %self.repository_path().display(), "handed over to a daemon that starts");
        Ok(ticket)
    }

    /// Finds the daemon that took the repository over. Until that, everything that needs the store waits.
    pub async fn settle(&self, ticket: &Ticket) -> Settled {
        let socket = socket_path(self.repository_path());
        let begun = Instant::now();
        loop {
            let error = match self.0.store.join(&socket, ticket).await {
                Ok(()) => return Settled::Guest,
                Err(error) => error,
            };
            if begun.elapsed() > TAKEN_WITHIN {
                match self.come_back(ticket).await {
                    Ok(true) => return Settled::Back,
                    Ok(false) if begun.elapsed() < OPEN_WITHIN => {}
                    Ok(false) => return self.lose(error.to_string()).await,
                    Err(error) => return self.lose(error.to_string()).await,
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Takes the repository again, where nobody has it.
    async fn come_back(&self, ticket: &Ticket) -> Result<bool, NodeError> {
        let repository = &self.0.repository;
        if !repository.retake()? {
            return Ok(false);
        }
        let opened = self.0.store.come_back(ticket).await;
        if opened.is_err() {
            repository.release();
        }
        opened?;
        tracing::info!(repository = %self.repository_path().display(), "no daemon took it: held here again");
        Ok(true)
    }

    async fn lose(&self, why: String) -> Settled {
        let socket = socket_path(self.repository_path());
        self.0.store.give_up(StoreError::Gone { socket, why }).await;
        Settled::Lost
    }

    /// Keeps what the bearer of this ticket relies on: it handed its repository over to this node, and comes as a guest.
    pub async fn expect_guest(&self, ticket: Ticket) -> Result<(), StoreError> {
        self.0.guests.expect(ticket).await
    }

    /// Whether a daemon took the repository over.
    pub async fn is_guest(&self) -> bool {
        self.0.store.is_handed_over().await
    }
}

/// Whoever asked for a repository takes its lock at once. One that did not is gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// A damaged store takes minutes to open; one that takes longer than this is not waited for.
const OPEN_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);
