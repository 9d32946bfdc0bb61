//! A private key in the two forms that others read: libp2p's protobuf, and PKCS #8 in PEM.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use data_encoding::BASE64;
use libp2p::identity::{DecodingError, KeyType, Keypair};
use prost::Message as _;

use super::der;

/// A private key. What it says of itself on a log does not tell it.
#[derive(Clone)]
pub struct Secret {
    keypair: Keypair,
    protobuf: Vec<u8>,
}

/// A kind of keys that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Small and fast; the name holds the whole key.
    Ed25519,
    /// With so many bits: 2048, 3072, 4096 or 8192.
    Rsa(u32),
    /// As Bitcoin has them.
    Secp256k1,
}

/// As libp2p writes a private key.
#[derive(Clone, PartialEq, prost::Message)]
struct Protobuf {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", required, tag = "2")]
    data: Vec<u8>,
}

const RSA: i32 = 0;
const ED25519: i32 = 1;
const SECP256K1: i32 = 2;

impl Secret {
    /// Makes a key. One of RSA takes seconds.
    pub fn generate(kind: KeyKind) -> Result<Self, SecretError> {
        let keypair = match kind {
            KeyKind::Ed25519 => Keypair::generate_ed25519(),
            KeyKind::Secp256k1 => Keypair::generate_secp256k1(),
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    8192 => KeySize::Rsa8192,
                    bits => return Err(SecretError::Size { bits }),
                };
                let pair = RsaPair::generate(size).map_err(|_| SecretError::Failed)?;
                let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| SecretError::Failed)?;
                return Self::from_pkcs8(pkcs8.as_ref());
            }
        };
        let protobuf = keypair.to_protobuf_encoding().map_err(SecretError::Key)?;
        Ok(Self { keypair, protobuf })
    }

    /// Reads libp2p's protobuf.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, SecretError> {
        if bytes.len() > MAX_SECRET {
            return Err(SecretError::TooLong);
        }
        let keypair = Keypair::from_protobuf_encoding(bytes).map_err(SecretError::Key)?;
        Ok(Self { keypair, protobuf: bytes.to_vec() })
    }

    /// As libp2p's protobuf.
    pub fn to_protobuf(&self) -> &[u8] {
        &self.protobuf
    }

    /// Reads a PEM file as `openssl genpkey` writes it.
    pub fn from_pem(text: &str) -> Result<Self, SecretError> {
        if text.len() > 2 * MAX_SECRET {
            return Err(SecretError::TooLong);
        }
        let (_, rest) = text.split_once(PEM_BEGIN).ok_or(SecretError::NoPem)?;
        let (body, _) = rest.split_once(PEM_END).ok_or(SecretError::NoPem)?;
        let body: String = body.split_ascii_whitespace().collect();
        Self::from_pkcs8(&BASE64.decode(body.as_bytes()).map_err(|_| SecretError::NoPem)?)
    }

    /// As a PEM file.
    pub fn to_pem(&self) -> Result<String, SecretError> {
        let encoded = BASE64.encode(&self.to_pkcs8()?);
        let lines = encoded.as_bytes().chunks(PEM_LINE).map(|line| std::str::from_utf8(line).expect("base64 is ASCII"));
        Ok(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", lines.collect::<Vec<_>>().join("\n")))
    }

    fn from_pkcs8(bytes: &[u8]) -> Result<Self, SecretError> {
        let (kind, data) = from_pkcs8(bytes).ok_or(SecretError::NoPkcs8)?;
        Self::from_protobuf(&Protobuf { kind, data }.encode_to_vec())
    }

    fn to_pkcs8(&self) -> Result<Vec<u8>, SecretError> {
        let Protobuf { kind, data } = Protobuf::decode(&self.protobuf[..]).map_err(|_| SecretError::Failed)?;
        let (algorithm, key) = match kind {
            // The seed, and behind it the public key.
            ED25519 if data.len() >= 32 => (algorithm(OID_ED25519, &[]), der::value(der::OCTETS, &data[..32])),
            RSA => (algorithm(OID_RSA, &der::value(der::NULL, &[])), data),
            SECP256K1 => {
                let public = self.keypair.public().try_into_secp256k1().map_err(|_| SecretError::Failed)?;
                let public = [&[0], &public.to_bytes_uncompressed()[..]].concat();
                let parts = [
                    der::value(der::INTEGER, &[1]),
                    der::value(der::OCTETS, &data),
                    der::value(der::SECOND, &der::value(der::BIT_STRING, &public)),
                ];
                let curve = der::value(der::OBJECT, OID_SECP256K1);
                (algorithm(OID_EC, &curve), der::value(der::SEQUENCE, &parts.concat()))
            }
            _ => return Err(SecretError::NoForm { kind: self.keypair.key_type() }),
        };
        let parts = [der::value(der::INTEGER, &[0]), algorithm, der::value(der::OCTETS, &key)];
        Ok(der::value(der::SEQUENCE, &parts.concat()))
    }

    /// What kind of key it is.
    pub fn key_type(&self) -> KeyType {
        self.keypair.key_type()
    }

    /// The pair of keys.
    pub fn into_keypair(self) -> Keypair {
        self.keypair
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({:?})", self.key_type())
    }
}

fn algorithm(object: &[u8], parameters: &[u8]) -> Vec<u8> {
    der::value(der::SEQUENCE, &[&der::value(der::OBJECT, object), parameters].concat())
}

