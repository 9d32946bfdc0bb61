//! The key of a private network: the file `swarm.key` in the three encodings of go-libp2p, of which libp2p reads one.

use std::fmt;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use libp2p::pnet::PreSharedKey;

/// What all nodes of a private network know and nobody else does. Its `Debug` form does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SwarmKey([u8; LENGTH]);

impl SwarmKey {
    /// Makes a key for a new network from the system's randomness.
    pub fn generate() -> Self {
        let mut key = [0; LENGTH];
        rand::fill(&mut key);
        Self(key)
    }

    /// Reads a key file.
    pub fn load(path: &Path) -> Result<Self, SwarmKeyError> {
        let bytes =
            std::fs::read(path).map_err(|source| SwarmKeyError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|why| SwarmKeyError::Malformed { path: path.to_owned(), why })
    }

    /// Reads the bytes of a key file; says what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let (head, rest) = line(bytes).ok_or("it is empty")?;
        if head != HEAD.as_bytes() {
            return Err("its first line is not /key/swarm/psk/1.0.0/");
        }
        let (encoding, rest) = line(rest).ok_or("it ends after its first line")?;
        let key = match encoding {
            b"/bin/" => rest.get(..LENGTH).ok_or("its key is shorter than 32 bytes")?.to_vec(),
            b"/base16/" => HEXLOWER_PERMISSIVE.decode(text(rest)).map_err(|_| "its key is not base16")?,
            b"/base64/" => BASE64.decode(text(rest)).map_err(|_| "its key is not base64")?,
            _ => return Err("its second line is none of /base16/, /base64/, /bin/"),
        };
        key.try_into().map(Self).map_err(|_| "its key is not 32 bytes long")
    }

    pub(super) fn pre_shared(self) -> PreSharedKey {
        PreSharedKey::new(self.0)
    }
}

/// The bytes of a key file, base16 as `ipfs-swarm-key-gen` writes it.
impl fmt::Display for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}\n/base16/\n{}\n", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SwarmKey(..)")
    }
}

const HEAD: &str = "/key/swarm/psk/1.0.0/";
const LENGTH: usize = 32;

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

fn text(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// Why a file is no key of a private network.
#[derive(Debug, thiserror::Error)]
pub enum SwarmKeyError {
    /// It can be read and is something else.
    #[error("{} is no swarm key: {why}; `cidra network new` makes one", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It cannot be read.
    #[error("cannot read the swarm key {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_encodings_of_one_key() {
        let key = SwarmKey([7; LENGTH]);
        let mut binary = b"/key/swarm/psk/1.0.0/\n/bin/\n".to_vec();
        binary.extend_from_slice(&key.0);
        let base64 = format!("{HEAD}\r\n/base64/\r\n{}", BASE64.encode(&key.0));

        assert_eq!(SwarmKey::parse(key.to_string().as_bytes()), Ok(key));
        assert_eq!(SwarmKey::parse(&binary), Ok(key));
        assert_eq!(SwarmKey::parse(base64.as_bytes()), Ok(key));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let short = format!("{HEAD}\n/base16/\n{}\n", "ab".repeat(31));

        assert_eq!(SwarmKey::parse(b""), Err("it is empty"));
        assert_eq!(SwarmKey::parse(b"hello\n"), Err("its first line is not /key/swarm/psk/1.0.0/"));
        assert_eq!(SwarmKey::parse(short.as_bytes()), Err("its key is not 32 bytes long"));
    }

    #[test]
    fn does_not_show_itself_in_logs() {
        assert_eq!(format!("{:?}", SwarmKey([7; LENGTH])), "SwarmKey(..)");
    }
}
