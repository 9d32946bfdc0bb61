//! The keys of names: private keys in a folder of the repository, a file each, which only its owner may read.
//!
//! The node's own key is among them under the name `self`; it stands elsewhere, and is neither changed nor handed out here.

mod der;
mod secret;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cidra_content::ipns::{Claim, Name};
use data_encoding::BASE32_NOPAD;
use libp2p::identity::{Keypair, PublicKey};

pub use self::secret::{KeyKind, Secret, SecretError};
use crate::repository::write_atomically;

/// The keys of a repository, which this process holds.
#[derive(Debug)]
pub struct Keys {
    folder: PathBuf,
    own: Keypair,
    /// Held while a file is made, renamed or removed.
    changing: Mutex<()>,
}

/// A key with what people call it.
#[derive(Clone, Debug)]
pub struct Key {
    /// What people call it.
    pub label: String,
    /// With its private part.
    pub keypair: Keypair,
}

impl Key {
    /// Its name for everybody.
    pub fn name(&self) -> Name {
        name_of(&self.keypair)
    }
}

/// The name of a key pair.
pub fn name_of(keypair: &Keypair) -> Name {
    Name::of_public_key(&keypair.public().encode_protobuf())
}

/// Whether a signature is by the key that is said to have made it.
pub fn is_signed(claim: Claim<'_>) -> bool {
    PublicKey::try_decode_protobuf(claim.public_key).is_ok_and(|key| key.verify(claim.message, claim.signature))
}

/// What came of giving a key another label.
#[derive(Clone, Debug)]
pub struct Renamed {
    /// The key.
    pub key: Key,
    /// Whether another one is lost by it.
    pub overwritten: bool,
}

/// What the node's own key is called.
pub const OWN: &str = "self";

impl Keys {
    /// The keys in a folder, which need not be there, and the node's own.
    pub fn new(folder: PathBuf, own: Keypair) -> Self {
        Self { folder, own, changing: Mutex::new(()) }
    }

