//! What cannot be made again from the segments: roots, which DAGs are complete, what is to be announced, and the files that are
//! referred to. A database of its own, changed by the writer thread only.

mod sources;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cid::Cid;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::database::Database;
use super::disk::Disk;
use super::entry::{Key, Reference};
use super::source::Source;

/// Something that protects blocks from collection. Its kind and key name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// What it is there for.
    pub kind: RootKind,
    /// Its name among those of its kind; at most 1,024 bytes.
    pub key: Vec<u8>,
    /// What it protects.
    #[serde(with = "super::wire::cid_text")]
    pub cid: Cid,
    /// Whether it protects everything below as well.
    pub recursive: bool,
    /// A name for people; at most 1,024 bytes.
    pub name: Option<String>,
    /// When it ceases to protect; kept to the second.
    pub expires: Option<SystemTime>,
}

/// What a root is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RootKind {
    /// A pin that a person set.
    Pin,
    /// The root of the files that a person arranges.
    Files,
    /// What a published name points at.
    Name,
    /// A folder that is watched.
    Watch,
    /// Something that is being sent.
    Send,
    /// Something kept on behalf of others.
    KeptForOthers,
    /// Work that is under way.
    Lease,
}

impl RootKind {
    /// Every kind.
    pub const ALL: [RootKind; 7] = [
        RootKind::Pin,
        RootKind::Files,
        RootKind::Name,
        RootKind::Watch,
        RootKind::Send,
        RootKind::KeptForOthers,
        RootKind::Lease,
    ];

    fn code(self) -> u8 {
        match self {
            RootKind::Pin => 1,
            RootKind::Files => 2,
            RootKind::Name => 3,
            RootKind::Watch => 4,
            RootKind::Send => 5,
            RootKind::KeptForOthers => 6,
            RootKind::Lease => 7,
        }
    }
}

impl Root {
    /// Whether its time is over.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The longest key or name that is kept, in bytes.
    pub const NAME_MAX: usize = 1024;

    fn encode(&self) -> Vec<u8> {
        let mut bytes =
            vec![u8::from(self.recursive) | u8::from(self.expires.is_some()) << 1 | u8::from(self.name.is_some()) << 2];
        if let Some(expires) = self.expires {
            bytes.extend_from_slice(&seconds(expires).to_le_bytes());
        }
        let cid = self.cid.to_bytes();
        bytes.push(u8::try_from(cid.len()).expect("a CID has at most 104 bytes"));
        bytes.extend_from_slice(&cid);
        bytes.extend_from_slice(self.name.as_deref().unwrap_or_default().as_bytes());
        bytes
    }

    fn decode(kind: RootKind, key: &[u8], bytes: &[u8]) -> Option<Root> {
        let (&flags, mut rest) = bytes.split_first()?;
        let mut expires = None;
        if flags & 2 != 0 {
            let (seconds, behind) = rest.split_first_chunk()?;
            expires = Some(time(u64::from_le_bytes(*seconds)));
            rest = behind;
        }
        let (&length, rest) = rest.split_first()?;
        let (cid, name) = rest.split_at_checked(length.into())?;
        let name = (flags & 4 != 0).then(|| String::from_utf8(name.to_vec())).transpose().ok()?;
        Some(Root { kind, key: key.to_vec(), cid: Cid::try_from(cid).ok()?, recursive: flags & 1 != 0, name, expires })
    }
}

/// A change of this database.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(Vec<Root>),
    Remove(RootKind, Vec<u8>),
    /// Set a root where one of its kind and key names this CID, or, with none, where there is no such root.
    Replace(Option<Cid>, Root),
    Complete(Cid),
    /// No DAG is known to be complete any more: blocks went away.
    Incomplete,
    /// Of these DAGs it is not known any more.
    Forget(Vec<Cid>),
    Queue(Cid),
    Announced(Cid, SystemTime),
    /// Neither announce nor re-announce it.
    Unannounce(Cid),
    /// Remove roots whose time is over.
    Expire(SystemTime),
    /// What is known of a file that is referred to; `None`: nothing any more.
    Source(u32, Option<Source>),
    /// Blocks that are read out of files which stand in for a copy.
    References(Vec<(Key, Reference)>),
}

/// The database of roots.
#[derive(Debug)]
pub(super) struct Roots {
    database: Database,
}

