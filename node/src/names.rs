//! Names that can change what they stand for: those of keys (IPNS) and those of websites (DNSLink), and where they lead.
//!
//! A record is looked for in this order: what the settings say, what was resolved within its time to live, what this node
//! published or was given, and the peers of the DHT. What is kept and what is believed is decided by `content::ipns`.

mod cache;
mod dnslink;
mod kept;
mod publish;
mod republish;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cidra_content::gateway::host::is_domain;
use cidra_content::ipns::{Moment, Name, Record, RecordError};
use cidra_content::path::{ContentPath, NamePath, PathError, parse_cid};
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use self::cache::Cache;
use self::dnslink::Dns;
use self::kept::Kept;
pub use self::kept::KeptError;
pub use self::publish::{PublishError, Publishing};
use crate::config::DnsServer;
use crate::keys::is_signed;
use crate::node::Node;

/// What a node knows of names.
pub struct Names {
    /// By the settings.
    given: BTreeMap<String, String>,
    dns: Dns,
    kept: Kept,
    cache: Mutex<Cache>,
    /// Held from reading the last record of a name to keeping its next.
    publishing: tokio::sync::Mutex<()>,
    /// When peers were last told of a name.
    told: Mutex<BTreeMap<Name, Instant>>,
}

/// How a name may be resolved.
#[derive(Clone, Debug)]
pub struct Resolving {
    /// Nobody is asked.
    pub offline: bool,
    /// What was resolved lately is asked for again.
    pub no_cache: bool,
    /// How long to look.
    pub timeout: Duration,
    /// How many peers' records are enough.
    pub enough: usize,
}

impl Default for Resolving {
    fn default() -> Self {
        Self { offline: false, no_cache: false, timeout: Duration::from_secs(60), enough: 16 }
    }
}

/// Where a name leads in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `/ipfs/CID…` or `/ipns/NAME…`.
    pub path: String,
    /// For how long that holds, where it is known.
    pub ttl: Option<Duration>,
}

/// Where a name leads at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where, without a name that the path itself began with.
    pub content: ContentPath,
    /// For how long that holds, where it is known.
    pub ttl: Option<Duration>,
}

impl Names {
    /// What the settings and name servers say, and what is kept in a folder, which need not be there.
    pub fn new(given: BTreeMap<String, String>, servers: Vec<DnsServer>, folder: PathBuf) -> Self {
        Self {
            given,
            dns: Dns::new(servers),
            kept: Kept::new(folder),
            cache: Mutex::new(Cache::default()),
            publishing: tokio::sync::Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// Keeps a record, unless a better one of its name is here.
    pub fn keep(&self, record: &Record) -> Result<(), NameError> {
        self.kept.put(record)?;
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).forget(record.name());
        Ok(())
    }

    /// The record of a name that this node published or was given, valid or not.
    pub fn kept(&self, name: &Name) -> Result<Option<Record>, NameError> {
        Ok(self.kept.get(name)?)
    }

    fn cached(&self, name: &Name) -> Option<Record> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(name, now())
    }

    fn remember(&self, record: &Record) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(record.clone(), now());
    }
}

impl Node {
    /// Whether anything is known of the name of a website.
    pub async fn knows_name(&self, name: &str, resolving: &Resolving) -> bool {
        is_domain(name) && self.website(name, resolving).await.is_ok()
    }

    /// Where a path with a name leads, through other names.
    pub async fn resolve_name(&self, path: &NamePath, resolving: &Resolving) -> Result<Named, NameError> {
        let mut here = path.clone();
        let mut ttl: Option<Duration> = None;
        for _ in 0..MAX_STEPS {
            let step = self.step(&here.name, resolving).await?;
            ttl = step.ttl.map(|step| ttl.map_or(step, |ttl| ttl.min(step))).or(ttl);
            let malformed = |source| NameError::Malformed { name: here.name.clone(), source };
            match NamePath::parse(&step.path).map_err(malformed)? {
                Some(next) => here = NamePath { segments: [next.segments, here.segments].concat(), ..next },
                None => {
                    let rest = step.path.strip_prefix("/ipfs/").unwrap_or(&step.path);
                    let (cid, names) = rest.split_once('/').unwrap_or((rest, ""));
                    let malformed = |source| NameError::Malformed { name: here.name.clone(), source };
                    let cid = parse_cid(cid).map_err(malformed)?;
                    let mut content = ContentPath::below(cid, names).map_err(malformed)?;
                    content.segments.append(&mut here.segments);
                    content.filename = path.filename.clone();
                    return Ok(Named { content, ttl });
                }
            }
        }
        Err(NameError::TooLong { name: path.name.clone() })
    }

