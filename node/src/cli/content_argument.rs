//! Content as people name it: a CID, a path under one, an `ipfs://` address or that of a gateway page.

use std::str::FromStr;

use cidra_content::path::{ContentPath, NamePath};
use clap::Args;
use libp2p::{Multiaddr, PeerId};

use super::arguments::Global;
use super::call::Call;
use super::failure::with_causes;
use super::units::duration_argument;
use crate::config::{Rate, multiaddr};

/// An argument that names content. Its text is what the RPC gets, which reads it by the same rules.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) text: String,
    pub(super) place: Place,
}

/// Where content is said to be.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Under a CID.
    Content(ContentPath),
    /// Where a name leads.
    Name(NamePath),
}

impl FromStr for Content {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = match NamePath::parse(text).map_err(|error| with_causes(&error))? {
            Some(name) => Place::Name(name),
            None => Place::Content(ContentPath::parse(text).map_err(|error| with_causes(&error))?),
        };
        Ok(Self { text: text.to_owned(), place })
    }
}

impl AsRef<str> for Content {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// A peer, by its id or an address that ends in it.
#[derive(Clone, Debug)]
pub(super) struct Peer(pub(super) String);

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let last = text.rsplit_once("/p2p/").map_or(text, |(_, last)| last);
        let is_peer = last.parse::<PeerId>().is_ok() || is_peer_cid(last);
        if is_peer && (text.len() == last.len() || text.starts_with("/p2p/") || text.parse::<Multiaddr>().is_ok()) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{text:?} is no peer: write its id, as `cidra id` prints it, or an address that ends in /p2p/ID"))
    }
}

fn is_peer_cid(text: &str) -> bool {
    let is_peer = |cid: cid::Cid| cid.codec() == LIBP2P_KEY && PeerId::from_bytes(&cid.hash().to_bytes()).is_ok();
    cid::Cid::try_from(text).is_ok_and(is_peer)
}

/// The codec of a peer id that is written as a CID.
const LIBP2P_KEY: u64 = 0x72;

/// Flags of commands that fetch what is missing.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Fetching {
    /// Ask this peer too, which has the content (MULTIADDR/p2p/PEER); repeatable
    #[arg(long, value_name = "MULTIADDR", value_parser = multiaddr)]
    peer: Vec<Multiaddr>,
    /// Fetch no faster than this, such as 2MB/s
    #[arg(long, value_name = "RATE")]
    limit_down: Option<Rate>,
}

impl Fetching {
    /// Puts what was given into a call.
    pub(super) fn into_call(self, call: Call, global: &Global) -> Call {
        let call = self.peer.iter().fold(call, |call, peer| call.option("peer", peer.to_string()));
        with_patience(call.maybe("limit-down", self.limit_down), global)
    }
}

/// Tells the node how long to try: as long as the whole command may take, else until nothing comes for a while.
pub(super) fn with_patience(call: Call, global: &Global) -> Call {
    let call = if global.offline { call.flag("offline", true) } else { call };
    match global.timeout {
        Some(timeout) => call.option("timeout", duration_argument(timeout)),
        None => call.option("idle-timeout", IDLE_TIMEOUT),
    }
}

/// How long a fetch may go without any progress.
const IDLE_TIMEOUT: &str = "60s";

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

    #[test]
    fn a_peer_is_an_id_or_an_address_with_one() {
        for text in [PEER, &format!("/p2p/{PEER}"), &format!("/ip4/127.0.0.1/tcp/4001/p2p/{PEER}")] {
            assert!(text.parse::<Peer>().is_ok(), "{text}");
        }
        for text in ["", "node1", "/ip4/127.0.0.1/tcp/4001", &format!("x/p2p/{PEER}"), "bafkqaaa"] {
            assert!(text.parse::<Peer>().is_err_and(|message| message.contains(text)), "{text}");
        }
    }
}