impl Roots {
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Roots, redb::Error> {
        let database = Database::open(disk, NAME, CACHE)?;
        let roots = Roots { database };
        if roots.database.read(|transaction| Ok(transaction.open_table(sources::REFERENCES).is_err()))? {
            roots.make_tables()?;
        }
        Ok(roots)
    }

    /// The roots of a new store; the name of their file is the caller's to sync.
    pub(super) fn make(disk: Arc<dyn Disk>) -> Result<Roots, redb::Error> {
        let roots = Roots { database: Database::make(disk, NAME, CACHE)? };
        roots.make_tables()?;
        roots.database.finish()?;
        Ok(roots)
    }

    /// Later reads find every table.
    fn make_tables(&self) -> Result<(), redb::Error> {
        self.database.write(|transaction| {
            transaction.open_table(ROOTS)?;
            transaction.open_table(COMPLETE)?;
            transaction.open_table(QUEUE)?;
            transaction.open_table(ANNOUNCED)?;
            sources::make_tables(transaction)
        })
    }

    /// Make changes in one transaction; says for each whether something was there before.
    pub(super) fn change(&self, changes: &[Change]) -> Result<Vec<bool>, redb::Error> {
        self.database.write(|transaction| changes.iter().map(|change| apply(transaction, change)).collect())
    }

    pub(super) fn root(&self, kind: RootKind, key: &[u8]) -> Result<Option<Root>, redb::Error> {
        self.database.read(|transaction| {
            let value = transaction.open_table(ROOTS)?.get((kind.code(), key))?;
            Ok(value.and_then(|value| Root::decode(kind, key, value.value())))
        })
    }

    pub(super) fn roots(&self, kind: RootKind) -> Result<Vec<Root>, redb::Error> {
        self.database.read(|transaction| {
            let table = transaction.open_table(ROOTS)?;
            let mut roots = Vec::new();
            for root in table.range((kind.code(), &[][..])..(kind.code() + 1, &[][..]))? {
                let (key, value) = root?;
                let (_, key) = key.value();
                match Root::decode(kind, key, value.value()) {
                    Some(root) => roots.push(root),
                    None => tracing::error!(?kind, ?key, "a root cannot be read"),
                }
            }
            Ok(roots)
        })
    }

    pub(super) fn is_complete(&self, cid: &Cid) -> Result<bool, redb::Error> {
        self.database.read(|transaction| Ok(transaction.open_table(COMPLETE)?.get(&*whole(cid))?.is_some()))
    }

    /// At most `most` DAGs that are known to be complete, from behind `after` on.
    pub(super) fn complete(&self, after: Option<Cid>, most: usize) -> Result<Vec<Cid>, redb::Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = after.map(|cid| whole(&cid));
        self.database.read(|transaction| {
            let table = transaction.open_table(COMPLETE)?;
            let from = after.as_deref().map_or(Unbounded, Excluded);
            let mut listed = Vec::new();
            for key in table.range::<&[u8]>((from, Unbounded))?.take(most) {
                listed.extend(Cid::try_from(key?.0.value()));
            }
            Ok(listed)
        })
    }

    /// What is to be announced, in the order in which it was queued.
    pub(super) fn announcements(&self) -> Result<Vec<Cid>, redb::Error> {
        let mut queued = self.database.read(|transaction| pairs(&transaction.open_table(QUEUE)?))?;
        queued.sort_unstable_by_key(|(_, turn)| *turn);
        Ok(queued.into_iter().map(|(cid, _)| cid).collect())
    }

    /// What was announced, and when it was the last time.
    pub(super) fn announced(&self) -> Result<Vec<(Cid, SystemTime)>, redb::Error> {
        let announced = self.database.read(|transaction| pairs(&transaction.open_table(ANNOUNCED)?))?;
        Ok(announced.into_iter().map(|(cid, when)| (cid, time(when))).collect())
    }

    pub(super) fn close(&self) {
        self.database.close();
    }

    pub(super) fn name(&self) -> &'static str {
        self.database.name()
    }
}

/// The file of the roots.
pub(super) const NAME: &str = "roots.redb";
/// It is small and seldom read.
const CACHE: usize = 1024 * 1024;

