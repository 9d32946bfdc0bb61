//! Names of codecs in the multicodec table: those that people give and see in CIDs.

use crate::block::{DAG_PB, RAW};

/// Multicodec of dag-cbor.
pub const DAG_CBOR: u64 = 0x71;
/// Multicodec of dag-json.
pub const DAG_JSON: u64 = 0x0129;
/// Multicodec of plain CBOR, without links.
pub const CBOR: u64 = 0x51;
/// Multicodec of plain JSON, without links.
pub const JSON: u64 = 0x0200;
/// Multicodec of the public key of a peer.
pub const LIBP2P_KEY: u64 = 0x72;

/// The code of a codec's name.
pub fn codec_code(name: &str) -> Option<u64> {
    CODECS.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// The name of a codec, or its number where it has none here.
pub fn codec_name(code: u64) -> String {
    match CODECS.iter().find(|(_, known)| *known == code) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("{code:#x}"),
    }
}

/// The names that can be given, for a message.
pub fn codec_names() -> String {
    CODECS.map(|(name, _)| name).join(", ")
}

/// The part of the table that is used in CIDs.
const CODECS: [(&str, u64); 17] = [
    ("raw", RAW),
    ("dag-pb", DAG_PB),
    ("dag-cbor", DAG_CBOR),
    ("dag-json", DAG_JSON),
    ("dag-jose", 0x85),
    ("dag-cose", 0x86),
    ("cbor", CBOR),
    ("json", JSON),
    ("libp2p-key", LIBP2P_KEY),
    ("git-raw", 0x78),
    ("car", 0x0202),
    ("eth-block", 0x90),
    ("eth-tx", 0x93),
    ("bitcoin-block", 0xb0),
    ("bitcoin-tx", 0xb1),
    ("zcash-block", 0xc0),
    ("swarm-manifest", 0xfa),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_come_back() {
        for (name, code) in CODECS {
            assert_eq!((codec_code(name), codec_name(code).as_str()), (Some(code), name));
        }
        assert_eq!((codec_code("dag-xml"), codec_name(0x99_99).as_str()), (None, "0x9999"));
    }
}
