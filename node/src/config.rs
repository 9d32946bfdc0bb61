//! What a person may set: `config.toml`, each key with a default that needs no file.
//!
//! The order is defaults, file, environment, flags; the command line lays the last two over what this module reads. An unknown
//! key is refused with its line, so that a typing error does not pass for a setting.

mod deny_lists;
mod dns;
mod document;
mod gateway;
mod introducers;
mod keys;
mod rate;
mod room;
mod swarm;
mod token;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use libp2p::Multiaddr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::deny_lists::{DenyListError, DenyLists, DenySection};
pub use self::dns::{Dns, DnsServer};
pub use self::document::Document;
pub use self::gateway::{Gateway, http_address};
pub use self::introducers::{Bootstrap, is_public_introducer, public_introducers};
pub use self::keys::{Effect, KEYS, KUBO_NAMES, Key, Kind, selected};
pub use self::rate::Rate;
pub use self::room::Room;
pub use self::swarm::SwarmSection;
pub use self::token::Token;

/// All settings.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The local RPC.
    pub api: Api,
    /// Whom to meet first.
    pub bootstrap: Bootstrap,
    /// What is neither served nor fetched nor shown.
    pub deny: DenySection,
    /// Names of websites.
    pub dns: Dns,
    /// The exchange of blocks.
    pub exchange: Exchange,
    /// The HTTP gateway.
    pub gateway: Gateway,
    /// Figures for Prometheus.
    pub metrics: MetricsSection,
    /// What is announced.
    pub provide: ProvideSection,
    /// Who keeps the DHT.
    pub routing: RoutingSection,
    /// Where blocks are kept.
    pub store: StoreSection,
    /// Listening and connections.
    pub swarm: SwarmSection,
}

/// `[api]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Where the daemon's RPC listens on TCP.
    #[serde(deserialize_with = "listen", serialize_with = "text")]
    pub listen: Listen,
    /// Whether callers on TCP must show a token.
    pub auth: Auth,
    /// The tokens that are accepted.
    #[serde(deserialize_with = "token::list")]
    pub tokens: Vec<Token>,
    /// Host names beside loopback by which the RPC may be called.
    pub hosts: Vec<String>,
    /// Origins whose pages may call the RPC.
    pub origins: Vec<String>,
}

impl Default for Api {
    fn default() -> Self {
        let listen = Listen::At("/ip4/127.0.0.1/tcp/5001".parse().expect("a literal address"));
        Self { listen, auth: Auth::None, tokens: vec![], hosts: vec![], origins: vec![] }
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSection {
    /// Where they are served, beside the RPC's port.
    #[serde(deserialize_with = "listen", serialize_with = "text")]
    pub listen: Listen,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { listen: Listen::Nowhere }
    }
}

/// Whether callers of the RPC on TCP must show a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// No.
    #[default]
    None,
    /// Yes, one of `api.tokens`.
    Required,
}

/// An address to listen on, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Listen there.
    At(Multiaddr),
    /// Do not listen.
    Nowhere,
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self::Nowhere) } else { multiaddr(text).map(Self::At) }
    }
}

/// Reads an address as libp2p writes them; of another form, says how it is written here.
pub fn multiaddr(text: &str) -> Result<Multiaddr, String> {
    text.parse().map_err(|error| {
        let example = match text.parse::<SocketAddr>() {
            Ok(SocketAddr::V4(address)) => format!("/ip4/{}/tcp/{}", address.ip(), address.port()),
            Ok(SocketAddr::V6(address)) => format!("/ip6/{}/tcp/{}", address.ip(), address.port()),
            Err(_) if text.starts_with('/') => return format!("{text:?} is no multiaddr: {error}"),
            Err(_) => "/ip4/192.0.2.7/tcp/4001".to_owned(),
        };
        format!("{text:?} is no multiaddr: write it like {example}")
    })
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Nowhere => f.write_str("none"),
        }
    }
}

/// `[exchange]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// Whether peers that want the same root are told of one another.
    pub referrals: bool,
}

impl Default for Exchange {
    fn default() -> Self {
        Self { referrals: true }
    }
}

/// `[provide]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvideSection {
    /// What of it a daemon tells the DHT.
    pub strategy: Strategy,
}

/// What a daemon announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Every block that is here.
    All,
    /// Roots, and every block that a pin protects.
    Pinned,
    /// The roots of what was added or pinned.
    #[default]
    Roots,
}

/// `[routing]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingSection {
    /// Whether this node keeps records for others.
    pub mode: Routing,
}

/// Whether a node takes part in the DHT, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// A server in the DHT of local networks, and in the public one where others reach this node.
    #[default]
    Auto,
    /// Asks, and keeps no records.
    Client,
    /// Asks, answers and keeps records.
    Server,
    /// No DHT at all.
    None,
}

impl std::str::FromStr for Routing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "none" => Ok(Self::None),
            other => Err(format!("{other:?} is none of auto, client, server, none")),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// Whether blocks that were only fetched are served to others.
    pub keep: bool,
    /// Above this a daemon deletes what nothing protects.
    pub max: Room,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { keep: true, max: Room::Unlimited }
    }
}

impl Config {
    /// Reads `path`. No file: the defaults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        };
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            // Not the line itself: a token may stand there.
            ConfigError::Malformed { path: path.to_owned(), line: line.unwrap_or(1), why: error.message().to_owned() }
        })
    }

    /// Writes a file of comments to `path` where there is none, so that people find what they may set.
    pub fn write_template(path: &Path) -> Result<(), ConfigError> {
        if path.exists() { Ok(()) } else { Document::read(path)?.write() }
    }
}

fn text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn texts<S: Serializer>(values: &[Multiaddr], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(Multiaddr::to_string))
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Multiaddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| multiaddr(text).map_err(de::Error::custom)).collect()
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Listen, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

const TEMPLATE: &str = include_str!("config/template.toml");

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key or a value is wrong.
    #[error("{}, line {line}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// There is no such key.
    #[error("there is no setting {name:?}: {near}")]
    Unknown {
        /// The name.
        name: String,
        /// What may have been meant.
        near: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A value is not one that the key takes.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("config.toml"))
    }

    #[test]
    fn the_template_says_what_the_defaults_are() {
        let uncommented: String = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(key) if key.contains(" = ") => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();

        let config = parse(&uncommented).unwrap();

        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
        for key in KEYS {
            let (_, name) = key.parts();
            assert!(TEMPLATE.contains(&format!("\n# {name} = ")), "{} is not in the template", key.name);
        }
        assert_eq!(format!("{:?}", parse(TEMPLATE).unwrap()), format!("{:?}", Config::default()));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = parse("[swarm]\nlow_water = 3\nlisten_on = []\n").unwrap_err();

        let text = error.to_string();
        assert!(text.contains("line 3") && text.contains("listen_on"), "{text}");
    }

    #[test]
    fn an_address_of_another_form_is_shown_in_ours() {
        for (text, shown) in [
            ("1.2.3.4:4001", "/ip4/1.2.3.4/tcp/4001"),
            ("[::1]:1", "/ip6/::1/tcp/1"),
            ("example.org", "/ip4/"),
            ("/ip4/1.2.3/tcp/1", "1.2.3/"),
        ] {
            let error = multiaddr(text).unwrap_err();
            assert!(error.contains(text) && error.contains(shown), "{error}");
        }
    }

    #[test]
    fn a_bad_address_is_named() {
        let error = parse("[bootstrap]\npeers = [\"/ip4/1.2.3/tcp/1\"]\n").unwrap_err();

        let text = error.to_string();
        assert!(text.contains("/ip4/1.2.3/tcp/1"), "{text}");
    }
}
