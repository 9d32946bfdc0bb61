//! A record that is to be signed.

use std::time::Duration;

use bytes::Bytes;

use super::entry::{END_OF_LIFE, MAX_RECORD};
use super::record::SIGNED;
use super::{Moment, Name, RecordError};
use crate::dag_pb::wire::{put_bytes, put_varint};
use crate::ipld::{self, DAG_CBOR, Ipld};

/// What a record is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where it leads: `/ipfs/CID…` or `/ipns/NAME…`.
    pub value: String,
    /// When it ends.
    pub validity: Moment,
    /// Which of the records of its name it is; at most [`MAX_SEQUENCE`].
    pub sequence: u64,
    /// For how long it may be believed without asking again.
    pub ttl: Duration,
    /// Whether readers of version 1 are to read it, too.
    pub version_1: bool,
}

impl Draft {
    /// Makes the record. `public_key` is a protobuf, and `sign` signs with the key that belongs to it.
    pub fn sign<E: From<RecordError>>(
        &self,
        public_key: &[u8],
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Bytes, E> {
        let validity = self.validity.to_string().into_bytes();
        let ttl = u64::try_from(self.ttl.as_nanos()).unwrap_or(MAX_SEQUENCE).min(MAX_SEQUENCE);
        let sequence = self.sequence.min(MAX_SEQUENCE);
        let data = Ipld::Map(
            [
                ("Value", Ipld::Bytes(self.value.clone().into_bytes())),
                ("Validity", Ipld::Bytes(validity.clone())),
                ("ValidityType", Ipld::Integer(i128::from(END_OF_LIFE))),
                ("Sequence", Ipld::Integer(i128::from(sequence))),
                ("TTL", Ipld::Integer(i128::from(ttl))),
            ]
            .map(|(field, value)| (field.to_owned(), value))
            .into(),
        );
        let data = ipld::encode(DAG_CBOR, &data).map_err(RecordError::from)?;
        let mut out = Vec::new();
        if self.version_1 {
            put_bytes(&mut out, 1, self.value.as_bytes());
            put_bytes(&mut out, 2, &sign(&[self.value.as_bytes(), &validity, VALIDITY_TYPE].concat())?);
            put_varint(&mut out, 3, END_OF_LIFE);
            put_bytes(&mut out, 4, &validity);
            put_varint(&mut out, 5, sequence);
            put_varint(&mut out, 6, ttl);
        }
        if Name::of_public_key(public_key).public_key().is_none() {
            put_bytes(&mut out, 7, public_key);
        }
        put_bytes(&mut out, 8, &sign(&[SIGNED, &data].concat())?);
        put_bytes(&mut out, 9, &data);
        match out.len() > MAX_RECORD {
            true => Err(RecordError::TooLarge { length: out.len() }.into()),
            false => Ok(out.into()),
        }
    }
}

/// Highest number of a record: others read it as signed.
pub const MAX_SEQUENCE: u64 = i64::MAX as u64;
/// How version 1 signs the type of validity.
const VALIDITY_TYPE: &[u8] = b"EOL";
