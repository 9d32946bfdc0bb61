//! A record as it comes: a protobuf around signed data, believed by nobody yet.

use std::time::Duration;

use bytes::Bytes;

use super::{Moment, RecordError};
use crate::dag_pb::wire::{Fields, Value};
use crate::ipld::{self, DAG_CBOR, Ipld};

/// A record that was read and not verified: good for looking at.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(super) bytes: Bytes,
    pub(super) signature_v1: Bytes,
    pub(super) signature_v2: Bytes,
    pub(super) public_key: Option<Bytes>,
    pub(super) data: Bytes,
    pub(super) copy: Copy,
    fields: Vec<(String, Ipld)>,
}

/// What version 1 of the format says beside the signed data, for readers that know no other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) value: Bytes,
    pub(super) validity_type: u64,
    pub(super) validity: Bytes,
    pub(super) sequence: u64,
    pub(super) ttl: u64,
}

impl Entry {
    /// Reads a record. Whether it is signed, valid and of any name is for [`Record::verify`](super::Record::verify) to say.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLarge { length: bytes.len() });
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let mut entry = Self {
            bytes: bytes.clone(),
            signature_v1: Bytes::new(),
            signature_v2: Bytes::new(),
            public_key: None,
            data: Bytes::new(),
            copy: Copy::default(),
            fields: vec![],
        };
        for field in Fields::new(&bytes) {
            match field? {
                (1, Value::Bytes(value)) => entry.copy.value = bytes.slice_ref(value),
                (2, Value::Bytes(value)) => entry.signature_v1 = bytes.slice_ref(value),
                (3, Value::Varint(value)) => entry.copy.validity_type = value,
                (4, Value::Bytes(value)) => entry.copy.validity = bytes.slice_ref(value),
                (5, Value::Varint(value)) => entry.copy.sequence = value,
                (6, Value::Varint(value)) => entry.copy.ttl = value,
                (7, Value::Bytes(value)) => {
                    entry.public_key = Some(bytes.slice_ref(value)).filter(|key| !key.is_empty())
                }
                (8, Value::Bytes(value)) => entry.signature_v2 = bytes.slice_ref(value),
                (9, Value::Bytes(value)) => entry.data = bytes.slice_ref(value),
                // Of a wrong type or unknown: readers of protobuf leave it out.
                _ => {}
            }
        }
        if entry.data.is_empty() {
            return Err(RecordError::Missing { field: "data" });
        }
        let Ipld::Map(fields) = ipld::decode(DAG_CBOR, &entry.data)? else {
            return Err(RecordError::Missing { field: "data" });
        };
        entry.fields = fields.into_iter().filter(|(name, _)| KNOWN.contains(&name.as_str())).collect();
        Ok(entry)
    }

    /// Its bytes, as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether readers of version 1 can read it, too.
    pub fn has_version_1(&self) -> bool {
        !self.signature_v1.is_empty() || !self.copy.value.is_empty()
    }

    /// What it says it leads to.
    pub fn value(&self) -> Result<&[u8], RecordError> {
        match self.field("Value") {
            Some(Ipld::Bytes(value)) => Ok(value),
            _ => Err(RecordError::Missing { field: "Value" }),
        }
    }

    /// When it ends.
    pub fn validity(&self) -> Result<Moment, RecordError> {
        if self.validity_type()? != END_OF_LIFE {
            return Err(RecordError::Missing { field: "ValidityType" });
        }
        let text = std::str::from_utf8(self.validity_text()?).ok();
        text.and_then(Moment::parse).ok_or(RecordError::Missing { field: "Validity" })
    }

    pub(super) fn validity_text(&self) -> Result<&[u8], RecordError> {
        match self.field("Validity") {
            Some(Ipld::Bytes(validity)) => Ok(validity),
            _ => Err(RecordError::Missing { field: "Validity" }),
        }
    }

    /// What its validity means; all that there is is 0, a moment at which it ends.
    pub fn validity_type(&self) -> Result<u64, RecordError> {
        self.number("ValidityType")
    }

    /// Which of the records of its name it is, later ones having higher numbers.
    pub fn sequence(&self) -> Result<u64, RecordError> {
        self.number("Sequence")
    }

    /// For how long it may be believed without asking again.
    pub fn ttl(&self) -> Result<Duration, RecordError> {
        self.number("TTL").map(Duration::from_nanos)
    }

    /// The field of the signed data, of which none is above 63 bits: others read them as signed.
    fn number(&self, field: &'static str) -> Result<u64, RecordError> {
        match self.field(field) {
            Some(Ipld::Integer(number)) => {
                i64::try_from(*number).ok().and_then(|number| u64::try_from(number).ok()).ok_or(())
            }
            _ => Err(()),
        }
        .map_err(|()| RecordError::Missing { field })
    }

    fn field(&self, name: &str) -> Option<&Ipld> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

/// Longest record in bytes; one byte more is refused.
pub const MAX_RECORD: usize = 10 * 1024;
/// The type of validity that there is.
pub(super) const END_OF_LIFE: u64 = 0;
const KNOWN: [&str; 5] = ["Value", "Validity", "ValidityType", "Sequence", "TTL"];
