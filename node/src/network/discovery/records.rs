//! The provider records that this node keeps, its own and those of others.
//!
//! Kademlia wants them at hand, synchronously; they lie in memory, ordered by their distance from this node, so that what a
//! full table gives up first is what others are nearer to. A log on disk, written by a thread of its own, brings them back
//! after a restart. Values (records of names) are kept in memory alone.

mod log;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cidra_content::ipns::Moment;
use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{KBucketKey, ProviderRecord, Record, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use self::log::{Entry, Log};
use super::held::Held;
use crate::config::DenyLists;

/// Provider records with limits, kept across restarts.
pub(in crate::network) struct Records {
    here: PeerId,
    keys: BTreeMap<Distance, Providers>,
    providers: HashMap<PeerId, Provider>,
    records: usize,
    own_addresses: Vec<Multiaddr>,
    deny: DenyLists,
    held: Held,
    log: Option<Log>,
}

/// What separates a key from this node, the most significant byte first.
type Distance = [u8; 32];

/// In the order in which they were last announced, with the end of their validity in seconds since 1970.
type Providers = Vec<(PeerId, u64)>;

#[derive(Default)]
struct Provider {
    addresses: Vec<Multiaddr>,
    /// When they are too old to be told, in seconds since 1970; records outlive them.
    stale: u64,
    records: usize,
}

impl Records {
    /// Reads what the file holds and is still valid, and writes there what comes. Without a file nothing outlives the process.
    pub(in crate::network) fn open(here: PeerId, file: Option<&Path>) -> io::Result<Self> {
        let mut records = Self {
            here,
            keys: BTreeMap::new(),
            providers: HashMap::new(),
            records: 0,
            own_addresses: vec![],
            deny: DenyLists::default(),
            held: Held::default(),
            log: None,
        };
        let Some(file) = file else { return Ok(records) };
        let (log, entries) = Log::open(file, seconds(SystemTime::now()))?;
        for entry in entries {
            let Entry { key, provider, expires, addresses } = entry;
            let _ = records.insert(&key, provider, expires, addresses); // beyond the limits: they were lowered
        }
        records.log = Some(log);
        Ok(records)
    }

    /// What these lists deny is not kept, and not told.
    pub(in crate::network) fn deny(&mut self, lists: DenyLists) {
        self.deny = lists;
    }

    /// Keeps a value that somebody brought, if it is proven and better than the one that is here.
    pub(in crate::network) fn keep_value(&mut self, record: &Record) -> bool {
        self.held.put(self.here, &record.key, &record.value, moment(SystemTime::now()))
    }

    /// Whose table it is.
    pub(in crate::network) fn here(&self) -> PeerId {
        self.here
    }

    /// How many records there are.
    pub(in crate::network) fn len(&self) -> usize {
        self.records
    }

    /// Where a provider was said to be in the last 24 hours.
    pub(in crate::network) fn addresses(&self, provider: &PeerId) -> &[Multiaddr] {
        self.addresses_at(provider, seconds(SystemTime::now()))
    }

    /// Where this node is, for those who ask for its own records.
    pub(in crate::network) fn set_own_addresses(&mut self, addresses: Vec<Multiaddr>) {
        self.own_addresses = addresses;
    }

    fn addresses_at(&self, provider: &PeerId, now: u64) -> &[Multiaddr] {
        match self.providers.get(provider) {
            _ if *provider == self.here => &self.own_addresses,
            Some(provider) if provider.stale > now => &provider.addresses,
            _ => &[],
        }
    }

    /// Forgets what is no longer valid. Takes as long as there are records; called every few minutes.
    pub(in crate::network) fn expire(&mut self, now: SystemTime) {
        self.held.expire(moment(now));
        let now = seconds(now);
        let mut gone = vec![];
        self.keys.retain(|_, providers| {
            providers.retain(|(provider, expires)| {
                let valid = *expires > now;
                if !valid {
                    gone.push(*provider);
                }
                valid
            });
            !providers.is_empty()
        });
        for provider in gone {
            self.forget(&provider);
        }
    }

    fn insert(&mut self, key: &[u8], provider: PeerId, expires: u64, mut addresses: Vec<Multiaddr>) -> Result<()> {
        if key.len() > MAX_KEY {
            return Err(Error::ValueTooLarge);
        }
        addresses.truncate(MAX_ADDRESSES);
        let distance = self.distance(key);
        let held = self.keys.get(&distance).and_then(|held| held.iter().position(|(peer, _)| *peer == provider));
        if held.is_none() {
            self.make_room(&distance, &provider)?;
            self.records += 1;
            self.providers.entry(provider).or_default().records += 1;
        }
        let known = self.providers.get_mut(&provider).expect("counted above or before");
        if !addresses.is_empty() {
            known.addresses = addresses;
            known.stale = expires.saturating_sub((VALIDITY - ADDRESS_VALIDITY).as_secs());
        }
        let providers = self.keys.entry(distance).or_default();
        if let Some(held) = held {
            providers.remove(held);
        }
        providers.push((provider, expires));
        if providers.len() > MAX_PER_KEY {
            let (oldest, _) = providers.remove(0);
            self.forget(&oldest);
        }
        Ok(())
    }

    /// Refuses a provider that has too many records already; gives up the farthest key when there are too many in all.
    fn make_room(&mut self, distance: &Distance, provider: &PeerId) -> Result<()> {
        let limit = if *provider == self.here { MAX_RECORDS } else { MAX_PER_PROVIDER };
        if self.providers.get(provider).is_some_and(|known| known.records >= limit) {
            return Err(Error::MaxProvidedKeys);
        }
        if self.records < MAX_RECORDS {
            return Ok(());
        }
        match self.keys.last_key_value() {
            Some((farthest, _)) if farthest > distance => {
                let (_, providers) = self.keys.pop_last().expect("just looked at");
                providers.iter().for_each(|(provider, _)| self.forget(provider));
                Ok(())
            }
            _ => Err(Error::MaxProvidedKeys),
        }
    }

    fn forget(&mut self, provider: &PeerId) {
        self.records -= 1;
        let known = self.providers.get_mut(provider).expect("it had a record until now");
        known.records -= 1;
        if known.records == 0 {
            self.providers.remove(provider);
        }
    }

    fn distance(&self, key: &[u8]) -> Distance {
        KBucketKey::new(key.to_vec()).distance(&KBucketKey::from(self.here)).0.to_big_endian()
    }
}

/// A multihash of 64 bytes and its head, as go-libp2p has it; a longer key is refused.
const MAX_KEY: usize = 80;
/// Providers of one key; one more takes the place of the one that announced itself the longest ago.
const MAX_PER_KEY: usize = 256;
/// Records of one provider; one more is refused. The whole network shares what a provider announces: who has this many here
/// has a thousand times as many in all, or lies.
const MAX_PER_PROVIDER: usize = 65_536;
/// Records in all, some 40 MB of them; one more takes the place of what is farthest from this node, or is refused as that.
const MAX_RECORDS: usize = 262_144;
/// Addresses kept of a provider; the rest is left out.
const MAX_ADDRESSES: usize = 16;
/// The public network's rule.
pub(in crate::network) const VALIDITY: Duration = Duration::from_secs(48 * 3600);
/// The same for the addresses of providers.
const ADDRESS_VALIDITY: Duration = Duration::from_secs(24 * 3600);

impl RecordStore for Records {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.held.get(self.here, key, moment(SystemTime::now()))
    }

    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    /// A record is valid for 48 hours from now, whatever it says.
    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        if self.deny.current().key(record.key.as_ref()).is_some() {
            return Ok(());
        }
        let expires = seconds(SystemTime::now() + VALIDITY);
        self.insert(record.key.as_ref(), record.provider, expires, record.addresses)?;
        if let Some(log) = &self.log {
            let known = self.providers.get(&record.provider).map(|known| known.addresses.clone());
            let (key, addresses) = (record.key.to_vec(), known.unwrap_or_default());
            log.append(Entry { key, provider: record.provider, expires, addresses });
        }
        Ok(())
    }

    /// The most recent first, but for a random choice where there are more than an answer holds: a crowd is spread.
    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        if self.deny.current().key(key.as_ref()).is_some() {
            return vec![];
        }
        self.providers_at(key, seconds(SystemTime::now()))
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        let distance = self.distance(key.as_ref());
        let Some(held) = self.keys.get_mut(&distance) else { return };
        let Some(place) = held.iter().position(|(peer, _)| peer == provider) else { return };
        held.remove(place);
        if held.is_empty() {
            self.keys.remove(&distance);
        }
        self.forget(provider);
    }
}

