//! The protobuf wire format, as much of it as dag-pb and UnixFS have: without copies, and strict about lengths.

/// The fields of a message in their order.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), WireError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|&number| (1..1 << 29).contains(&number));
        let number = number.ok_or(WireError::BadKey { key })?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes were taken"))),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| WireError::Truncated)?)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes were taken"))),
            _ => return Err(WireError::BadKey { key }),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(WireError::VarintOverflow);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::VarintOverflow)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// All varints of a packed field.
pub(crate) fn packed(bytes: &[u8]) -> impl Iterator<Item = Result<u64, WireError>> {
    let mut fields = Fields::new(bytes);
    std::iter::from_fn(move || (!fields.rest.is_empty()).then(|| fields.varint()))
        .scan(false, |failed, number| (!std::mem::replace(failed, number.is_err())).then_some(number))
}

pub(crate) fn put_varint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_raw(out, u64::from(number) << 3);
    put_raw(out, value);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_length(out, number, value.len());
    out.extend_from_slice(value);
}

/// The head of a field with `length` bytes, which the caller writes.
pub(crate) fn put_length(out: &mut Vec<u8>, number: u32, length: usize) {
    put_raw(out, u64::from(number) << 3 | 2);
    put_raw(out, length as u64);
}

pub(crate) fn put_fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    put_raw(out, u64::from(number) << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_raw(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_raw(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Of a field numbered below 16, its key included.
pub(crate) fn bytes_len(length: usize) -> usize {
    varint_len(length as u64) + length
}

/// Of a field numbered below 16, its key included.
pub(crate) fn varint_len(value: u64) -> usize {
    1 + (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Why bytes are no protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field number or wire type that there is not.
    #[error("not a protobuf: key {key:#x}")]
    BadKey {
        /// As it stands there.
        key: u64,
    },
    /// The bytes end within a field.
    #[error("not a protobuf: the bytes end within a field")]
    Truncated,
    /// More than 64 bits.
    #[error("not a protobuf: a number of more than 64 bits")]
    VarintOverflow,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, number in 1u32..16) {
            let mut out = Vec::new();
            put_varint(&mut out, number, value);

            prop_assert_eq!(out.len(), varint_len(value));
            prop_assert_eq!(Fields::new(&out).collect::<Vec<_>>(), [Ok((number, Value::Varint(value)))]);
            prop_assert_eq!(packed(&out[1..]).collect::<Vec<_>>(), [Ok(value)]);
        }

        #[test]
        fn any_bytes_come_to_an_end(bytes: Vec<u8>) {
            prop_assert!(Fields::new(&bytes).count() <= bytes.len());
            prop_assert!(packed(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn takes_the_largest_number_and_refuses_one_bit_more() {
        let largest = [&[0xff; 9][..], &[0x01]].concat();
        let larger = [&[0xff; 9][..], &[0x02]].concat();

        assert_eq!(packed(&largest).collect::<Vec<_>>(), [Ok(u64::MAX)]);
        assert_eq!(packed(&larger).collect::<Vec<_>>(), [Err(WireError::VarintOverflow)]);
        assert_eq!(packed(&[0x80; 11]).collect::<Vec<_>>(), [Err(WireError::VarintOverflow)]);
    }

    #[test]
    fn refuses_what_ends_early_and_keys_that_cannot_be() {
        let first = |bytes: &'static [u8]| Fields::new(bytes).next().expect("there are bytes");

        assert_eq!(first(&[0x0a, 2, 1]), Err(WireError::Truncated));
        assert_eq!(first(&[0x0d, 1, 2, 3]), Err(WireError::Truncated));
        assert_eq!(first(&[0x09, 1]), Err(WireError::Truncated));
        assert_eq!(first(&[0x08]), Err(WireError::Truncated));
        assert_eq!(first(&[0x0b]), Err(WireError::BadKey { key: 0x0b }));
        assert_eq!(first(&[0x02, 0]), Err(WireError::BadKey { key: 2 }));
        assert_eq!(first(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Err(WireError::Truncated));
    }
}