/// The kind of key and its data, as libp2p has them.
fn from_pkcs8(bytes: &[u8]) -> Option<(i32, Vec<u8>)> {
    let (whole, _) = der::read(der::SEQUENCE, bytes)?;
    let (_version, rest) = der::read(der::INTEGER, whole)?;
    let (algorithm, rest) = der::read(der::SEQUENCE, rest)?;
    let (object, parameters) = der::read(der::OBJECT, algorithm)?;
    let (key, _) = der::read(der::OCTETS, rest)?;
    match object {
        OID_RSA => Some((RSA, key.to_vec())),
        OID_ED25519 => {
            let (seed, _) = der::read(der::OCTETS, key)?;
            let pair = Keypair::ed25519_from_bytes(seed.to_vec()).ok()?;
            Some((ED25519, pair.try_into_ed25519().ok()?.to_bytes().to_vec()))
        }
        OID_EC => {
            let (curve, _) = der::read(der::OBJECT, parameters)?;
            let (inner, _) = der::read(der::SEQUENCE, key).filter(|_| curve == OID_SECP256K1)?;
            let (_version, rest) = der::read(der::INTEGER, inner)?;
            let (scalar, _) = der::read(der::OCTETS, rest)?;
            // Leading zeros may be left out.
            let padded = [&vec![0; 32usize.checked_sub(scalar.len())?], scalar].concat();
            Some((SECP256K1, padded))
        }
        _ => None,
    }
}

/// 1.3.101.112
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 1.2.840.113549.1.1.1
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.132.0.10
const OID_SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// Characters in a line.
const PEM_LINE: usize = 64;
/// Longest private key in bytes: one of RSA with 8,192 bits has some 4,700.
pub(crate) const MAX_SECRET: usize = 16 * 1024;

/// Why there is no private key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It could not be made.
    #[error("the key could not be made")]
    Failed,
    /// Its bytes are no key.
    #[error("it is no private key in libp2p's form")]
    Key(#[source] DecodingError),
    /// PKCS #8 is not written for this kind.
    #[error("keys of kind {kind:?} are not written as PKCS #8: export it as libp2p-protobuf-cleartext")]
    NoForm {
        /// Which.
        kind: KeyType,
    },
    /// It is no PEM file of a private key.
    #[error("it is no PEM file with a PRIVATE KEY that is not encrypted")]
    NoPem,
    /// It is no PKCS #8, or of a kind that is not known here.
    #[error("it is no private key of RSA, Ed25519 or secp256k1 in PKCS #8")]
    NoPkcs8,
    /// RSA keys have other sizes.
    #[error("no RSA key has {bits} bits here: choose 2048, 3072, 4096 or 8192")]
    Size {
        /// What was asked for.
        bits: u32,
    },
    /// No key is so long.
    #[error("it is longer than any private key")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_all_kinds() -> Vec<Secret> {
        let kinds = [KeyKind::Ed25519, KeyKind::Rsa(2048), KeyKind::Secp256k1];
        kinds.into_iter().map(|kind| Secret::generate(kind).unwrap()).collect()
    }

    #[test]
    fn a_key_of_any_kind_comes_back_from_both_forms() {
        for secret in of_all_kinds() {
            let kind = secret.key_type();
            let of_protobuf = Secret::from_protobuf(secret.to_protobuf()).unwrap();
            let pem = secret.to_pem().unwrap();
            let of_pem = Secret::from_pem(&pem).unwrap();

            assert_eq!(of_protobuf.keypair.public(), secret.keypair.public(), "{kind:?}");
            assert_eq!(of_pem.to_protobuf(), secret.to_protobuf(), "{kind:?}");
            assert_eq!(of_pem.to_pem().unwrap(), pem, "{kind:?}");
            let signature = of_pem.keypair.sign(b"message").unwrap();
            assert!(secret.keypair.public().verify(b"message", &signature), "{kind:?}");
        }
    }

    #[test]
    fn reads_what_openssl_writes() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIBERERERERERERERERERERERERERERERERERERERERER\n\
            -----END PRIVATE KEY-----\n";

        let secret = Secret::from_pem(pem).unwrap();

        let expected = Keypair::ed25519_from_bytes([0x11; 32]).unwrap();
        assert_eq!(secret.keypair.public(), expected.public());
        assert_eq!(secret.to_pem().unwrap(), pem);
    }

    #[test]
    fn what_is_no_key_is_told() {
        assert!(matches!(Secret::from_pem("soup"), Err(SecretError::NoPem)));
        assert!(matches!(Secret::from_pem(&format!("{PEM_BEGIN}\n!\n{PEM_END}")), Err(SecretError::NoPem)));
        assert!(matches!(Secret::from_pem(&format!("{PEM_BEGIN}\nAAAA\n{PEM_END}")), Err(SecretError::NoPkcs8)));
        assert!(matches!(Secret::from_protobuf(b"soup"), Err(SecretError::Key(_))));
        assert!(matches!(Secret::from_protobuf(&vec![0; MAX_SECRET + 1]), Err(SecretError::TooLong)));
        assert!(matches!(Secret::generate(KeyKind::Rsa(1024)), Err(SecretError::Size { bits: 1024 })));
        let ecdsa = Keypair::generate_ecdsa().to_protobuf_encoding().unwrap();
        assert!(matches!(Secret::from_protobuf(&ecdsa).unwrap().to_pem(), Err(SecretError::NoForm { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_an_error(bytes: Vec<u8>, place: prop::sample::Index, byte: u8) {
            let _ = Secret::from_pkcs8(&bytes);
            let _ = Secret::from_protobuf(&bytes);
            let mut sound = Secret::generate(KeyKind::Secp256k1).unwrap().to_pkcs8().unwrap();
            let place = place.index(sound.len());
            sound[place] = byte;
            let _ = Secret::from_pkcs8(&sound);
        }
    }

    #[test]
    fn a_key_is_not_told_by_its_debug_form() {
        let secret = Secret::generate(KeyKind::Ed25519).unwrap();

        assert_eq!(format!("{secret:?}"), "Secret(Ed25519)");
    }
}