impl Records {
    fn providers_at(&self, key: &RecordKey, now: u64) -> Vec<ProviderRecord> {
        let Some(held) = self.keys.get(&self.distance(key.as_ref())) else { return vec![] };
        let mut valid: Vec<_> = held.iter().rev().filter(|(_, expires)| *expires > now).collect();
        if valid.len() > IN_AN_ANSWER {
            for place in 0..IN_AN_ANSWER {
                let other = rand::random_range(place..valid.len());
                valid.swap(place, other);
            }
            valid.truncate(IN_AN_ANSWER);
        }
        let record = |(provider, expires): &(PeerId, u64)| ProviderRecord {
            key: key.clone(),
            provider: *provider,
            expires: Some(Instant::now() + Duration::from_secs(expires - now)),
            addresses: self.told(provider, now),
        };
        valid.into_iter().map(record).collect()
    }

    /// Without an address Kademlia would leave a provider out; its bare name says that it has to be looked for.
    fn told(&self, provider: &PeerId, now: u64) -> Vec<Multiaddr> {
        match self.addresses_at(provider, now) {
            [] => vec![Protocol::P2p(*provider).into()],
            addresses => addresses.to_vec(),
        }
    }
}

/// What the DHT answers with at most.
const IN_AN_ANSWER: usize = libp2p::kad::K_VALUE.get();

fn moment(time: SystemTime) -> Moment {
    Moment::after_1970(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
