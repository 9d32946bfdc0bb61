//! Making records of names whose keys are here.

use std::sync::PoisonError;
use std::time::Duration;

use cidra_content::ipns::{self, Draft, MAX_SEQUENCE, Moment, Record, RecordError};
use libp2p::identity::SigningError;
use tokio::time::{Instant, timeout};

use super::{NameError, Resolving, now, verify};
use crate::keys::Key;
use crate::node::{Node, NodeError};

/// What is to be published.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// Where the name is to lead: `/ipfs/CID…` or `/ipns/NAME…`.
    pub value: String,
    /// For how long the record is valid.
    pub lifetime: Duration,
    /// For how long others may believe it unasked.
    pub ttl: Duration,
    /// The number of the record, which has to be higher than that of the last.
    pub sequence: Option<u64>,
    /// Whether old readers are to read it.
    pub version_1: bool,
    /// It is enough when it is kept here.
    pub allow_offline: bool,
}

impl Publishing {
    /// As it is where nobody says otherwise.
    pub fn of(value: String) -> Self {
        Self { value, lifetime: ipns::LIFETIME, ttl: ipns::TTL, sequence: None, version_1: true, allow_offline: false }
    }
}

impl Node {
    /// Lets a name lead somewhere. The record is kept here, and told to the peers that are asked for it.
    pub async fn publish(&self, key: &Key, publishing: &Publishing) -> Result<Record, PublishError> {
        if self.settings().offline && !publishing.allow_offline {
            return Err(PublishError::Offline);
        }
        let _publishing = self.names().publishing.lock().await;
        let name = key.name();
        let last = match self.names().kept(&name)? {
            Some(last) => Some(last),
            // The key may have been used elsewhere before.
            None => {
                let offline = publishing.allow_offline && self.running_network().is_none();
                let resolving = Resolving { offline, timeout: LAST_KNOWN, no_cache: true, ..Resolving::default() };
                self.ask_for_record(&name, None, &resolving).await
            }
        };
        let sequence = next(last.as_ref(), publishing, now())?;
        let record = self.sign(key, publishing, sequence)?;
        self.publish_record(&record, publishing.allow_offline).await?;
        Ok(record)
    }

    /// Keeps a record that somebody made, and tells it to the peers that are asked for it.
    pub async fn publish_record(&self, record: &Record, allow_offline: bool) -> Result<(), PublishError> {
        if self.settings().offline && !allow_offline {
            return Err(PublishError::Offline);
        }
        self.names().keep(record)?;
        match (allow_offline, self.running_network()) {
            (false, _) => self.tell(record).await,
            // Whoever comes later is told by the daemon.
            (true, Some(_)) => {
                let _ = timeout(IN_PASSING, self.tell(record)).await; // it is kept, and that is enough
                Ok(())
            }
            (true, None) => Ok(()),
        }
    }

    /// Tells a record to the peers that are asked for it.
    pub(super) async fn tell(&self, record: &Record) -> Result<(), PublishError> {
        let network = self.network().await.map_err(|error| PublishError::Network(Box::new(error)))?;
        match network.put_value(record.name().routing_key(), record.bytes().clone()).await {
            0 => Err(PublishError::Alone),
            _ => {
                self.names().told.lock().unwrap_or_else(PoisonError::into_inner).insert(*record.name(), Instant::now());
                Ok(())
            }
        }
    }

    /// Makes a record and looks whether it is sound.
    pub(super) fn sign(&self, key: &Key, publishing: &Publishing, sequence: u64) -> Result<Record, PublishError> {
        let draft = Draft {
            value: publishing.value.clone(),
            validity: now().later(publishing.lifetime),
            sequence,
            ttl: publishing.ttl.min(publishing.lifetime),
            version_1: publishing.version_1,
        };
        let public_key = key.keypair.public().encode_protobuf();
        let bytes = draft.sign(&public_key, |message| key.keypair.sign(message).map_err(PublishError::Signing))?;
        Ok(verify(&key.name(), &bytes)?)
    }
}

/// For finding out what a key was used for before, where this node does not know.
const LAST_KNOWN: Duration = Duration::from_secs(5);
/// For telling peers what is kept in any case.
const IN_PASSING: Duration = Duration::from_secs(2);

/// The number of the next record. One that says what the last said has the same, unless it would be the worse by ending sooner.
fn next(last: Option<&Record>, publishing: &Publishing, now: Moment) -> Result<u64, PublishError> {
    let validity = now.later(publishing.lifetime);
    match (last, publishing.sequence) {
        (None, None) => Ok(0),
        (None, Some(sequence)) if (1..=MAX_SEQUENCE).contains(&sequence) => Ok(sequence),
        (Some(last), Some(sequence)) if (last.sequence() + 1..=MAX_SEQUENCE).contains(&sequence) => Ok(sequence),
        (Some(last), None) if last.path() == publishing.value && last.validity() < validity => Ok(last.sequence()),
        (Some(last), None) if last.sequence() < MAX_SEQUENCE => Ok(last.sequence() + 1),
        (last, _) => Err(PublishError::Sequence { last: last.map(Record::sequence) }),
    }
}

/// Why a name was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It is kept here, and nobody else knows it.
    #[error(
        "the record is kept here and nobody else has it: no peer took it; a running daemon tells it again, and --allow-offline makes this no failure"
    )]
    Alone,
    /// What is known of the name cannot be read, or the new record not be written.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The network does not start.
    #[error(transparent)]
    Network(Box<NodeError>),
    /// There is no network, and nobody said that this is no matter.
    #[error("can't publish while offline: pass `--allow-offline` to override")]
    Offline,
    /// It is no sound record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The number is taken.
    #[error("sequence number must be greater than that of the last record ({}), and at most {MAX_SEQUENCE}", last.map_or_else(|| "none, which counts as 0".to_owned(), |last| last.to_string()))]
    Sequence {
        /// Of the last record.
        last: Option<u64>,
    },
    /// The key signs nothing.
    #[error("the key cannot sign")]
    Signing(#[source] SigningError),
}
