//! Who this node is: a key pair on disk, from which its peer id follows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use libp2p::identity::Keypair;

use crate::repository::write_atomically;

/// Reads the key at `path`, or makes an Ed25519 key there (mode 0600) when there is none.
pub fn load_or_make(path: &Path) -> Result<Keypair, IdentityError> {
    match fs::read(path) {
        Ok(bytes) => Keypair::from_protobuf_encoding(&bytes)
            .map_err(|source| IdentityError::Malformed { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(source) => Err(IdentityError::Unreadable { path: path.to_owned(), source }),
    }
}

fn make(path: &Path) -> Result<Keypair, IdentityError> {
    let key = Keypair::generate_ed25519();
    let bytes = key.to_protobuf_encoding().expect("an Ed25519 key has an encoding");
    write_atomically(path, &bytes, 0o600)
        .map_err(|source| IdentityError::Unwritable { path: path.to_owned(), source })?;
    Ok(key)
}

/// The port that a node of this identity listens on when it is started now and then and is to be found where it was. It lies
/// below those that systems give to outgoing connections.
pub fn port(keypair: &Keypair) -> u16 {
    let id = keypair.public().to_peer_id().to_bytes();
    let tail: [u8; 2] = *id.last_chunk().expect("a peer id is longer");
    FIRST_PORT + u16::from_be_bytes(tail) % PORTS
}

const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file holds no key.
    #[error("{} is no private key: put the right file back, or move it away and a new identity is made", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: libp2p::identity::DecodingError,
    },
    /// The file cannot be read.
    #[error("cannot read the private key {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write a private key to {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_identity_stays_the_same_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");

        let made = load_or_make(&path).unwrap();

        assert_eq!(load_or_make(&path).unwrap().public(), made.public());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_key_is_kept_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.key");
        fs::write(&path, b"not a key").unwrap();

        assert!(load_or_make(&path).unwrap_err().to_string().contains("identity.key"));
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }
}
