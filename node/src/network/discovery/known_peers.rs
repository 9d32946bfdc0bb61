//! The peers of the last run: a text file with one address a line, so that a restarted node finds its way back without a
//! bootstrap node.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use rand::seq::SliceRandom;

/// The file of known peers.
#[derive(Clone, Debug)]
pub(in crate::network) struct KnownPeers {
    path: PathBuf,
}

/// Peers and where they are.
pub(in crate::network) type Peers = Vec<(PeerId, Vec<Multiaddr>)>;

impl KnownPeers {
    pub(in crate::network) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// A random choice of the peers in the file; lines that make no sense are left out.
    pub(in crate::network) fn seeds(&self) -> Peers {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Peers::new(),
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "cannot read the peers of the last run");
                return Peers::new();
            }
        };
        let mut peers = BTreeMap::<PeerId, Vec<Multiaddr>>::new();
        for address in text.lines().filter_map(|line| line.parse::<Multiaddr>().ok()) {
            if let Some(Protocol::P2p(peer)) = address.iter().last() {
                peers.entry(peer).or_default().push(address);
            }
        }
        let mut peers: Vec<_> = peers.into_iter().collect();
        peers.shuffle(&mut rand::rng());
        peers.truncate(MAX_SEEDS);
        peers
    }

    /// Writes the file anew, with the first of these. Blocks the thread.
    pub(in crate::network) fn save(&self, peers: &[(PeerId, Vec<Multiaddr>)]) -> io::Result<()> {
        let mut text = String::new();
        for (peer, addresses) in peers.iter().take(MAX_SAVED) {
            for address in addresses.iter().take(MAX_ADDRESSES) {
                let Ok(address) = address.clone().with_p2p(*peer) else { continue };
                text.push_str(&address.to_string());
                text.push('\n');
            }
        }
        let beside = beside(&self.path);
        fs::write(&beside, text)?;
        fs::rename(&beside, &self.path)
    }
}

/// Peers in the file; more are left out.
const MAX_SAVED: usize = 200;
/// Peers that are tried at start.
const MAX_SEEDS: usize = 50;
/// Addresses of a peer in the file.
const MAX_ADDRESSES: usize = 8;

fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brings_back_what_was_saved_up_to_the_limits() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownPeers::new(folder.path().join("known-peers"));
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/4001".parse().unwrap();
        let peers: Peers = (0..MAX_SAVED + 1).map(|_| (PeerId::random(), vec![address.clone()])).collect();

        file.save(&peers).unwrap();
        let seeds = file.seeds();

        assert_eq!(seeds.len(), MAX_SEEDS);
        assert!(seeds.iter().all(|(peer, _)| peers[..MAX_SAVED].iter().any(|(saved, _)| saved == peer)));
        assert_eq!(fs::read_to_string(&file.path).unwrap().lines().count(), MAX_SAVED);
    }

    #[test]
    fn a_file_of_nonsense_gives_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownPeers::new(folder.path().join("known-peers"));
        assert!(file.seeds().is_empty());

        fs::write(&file.path, "nonsense\n/ip4/10.0.0.1/tcp/4001\n\n").unwrap();

        assert!(file.seeds().is_empty());
    }
}