    /// All keys: the node's own first, the others by their labels.
    pub fn list(&self) -> Result<Vec<Key>, KeyError> {
        let mut labels = vec![];
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(|source| self.unusable(source))?),
        };
        for entry in entries.into_iter().flatten() {
            let file = entry.map_err(|source| self.unusable(source))?.file_name();
            // What is no key stays what it is: somebody's backup, or what a killed process left.
            labels.extend(file.to_str().and_then(label_of));
        }
        labels.sort();
        let others = labels.iter().map(|label| self.read(label).map(|secret| key(label, secret)));
        std::iter::once(Ok(self.own())).chain(others).collect()
    }

    /// The key of this label, or with this name.
    pub fn find(&self, text: &str) -> Result<Key, KeyError> {
        if text == OWN {
            return Ok(self.own());
        }
        match self.read(text) {
            Ok(secret) => Ok(key(text, secret)),
            Err(error @ (KeyError::Unknown { .. } | KeyError::Label { .. })) => {
                let Ok(name) = Name::parse(text) else { return Err(error) };
                self.of_name(&name)?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The key that a name stands for, if it is here.
    pub fn of_name(&self, name: &Name) -> Result<Option<Key>, KeyError> {
        Ok(self.list()?.into_iter().find(|key| key.name() == *name))
    }

    /// Keeps a key under a label that is free.
    pub fn add(&self, label: &str, secret: &Secret) -> Result<Key, KeyError> {
        let path = self.path(label)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if path.exists() {
            return Err(KeyError::Taken { label: label.to_owned() });
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.and_then(|()| write_atomically(&path, secret.to_protobuf(), 0o600))
            .map_err(|source| self.unusable(source))?;
        Ok(key(label, secret.clone()))
    }

    /// Forgets a key for good.
    pub fn remove(&self, label: &str) -> Result<Key, KeyError> {
        let path = self.path(label)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = self.read(label)?;
        fs::remove_file(&path).and_then(|()| sync(&self.folder)).map_err(|source| self.unusable(source))?;
        Ok(key(label, removed))
    }

    /// Gives a key another label; with `force` the key that had it is lost.
    pub fn rename(&self, from: &str, to: &str, force: bool) -> Result<Renamed, KeyError> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let renamed = key(to, self.read(from)?);
        if from == to {
            return Ok(Renamed { key: renamed, overwritten: false });
        }
        let overwritten = target.exists();
        if overwritten && !force {
            return Err(KeyError::Taken { label: to.to_owned() });
        }
        let done = fs::rename(&source, &target).and_then(|()| sync(&self.folder));
        done.map_err(|source| self.unusable(source))?;
        Ok(Renamed { key: renamed, overwritten })
    }

    /// A key's private part, for keeping it elsewhere; not that of the node itself.
    pub fn secret(&self, label: &str) -> Result<Secret, KeyError> {
        self.path(label)?;
        self.read(label)
    }

    fn own(&self) -> Key {
        Key { label: OWN.to_owned(), keypair: self.own.clone() }
    }

    fn read(&self, label: &str) -> Result<Secret, KeyError> {
        let path = self.path(label)?;
        match fs::read(&path) {
            Ok(bytes) => Secret::from_protobuf(&bytes).map_err(|source| KeyError::Malformed { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeyError::Unknown { label: label.to_owned() }),
            Err(source) => Err(self.unusable(source)),
        }
    }

    /// Where a key stands. The label is no part of a path: it is encoded, as in Kubo.
    fn path(&self, label: &str) -> Result<PathBuf, KeyError> {
        let bad = |why| KeyError::Label { label: label.chars().take(MAX_LABEL).collect(), why };
        if label == OWN {
            return Err(KeyError::Own);
        }
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err(bad("it has from 1 to 128 bytes"));
        }
        if label.starts_with('.') || label.contains(['/', '\\']) || label.chars().any(char::is_control) {
            return Err(bad("it begins with no dot, and has no slash and no control character in it"));
        }
        Ok(self.folder.join(PREFIX.to_owned() + &BASE32_NOPAD.encode(label.as_bytes()).to_ascii_lowercase()))
    }

    fn unusable(&self, source: io::Error) -> KeyError {
        KeyError::Unusable { path: self.folder.clone(), source }
    }
}

/// So that the name of its file fits into the 255 bytes that file systems have.
const MAX_LABEL: usize = 128;
const PREFIX: &str = "key_";

fn label_of(file: &str) -> Option<String> {
    let encoded = file.strip_prefix(PREFIX)?.to_ascii_uppercase();
    String::from_utf8(BASE32_NOPAD.decode(encoded.as_bytes()).ok()?).ok()
}

fn key(label: &str, secret: Secret) -> Key {
    Key { label: label.to_owned(), keypair: secret.into_keypair() }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be a label.
    #[error("{label:?} cannot be the name of a key: {why}")]
    Label {
        /// As it was given, or the beginning of it.
        label: String,
        /// What a label is like.
        why: &'static str,
    },
    /// The file holds no key.
    #[error("{} is no private key: put the right file back, or move it away", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SecretError,
    },
    /// It is the node's own key.
    #[error("the key 'self' is this node's identity: it is neither made, changed nor handed out here")]
    Own,
    /// There is one of this label.
    #[error("key with name '{label}' already exists")]
    Taken {
        /// Which.
        label: String,
    },
    /// There is none of this label.
    #[error("no key named '{label}' was found")]
    Unknown {
        /// Which.
        label: String,
    },
    /// The folder cannot be read or written.
    #[error("cannot use the keys in {}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn keys(folder: &Path) -> Keys {
        Keys::new(folder.join("keys"), Keypair::generate_ed25519())
    }

    fn some() -> Secret {
        Secret::generate(KeyKind::Ed25519).unwrap()
    }

    fn labels(keys: &Keys) -> Vec<String> {
        keys.list().unwrap().into_iter().map(|key| key.label).collect()
    }

    #[test]
    fn keys_stay_under_their_labels_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = keys(folder.path());
        let added = first.add("zoo", &some()).unwrap();
        first.add("Ärger & more", &some()).unwrap();

        let again = Keys::new(folder.path().join("keys"), first.own.clone());

        assert_eq!(labels(&again), ["self", "zoo", "Ärger & more"]);
        assert_eq!(again.find("zoo").unwrap().name(), added.name());
        assert_eq!(again.find(&added.name().to_string()).unwrap().label, "zoo");
        assert_eq!(again.find(&added.name().peer_id()).unwrap().label, "zoo");
        assert_eq!(again.find(&name_of(&first.own).to_string()).unwrap().label, OWN);
        for entry in fs::read_dir(folder.path().join("keys")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::metadata(folder.path().join("keys")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_label_that_could_leave_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());

        for label in ["", ".", "..", "../identity.key", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", &"n".repeat(129)] {
            assert!(matches!(keys.add(label, &some()), Err(KeyError::Label { .. })), "{label:?}");
            assert!(matches!(keys.remove(label), Err(KeyError::Label { .. })), "{label:?}");
            assert!(keys.find(label).is_err(), "{label:?}");
        }
        keys.add(&"n".repeat(128), &some()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_nodes_own_key_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        keys.add("other", &some()).unwrap();

        assert!(matches!(keys.add(OWN, &some()), Err(KeyError::Own)));
        assert!(matches!(keys.remove(OWN), Err(KeyError::Own)));
        assert!(matches!(keys.secret(OWN), Err(KeyError::Own)));
        assert!(matches!(keys.rename(OWN, "x", false), Err(KeyError::Own)));
        assert!(matches!(keys.rename("other", OWN, true), Err(KeyError::Own)));
        assert_eq!(labels(&keys), [OWN, "other"]);
    }

    #[test]
    fn a_label_that_is_taken_is_given_again_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let (one, two) = (keys.add("one", &some()).unwrap(), keys.add("two", &some()).unwrap());

        assert!(matches!(keys.add("one", &some()), Err(KeyError::Taken { .. })));
        assert!(matches!(keys.rename("one", "two", false), Err(KeyError::Taken { .. })));
        assert!(!keys.rename("one", "one", false).unwrap().overwritten);
        assert!(!keys.rename("one", "three", false).unwrap().overwritten);
        assert_ne!(one.name(), two.name());
        assert!(keys.rename("three", "two", true).unwrap().overwritten);

        assert_eq!(labels(&keys), [OWN, "two"]);
        assert_eq!(keys.find("two").unwrap().name(), one.name());
        assert_eq!(keys.remove("two").unwrap().name(), one.name());
        assert!(matches!(keys.remove("two"), Err(KeyError::Unknown { .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        keys.add("broken", &some()).unwrap();
        let file = fs::read_dir(folder.path().join("keys")).unwrap().next().unwrap().unwrap().path();
        fs::write(&file, b"soup").unwrap();
        fs::write(folder.path().join("keys/.tmp-of-a-killed-process"), b"half").unwrap();

        assert!(keys.list().unwrap_err().to_string().contains("key_"));
        assert_eq!(fs::read(&file).unwrap(), b"soup");
    }
}
