//! Telling peers again what this node's names stand for: they forget it after two days, and some of them leave sooner.

use std::convert::Infallible;
use std::sync::PoisonError;
use std::time::Duration;

use cidra_content::ipns::{self, Entry, Record};
use tokio::time::sleep;

use super::{PublishError, Publishing, now};
use crate::keys::Key;
use crate::node::Node;

impl Node {
    /// Tells peers of each name whose key and record are here: soon after the start, then every four hours. For a daemon; it
    /// ends when it is dropped.
    pub async fn republish(&self) -> Infallible {
        loop {
            let pause = match self.settings().offline || self.republish_due().await {
                true => LOOK_EVERY,
                false => AGAIN,
            };
            sleep(pause).await;
        }
    }

    /// Whether all were told that had to be.
    async fn republish_due(&self) -> bool {
        let keys = match self.keys().list() {
            Ok(keys) => keys,
            Err(error) => {
                tracing::warn!(%error, "names are not published again");
                return true;
            }
        };
        let mut all = true;
        for key in keys {
            let name = key.name();
            let told = self.names().told.lock().unwrap_or_else(PoisonError::into_inner).get(&name).copied();
            if told.is_some_and(|told| told.elapsed() < EVERY) {
                continue;
            }
            match self.republish_one(&key).await {
                Ok(()) => {}
                Err(PublishError::Alone) => all = false,
                Err(error) => tracing::warn!(%name, %error, "the name is not published again"),
            }
        }
        all
    }

    async fn republish_one(&self, key: &Key) -> Result<(), PublishError> {
        let record = {
            let _publishing = self.names().publishing.lock().await;
            let Some(last) = self.names().kept(&key.name())? else { return Ok(()) };
            let record = self.renewed(key, last)?;
            self.names().keep(&record)?;
            record
        };
        // Nobody who publishes waits for that.
        self.tell(&record).await
    }

    /// The same record with a longer life, unless it has one.
    fn renewed(&self, key: &Key, last: Record) -> Result<Record, PublishError> {
        if last.validity() >= now().later(ipns::LIFETIME) {
            return Ok(last);
        }
        let version_1 = Entry::parse(last.bytes()).is_ok_and(|entry| entry.has_version_1());
        let publishing = Publishing { ttl: last.ttl(), version_1, ..Publishing::of(last.path().to_owned()) };
        self.sign(key, &publishing, last.sequence())
    }
}

/// As Kubo does.
const EVERY: Duration = Duration::from_secs(4 * 3600);
/// How often is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The same when nobody was there to be told.
const AGAIN: Duration = Duration::from_secs(5);
