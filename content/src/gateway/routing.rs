//! What of the peers that are known is wanted by whom asks over HTTP: filters of transports and protocols (delegated routing
//! specification, IPIP-484).

/// What a visitor wants of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFilter {
    addresses: Option<Wanted>,
    protocols: Option<Wanted>,
}

/// Names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Where there are any, one of them has to be there.
    any: Vec<String>,
    none: Vec<String>,
    unknown: bool,
}

impl Wanted {
    fn of(text: &str) -> Option<Self> {
        let mut wanted = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()).take(MAX_NAMES) {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix('!') {
                Some(unwanted) => wanted.none.push(unwanted.to_owned()),
                None if name == "unknown" => wanted.unknown = true,
                None => wanted.any.push(name),
            }
        }
        (wanted != Self::default()).then_some(wanted)
    }

    /// Whether something with these names is wanted.
    fn takes<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> bool {
        let has = |name: &String| names.clone().any(|other| other.eq_ignore_ascii_case(name));
        let is_wanted = match self.any.is_empty() {
            true => !self.unknown || !self.none.is_empty(),
            false => self.any.iter().any(has),
        };
        is_wanted && !self.none.iter().any(has)
    }
}

/// Names in a filter; more are left out.
const MAX_NAMES: usize = 64;

impl PeerFilter {
    /// By the parameters `filter-addrs` and `filter-protocols`.
    pub fn of(addresses: Option<&str>, protocols: Option<&str>) -> Self {
        Self { addresses: addresses.and_then(Wanted::of), protocols: protocols.and_then(Wanted::of) }
    }

    /// What is to be told of a peer: those of its addresses that are wanted; `None` where it is not wanted at all.
    pub fn apply(&self, addresses: Vec<String>, protocols: &[String]) -> Option<Vec<String>> {
        if let Some(wanted) = &self.protocols {
            let is_wanted = match protocols {
                [] => wanted.unknown,
                protocols => wanted.takes(protocols.iter().map(String::as_str)),
            };
            if !is_wanted {
                return None;
            }
        }
        let Some(wanted) = &self.addresses else { return Some(addresses) };
        if addresses.is_empty() {
            return wanted.unknown.then_some(addresses);
        }
        let kept: Vec<String> = addresses.into_iter().filter(|address| wanted.takes(address.split('/'))).collect();
        (!kept.is_empty()).then_some(kept)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TCP: &str = "/ip4/1.2.3.4/tcp/4001";
    const QUIC: &str = "/ip6/2001::1/udp/4001/quic-v1";

    fn addresses(filter: &str, addresses: &[&str]) -> Option<Vec<String>> {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        PeerFilter::of(Some(filter), None).apply(addresses, &[])
    }

    fn some(addresses: &[&str]) -> Option<Vec<String>> {
        Some(addresses.iter().map(|address| (*address).to_owned()).collect())
    }

    #[test]
    fn addresses_of_wanted_transports_are_told() {
        assert_eq!(addresses("", &[TCP, QUIC]), some(&[TCP, QUIC]));
        assert_eq!(addresses("tcp", &[TCP, QUIC]), some(&[TCP]));
        assert_eq!(addresses("TCP,quic-v1", &[TCP, QUIC]), some(&[TCP, QUIC]));
        assert_eq!(addresses("!ip6", &[TCP, QUIC]), some(&[TCP]));
        assert_eq!(addresses("quic-v1,!ip6", &[TCP, QUIC]), None);
        assert_eq!(addresses("webrtc-direct", &[TCP]), None);
        assert_eq!(addresses("tcp", &[]), None);
        assert_eq!(addresses("tcp,unknown", &[]), some(&[]));
        assert_eq!(addresses("unknown", &[TCP]), None);
    }

    #[test]
    fn a_peer_of_no_wanted_protocol_is_left_out_and_others_are_told_whole() {
        let of = |filter: &str, protocols: &[&str]| {
            let protocols: Vec<String> = protocols.iter().map(|protocol| (*protocol).to_owned()).collect();
            PeerFilter::of(None, Some(filter)).apply(vec![TCP.to_owned()], &protocols).is_some()
        };

        assert!(of("", &[]) && of("unknown", &[]) && of("unknown,transport-bitswap", &[]));
        assert!(!of("transport-bitswap", &[]));
        assert!(of("Transport-Bitswap", &["transport-bitswap", "x"]) && !of("y", &["transport-bitswap"]));
    }

    proptest! {
        #[test]
        fn nothing_is_told_that_was_not_there(filter: String, protocols: String, told in prop::collection::vec("[a-z/!,]{0,20}", 0..5)) {
            let filter = PeerFilter::of(Some(&filter), Some(&protocols));
            for kept in filter.apply(told.clone(), &[]).unwrap_or_default() {
                prop_assert!(told.contains(&kept));
            }
        }
    }
}
