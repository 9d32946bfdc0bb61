//! The name by which a gateway was called: its own, one of a content root below it, or that of a website (subdomain gateway and
//! DNSLink gateway specifications).

use cid::{Cid, Version};
use multibase::Base;

use crate::ipld::LIBP2P_KEY;

/// What the `Host` of a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A gateway that gives each content root a name of its own, below this one (with its port).
    Gateway(String),
    /// An address, or no name at all: paths begin with their namespace.
    Plain,
    /// A content root below a gateway.
    Root {
        /// `ipfs` or `ipns`.
        namespace: &'static str,
        /// The labels before the namespace.
        root: String,
        /// The gateway (with its port).
        gateway: String,
    },
    /// Another name, which may be a website's; without its port.
    Website(String),
}

impl Host {
    /// What `host` means to a gateway that has these names for content roots.
    pub fn of(host: &str, gateways: &[String]) -> Host {
        let host = host.trim().to_ascii_lowercase();
        let is_gateway = |name: &str| {
            let plain = without_port(name);
            gateways.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(plain))
        };
        if is_gateway(&host) {
            return Host::Gateway(host);
        }
        for namespace in ["ipfs", "ipns"] {
            let middle = format!(".{namespace}.");
            // The namespace next to the gateway's name: a root may have such a label, too.
            let mut ends = host.match_indices(&middle);
            if let Some((end, _)) = ends.find(|(end, _)| is_gateway(&host[end + middle.len()..])) {
                let (root, gateway) = (host[..end].to_owned(), host[end + middle.len()..].to_owned());
                return Host::Root { namespace, root, gateway };
            }
        }
        let name = without_port(&host);
        if is_domain(name) { Host::Website(name.to_owned()) } else { Host::Plain }
    }
}

/// The name without its port.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether DNS may know this name: labels of letters, digits, `-` and `_`, at least two of them, and no IP address.
pub fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (1..=MAX_LABEL).contains(&label.len()) && plain
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Longest label of DNS.
pub const MAX_LABEL: usize = 63;

/// The label of a content root under `ipfs`: CIDv1 in base32, else, where that is too long, in base36.
pub fn root_label(cid: &Cid) -> Result<String, TooLong> {
    label_of(cid, cid.codec(), Base::Base32Lower)
}

/// The label of a key under `ipns`: CIDv1 of codec libp2p-key in base36.
pub fn key_label(cid: &Cid) -> Result<String, TooLong> {
    label_of(cid, LIBP2P_KEY, Base::Base36Lower)
}

fn label_of(cid: &Cid, codec: u64, base: Base) -> Result<String, TooLong> {
    let bytes = match (cid.version(), cid.codec() == codec) {
        (Version::V1, true) => cid.to_bytes(),
        _ => Cid::new_v1(codec, *cid.hash()).to_bytes(),
    };
    let mut label = multibase::encode(base, &bytes);
    if label.len() > MAX_LABEL {
        label = multibase::encode(Base::Base36Lower, &bytes);
    }
    if label.len() > MAX_LABEL { Err(TooLong { label }) } else { Ok(label) }
}

/// A website's name as one label, so that one certificate holds for all of them: `-` doubled, `.` as `-`.
pub fn inline(name: &str) -> Result<String, TooLong> {
    let label = name.replace('-', "--").replace('.', "-");
    if label.len() > MAX_LABEL { Err(TooLong { label }) } else { Ok(label) }
}

/// The name that [`inline`] made a label of.
pub fn outline(label: &str) -> String {
    let mut name = String::with_capacity(label.len());
    let mut rest = label;
    while let Some((before, behind)) = rest.split_once('-') {
        name.push_str(before);
        rest = match behind.strip_prefix('-') {
            Some(behind) => {
                name.push('-');
                behind
            }
            None => {
                name.push('.');
                behind
            }
        };
    }
    name + rest
}

/// DNS has no room for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CID incompatible with DNS label length limit of {MAX_LABEL}: {label}")]
pub struct TooLong {
    /// What would have to be the label.
    pub label: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::path::parse_cid;

    #[test]
    fn a_name_is_the_gateway_a_root_a_website_or_nothing() {
        let gateways = ["localhost".to_owned(), "dweb.link:81".to_owned()];
        let of = |host: &str| Host::of(host, &gateways);
        let root =
            |namespace, root: &str, gateway: &str| Host::Root { namespace, root: root.into(), gateway: gateway.into() };

        assert_eq!(of("LOCALHOST:8080"), Host::Gateway("localhost:8080".into()));
        assert_eq!(of("dweb.link:81"), Host::Gateway("dweb.link:81".into()));
        assert_eq!(of("bafy.ipfs.localhost:8080"), root("ipfs", "bafy", "localhost:8080"));
        assert_eq!(of("en.wiki.org.ipns.localhost"), root("ipns", "en.wiki.org", "localhost"));
        assert_eq!(of("a.ipfs.b.ipfs.localhost"), root("ipfs", "a.ipfs.b", "localhost"));
        assert_eq!(of("example.org:80"), Host::Website("example.org".into()));
        for host in
            ["127.0.0.1:8080", "[::1]:8080", "::1", "", "a b", "x..y", "printer", &format!("{}.org", "a".repeat(64))]
        {
            assert_eq!(of(host), Host::Plain, "{host}");
        }
    }

    #[test]
    fn labels_are_lower_case_and_short() {
        let v0 = parse_cid("QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR").unwrap();
        assert_eq!(root_label(&v0).unwrap(), "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi");
        let long = Cid::new_v1(0x55, multihash::Multihash::wrap(0x13, &[1; 64]).unwrap());
        assert!(root_label(&long).unwrap_err().to_string().contains("DNS label length limit of 63"));
        let key = parse_cid("k51qzi5uqu5dlxdsdu5fpuu7h69wu4ohp32iwm9pdt9nq3y5rpn3ln9j12zfhe").unwrap();
        assert_eq!(key_label(&key).unwrap(), "k51qzi5uqu5dlxdsdu5fpuu7h69wu4ohp32iwm9pdt9nq3y5rpn3ln9j12zfhe");
        assert_eq!(key_label(&Cid::new_v1(0x70, *key.hash())), key_label(&key));
    }

    #[test]
    fn the_name_of_a_website_becomes_one_label() {
        assert_eq!(inline("en.wikipedia-on-ipfs.org").unwrap(), "en-wikipedia--on--ipfs-org");
        assert_eq!(outline("en-wikipedia--on--ipfs-org"), "en.wikipedia-on-ipfs.org");
        assert!(inline(&format!("{}.org", "a".repeat(60))).is_err());
    }

    proptest! {
        #[test]
        fn a_label_is_made_a_name_again(name in "[a-z0-9]{1,5}([-.][a-z0-9]{1,5}){0,6}") {
            prop_assert_eq!(outline(&inline(&name).unwrap()), name);
        }

        #[test]
        fn any_text_means_something(host: String) {
            let _ = Host::of(&host, &["localhost".to_owned()]);
        }
    }
}
