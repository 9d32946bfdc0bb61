//! Many sha2-256 digests at once.

use std::cmp::Reverse;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// Messages of like length go through the vector unit together, for a lane waits for the longest; one that stands alone
/// goes through `sha2`, which is as fast or faster for one.
pub(super) fn sha256_many(messages: &[&[u8]]) -> Vec<[u8; 32]> {
    if messages.len() < 2 || !vectors_agree() {
        return messages.iter().map(|message| Sha256::digest(message).into()).collect();
    }
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(|&index| Reverse(messages[index].len()));

    let mut digests = vec![[0; 32]; messages.len()];
    let mut rest = &order[..];
    while let Some(&longest) = rest.first() {
        let alike = rest.iter().take_while(|&&index| messages[index].len() * 2 >= messages[longest].len()).count();
        let (group, others) = rest.split_at(alike);
        rest = others;
        if let [single] = group {
            digests[*single] = Sha256::digest(messages[*single]).into();
            continue;
        }
        let batch: Vec<&[u8]> = group.iter().map(|&index| messages[index]).collect();
        let mut found = vec![[0; 32]; batch.len()];
        tape_sha256::hash_many(&batch, &mut found);
        for (&index, digest) in group.iter().zip(found) {
            digests[index] = digest;
        }
    }
    digests
}

/// Whether hashing many at once is to be trusted and worth it on this CPU; found out once, in about a millisecond.
fn vectors_agree() -> bool {
    static AGREE: OnceLock<bool> = OnceLock::new();
    *AGREE.get_or_init(|| tape_sha256::lane_width() > 1 && agrees_with_sha2(tape_sha256::hash_many))
}

/// Ragged and equal lengths about the edges of a hash block, twice the widest vector, against `sha2`.
fn agrees_with_sha2(hash_many: impl Fn(&[&[u8]], &mut [[u8; 32]])) -> bool {
    let bytes: Vec<u8> = (0..4096u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let ragged = (0..70).map(|index| &bytes[index..index + [0, 1, 55, 56, 63, 64, 65, 119, 120, 700][index % 10]]);
    let equal = (0..70).map(|index| &bytes[index..index + 1500]);
    let same = |messages: Vec<&[u8]>| {
        let mut digests = vec![[0; 32]; messages.len()];
        hash_many(&messages, &mut digests);
        messages.iter().zip(digests).all(|(message, digest)| Sha256::digest(message)[..] == digest)
    };
    same(ragged.collect()) && same(equal.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_vector_unit_is_found_out() {
        assert!(agrees_with_sha2(tape_sha256::hash_many));
        assert!(!agrees_with_sha2(|messages, digests| {
            tape_sha256::hash_many(messages, digests);
            digests[messages.len() - 1][31] ^= 1;
        }));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    fn every_back_end_of_this_cpu_agrees_with_sha2() {
        use std::arch::is_x86_feature_detected;
        use tape_sha256::backends;

        assert!(agrees_with_sha2(|messages, digests| backends::serial_slices(&[], messages, digests)));
        assert!(agrees_with_sha2(|messages, digests| backends::portable8_slices(&[], messages, digests)));
        if is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1") {
            // SAFETY: the CPU has what this one needs.
            assert!(agrees_with_sha2(|messages, digests| unsafe { backends::shani_x4_slices(&[], messages, digests) }));
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            assert!(agrees_with_sha2(|messages, digests| unsafe { backends::avx2_8_slices(&[], messages, digests) }));
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: as above.
            assert!(agrees_with_sha2(|messages, digests| unsafe {
                backends::avx512_16_slices(&[], messages, digests)
            }));
            // SAFETY: as above.
            assert!(agrees_with_sha2(|messages, digests| unsafe {
                backends::avx512_16x2_slices(&[], messages, digests)
            }));
        }
    }

    #[test]
    #[cfg(target_arch = "aarch64")]
    #[allow(unsafe_code)]
    fn every_back_end_of_this_cpu_agrees_with_sha2() {
        use tape_sha256::backends;

        assert!(agrees_with_sha2(|messages, digests| backends::serial_slices(&[], messages, digests)));
        assert!(agrees_with_sha2(|messages, digests| backends::portable8_slices(&[], messages, digests)));
        assert!(agrees_with_sha2(|messages, digests| backends::neon4_slices(&[], messages, digests)));
        if std::arch::is_aarch64_feature_detected!("sha2") {
            // SAFETY: the CPU has what this one needs.
            assert!(agrees_with_sha2(|messages, digests| unsafe {
                backends::neon_sha2x4_slices(&[], messages, digests)
            }));
        }
    }
}