    /// Where a name leads, which may be to another name.
    pub async fn step(&self, name: &str, resolving: &Resolving) -> Result<Step, NameError> {
        if is_domain(name) {
            return self.website(name, resolving).await;
        }
        if let Some(path) = self.names().given.get(name) {
            return Ok(Step { path: path.clone(), ttl: None });
        }
        if let Ok(key) = Name::parse(name) {
            let record = self.find_record(&key, resolving).await?;
            let left = now().until(record.validity());
            return Ok(Step { path: record.path().to_owned(), ttl: Some(record.ttl().min(left)) });
        }
        Err(NameError::NoName { name: name.to_owned() })
    }

    async fn website(&self, name: &str, resolving: &Resolving) -> Result<Step, NameError> {
        if let Some(path) = self.names().given.get(&name.to_ascii_lowercase()) {
            return Ok(Step { path: path.clone(), ttl: None });
        }
        if resolving.offline || self.settings().offline {
            return Err(NameError::Unknown { name: name.to_owned() });
        }
        let why = || format!("no answer within {} s", resolving.timeout.as_secs());
        let asked = tokio::time::timeout(resolving.timeout, self.names().dns.link(name)).await;
        asked.unwrap_or_else(|_| Err(NameError::Dns { name: name.to_owned(), why: why() }))
    }

    /// The best record of a name that is valid now.
    pub async fn find_record(&self, name: &Name, resolving: &Resolving) -> Result<Record, NameError> {
        if !resolving.no_cache
            && let Some(record) = self.names().cached(name)
        {
            return Ok(record);
        }
        let kept = self.names().kept(name)?.filter(|record| record.is_valid_at(now()));
        let found = match kept {
            Some(kept) if resolving.offline || !resolving.no_cache && self.is_ours(name) => Some(kept),
            kept => self.ask_for_record(name, kept, resolving).await,
        };
        let record = found.ok_or_else(|| NameError::Unknown { name: name.to_string() })?;
        self.names().remember(&record);
        Ok(record)
    }

    /// Whether nobody else is likely to publish this name: its key is here.
    fn is_ours(&self, name: &Name) -> bool {
        self.keys().of_name(name).is_ok_and(|key| key.is_some())
    }

    /// The best of what is here and what peers have.
    async fn ask_for_record(&self, name: &Name, kept: Option<Record>, resolving: &Resolving) -> Option<Record> {
        if resolving.offline {
            return kept;
        }
        let Ok(network) = self.network().await else { return kept };
        let mut values = pin!(network.get_values(name.routing_key()).take(resolving.enough.max(1)));
        let mut best = kept;
        let mut until = Instant::now() + resolving.timeout;
        while let Ok(Some(value)) = timeout_at(until, values.next()).await {
            let Ok(record) = verify(name, &value) else { continue };
            if best.as_ref().is_none_or(|best| record.is_better_than(best)) {
                best = Some(record);
            }
            until = until.min(Instant::now() + MORE);
        }
        best
    }
}

/// How long better records are waited for when there is one: who has none to tell takes the longest to say so.
const MORE: Duration = Duration::from_secs(1);
/// Most names that lead one to the other.
const MAX_STEPS: usize = 32;

/// Proves that bytes are a record of this name that is valid now.
pub fn verify(name: &Name, bytes: &[u8]) -> Result<Record, RecordError> {
    Record::verify(name, bytes, now(), is_signed)
}

/// What the clock says.
pub fn now() -> Moment {
    Moment::after_1970(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// No name server answered, or not as it should.
    #[error("could not resolve name: DNS says nothing of {name:?}: {why}")]
    Dns {
        /// Which.
        name: String,
        /// In words for people.
        why: String,
    },
    /// What is kept cannot be read or written.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// It stands for something else than content.
    #[error("what the name {name:?} stands for is no path of content")]
    Malformed {
        /// Which.
        name: String,
        /// Why.
        source: PathError,
    },
    /// It is the name of nothing.
    #[error("{name:?} is neither the name of a key (IPNS) nor that of a website")]
    NoName {
        /// As it was given.
        name: String,
    },
    /// Names that lead to names, and do not end.
    #[error("the name {name:?} leads through more than {MAX_STEPS} others")]
    TooLong {
        /// The first of them.
        name: String,
    },
    /// Nobody knows it.
    #[error("could not resolve name: nothing is known of {name:?}")]
    Unknown {
        /// Which.
        name: String,
    },
}
