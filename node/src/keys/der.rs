//! As much of DER as private keys in PKCS #8 have: values with a tag and a length.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// The second optional part of something.
pub(super) const SECOND: u8 = 0xa1;

/// A value of this tag.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..0x80 => out.push(u8::try_from(length).expect("below 128")),
        length => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | u8::try_from(bytes.len()).expect("at most 8"));
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The content of the first value, which has to have this tag, and what comes behind it.
pub(super) fn read(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        length @ 0..0x80 => (usize::from(*length), rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f)).filter(|(bytes, _)| bytes.len() < 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(tag: u8, content: Vec<u8>, long in 0usize..70_000, rest: Vec<u8>) {
            for content in [content, vec![7; long]] {
                let bytes = [value(tag, &content), rest.clone()].concat();

                prop_assert_eq!(read(tag, &bytes), Some((&content[..], &rest[..])));
                prop_assert_eq!(read(!tag, &bytes), None);
            }
        }

        #[test]
        fn any_bytes_are_a_value_or_none(tag: u8, bytes: Vec<u8>) {
            let _ = read(tag, &bytes);
        }
    }
}