const ROOTS: TableDefinition<'_, (u8, &[u8]), &[u8]> = TableDefinition::new("roots");
const COMPLETE: TableDefinition<'_, &[u8], ()> = TableDefinition::new("complete");
/// CID and turn.
const QUEUE: TableDefinition<'_, &[u8], u64> = TableDefinition::new("announcements");
/// CID and seconds of Unix time.
const ANNOUNCED: TableDefinition<'_, &[u8], u64> = TableDefinition::new("announced");

fn apply(transaction: &WriteTransaction, change: &Change) -> Result<bool, redb::Error> {
    Ok(match change {
        Change::Set(roots) => {
            let mut table = transaction.open_table(ROOTS)?;
            let mut there = false;
            for root in roots {
                there |= table.insert((root.kind.code(), &*root.key), &*root.encode())?.is_some();
            }
            there
        }
        Change::Replace(was, root) => {
            let mut table = transaction.open_table(ROOTS)?;
            let key = (root.kind.code(), &*root.key);
            let there = table.get(key)?.and_then(|value| Root::decode(root.kind, &root.key, value.value()));
            let fits = there.map(|there| there.cid) == *was;
            if fits {
                table.insert(key, &*root.encode())?;
            }
            fits
        }
        Change::Remove(kind, key) => transaction.open_table(ROOTS)?.remove((kind.code(), &**key))?.is_some(),
        Change::Complete(cid) => transaction.open_table(COMPLETE)?.insert(&*whole(cid), ())?.is_some(),
        Change::Incomplete => transaction.open_table(COMPLETE)?.retain(|_, ()| false).map(|()| true)?,
        Change::Forget(cids) => {
            let mut table = transaction.open_table(COMPLETE)?;
            let mut there = false;
            for cid in cids {
                there |= table.remove(&*whole(cid))?.is_some();
            }
            there
        }
        Change::Queue(cid) => {
            let mut queue = transaction.open_table(QUEUE)?;
            if queue.get(&*cid.to_bytes())?.is_some() {
                return Ok(true);
            }
            let last = pairs(&queue)?.into_iter().map(|(_, turn)| turn).max();
            queue.insert(&*cid.to_bytes(), last.map_or(0, |last| last + 1))?;
            false
        }
        Change::Announced(cid, when) => {
            transaction.open_table(ANNOUNCED)?.insert(&*cid.to_bytes(), seconds(*when))?;
            transaction.open_table(QUEUE)?.remove(&*cid.to_bytes())?.is_some()
        }
        Change::Unannounce(cid) => {
            let announced = transaction.open_table(ANNOUNCED)?.remove(&*cid.to_bytes())?.is_some();
            transaction.open_table(QUEUE)?.remove(&*cid.to_bytes())?.is_some() | announced
        }
        Change::Source(number, source) => sources::set(transaction, *number, source.as_ref())?,
        Change::References(references) => sources::refer(transaction, references).map(|()| false)?,
        Change::Expire(now) => {
            let mut table = transaction.open_table(ROOTS)?;
            let before = redb::ReadableTableMetadata::len(&table)?;
            // Any kind does for reading the expiry.
            table.retain(|(_, key), value| {
                Root::decode(RootKind::Lease, key, value).is_none_or(|root| !root.is_expired(*now))
            })?;
            redb::ReadableTableMetadata::len(&table)? < before
        }
    })
}

fn pairs(table: &impl ReadableTable<&'static [u8], u64>) -> Result<Vec<(Cid, u64)>, redb::Error> {
    let mut pairs = Vec::new();
    for pair in table.iter()? {
        let (cid, number) = pair?;
        pairs.extend(Cid::try_from(cid.value()).map(|cid| (cid, number.value())));
    }
    Ok(pairs)
}

/// Version 0 and version 1 of a CID name the same DAG.
fn whole(cid: &Cid) -> Vec<u8> {
    Cid::new_v1(cid.codec(), *cid.hash()).to_bytes()
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_root_reads_back_as_it_was_written(
            key: Vec<u8>, digest: [u8; 32], recursive: bool, name: Option<String>, expires in prop::option::of(0..1u64 << 40),
        ) {
            let cid = Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0x12, &digest).unwrap());
            let root = Root { kind: RootKind::Watch, key, cid, recursive, name, expires: expires.map(time) };
            prop_assert_eq!(Root::decode(RootKind::Watch, &root.key, &root.encode()), Some(root));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Root::decode(RootKind::Pin, b"key", &bytes);
        }
    }
}
