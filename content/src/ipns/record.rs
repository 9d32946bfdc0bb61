//! A record that was proven to be its name's, and which of two is the better.

use std::cmp::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;

use super::entry::Entry;
use super::{Moment, Name, RecordError};

/// A record that the key of its name signed. It was valid when it was verified; that changes with time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    name: Name,
    bytes: Bytes,
    path: String,
    validity: Moment,
    sequence: u64,
    ttl: Duration,
}

/// What is to be checked of a signature.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Who is said to have signed: the protobuf of a public key.
    pub public_key: &'a [u8],
    /// What was signed.
    pub message: &'a [u8],
    /// By what it is to be proven.
    pub signature: &'a [u8],
}

impl Record {
    /// Proves that bytes are a record of this name that is valid now. `check` says whether a signature is good.
    pub fn verify(
        name: &Name,
        bytes: &[u8],
        now: Moment,
        check: impl FnOnce(Claim<'_>) -> bool,
    ) -> Result<Self, RecordError> {
        let record = Self::of(name, &Entry::parse(bytes)?, check)?;
        match record.validity < now {
            true => Err(RecordError::Expired { at: record.validity }),
            false => Ok(record),
        }
    }

    fn of(name: &Name, entry: &Entry, check: impl FnOnce(Claim<'_>) -> bool) -> Result<Self, RecordError> {
        if entry.signature_v2.is_empty() {
            return Err(RecordError::Missing { field: "signature of version 2" });
        }
        let public_key = match (&entry.public_key, name.public_key()) {
            (Some(key), _) if Name::of_public_key(key) == *name => &key[..],
            // A key that is brought though the name holds it, written in another way, says nothing.
            (Some(_), _) => return Err(RecordError::ForeignKey { name: *name }),
            (None, Some(key)) => key,
            (None, None) => return Err(RecordError::NoKey { name: *name }),
        };
        let message = [SIGNED, &entry.data[..]].concat();
        if !check(Claim { public_key, message: &message, signature: &entry.signature_v2 }) {
            return Err(RecordError::Forged { name: *name });
        }
        if entry.has_version_1() {
            agree(entry)?;
        }
        let (validity, sequence, ttl) = (entry.validity()?, entry.sequence()?, entry.ttl()?);
        Ok(Self { name: *name, bytes: entry.bytes.clone(), path: path_of(entry.value()?)?, validity, sequence, ttl })
    }

    /// Whose record it is.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its bytes, as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where it leads: `/ipfs/CID…`, `/ipns/NAME…` or another path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// When it ends.
    pub fn validity(&self) -> Moment {
        self.validity
    }

    /// Which of the records of its name it is.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// For how long it may be believed without asking again.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether it is valid at that moment.
    pub fn is_valid_at(&self, now: Moment) -> bool {
        self.validity >= now
    }

    /// Whether it takes the place of the other record of its name. Of all nodes each chooses the same one.
    pub fn is_better_than(&self, other: &Record) -> bool {
        let rank = |record: &Record| (record.sequence, record.validity);
        match rank(self).cmp(&rank(other)) {
            Ordering::Equal => self.bytes > other.bytes,
            unequal => unequal == Ordering::Greater,
        }
    }
}

/// What stands before the signed data when it is signed, so that no other data of the key passes for a record.
pub(super) const SIGNED: &[u8] = b"ipns-signature:";

/// The fields of version 1 say what the signed data says.
fn agree(entry: &Entry) -> Result<(), RecordError> {
    let copy = &entry.copy;
    let ttl = u64::try_from(entry.ttl()?.as_nanos()).expect("it was read as 64 bits");
    let disagreeing = [
        ("Value", copy.value == entry.value()?),
        ("Validity", copy.validity == entry.validity_text()?),
        ("ValidityType", copy.validity_type == entry.validity_type()?),
        ("Sequence", copy.sequence == entry.sequence()?),
        ("TTL", copy.ttl == ttl),
    ];
    match disagreeing.iter().find(|(_, agrees)| !agrees) {
        Some((field, _)) => Err(RecordError::Contradiction { field }),
        None => Ok(()),
    }
}

/// The path that a value stands for: text, the bytes of a CID, or nothing, which stands for the empty block.
pub(super) fn path_of(value: &[u8]) -> Result<String, RecordError> {
    match value {
        [] => Ok(NOTHING.to_owned()),
        [b'/', ..] => String::from_utf8(value.to_vec()).map_err(|_| RecordError::Value),
        value => Cid::try_from(value).map(|cid| format!("/ipfs/{cid}")).map_err(|_| RecordError::Value),
    }
}

/// The inline CID of no bytes.
const NOTHING: &str = "/ipfs/bafkqaaa";

impl Entry {
    /// Where it says it leads.
    pub fn path(&self) -> Result<String, RecordError> {
        path_of(self.value()?)
    }
}
