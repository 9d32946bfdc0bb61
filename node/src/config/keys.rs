//! The keys of `config.toml`: what each holds, from when a change counts, and what it is called in Kubo.

use serde_json::Value;
use toml_edit::Array;

use super::{Config, ConfigError};

/// A setting that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The section, a dot and the name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// From when a change counts.
    pub effect: Effect,
    /// What it is for, in a sentence for people.
    pub about: &'static str,
}

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Several addresses or names.
    List,
    /// A whole number.
    Number,
    /// Several texts that nobody else may see.
    Secrets,
    /// True or false.
    Switch,
    /// An address, a size or a word; the words, where only some are known.
    Text(&'static [&'static str]),
}

/// From when a change counts for a daemon that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At once.
    Now,
    /// From its next start.
    Restart,
}

/// All keys, in the order of their names.
pub const KEYS: &[Key] = &[
    key("api.auth", Kind::Text(&["none", "required"]), "Whether callers of the RPC on TCP must show a token."),
    key("api.hosts", Kind::List, "Host names, beside those of loopback, by which the RPC may be called."),
    key("api.listen", Kind::Text(&[]), "Where the daemon serves the RPC; `none` for the repository's socket alone."),
    key("api.origins", Kind::List, "Origins whose pages may call the RPC."),
    key("api.tokens", Kind::Secrets, "The tokens that callers may show."),
    Key { effect: Effect::Now, ..key("bootstrap.peers", Kind::List, "Nodes that introduce this one to others.") },
    key("deny.lists", Kind::List, "Files that list content to neither serve nor fetch nor show (IPIP-383)."),
    key(
        "dns.servers",
        Kind::List,
        "Who is asked for the names of websites (192.0.2.53, 192.0.2.53:5353); none: whom the system asks.",
    ),
    key("exchange.referrals", Kind::Switch, "Whether peers that want the same content are told of one another."),
    key(
        "gateway.expose_routing",
        Kind::Switch,
        "Whether the gateway tells where content and peers are, and records of names (`/routing/v1`).",
    ),
    key("gateway.fetch", Kind::Switch, "Whether the gateway fetches what is not here from peers."),
    key("gateway.hosts", Kind::List, "Names of this gateway below which each content root has a name of its own."),
    key("gateway.listen", Kind::Text(&[]), "Where the daemon serves the gateway; `none` for nowhere."),
    key(
        "gateway.timeout",
        Kind::Number,
        "Seconds without anything coming from peers after which the gateway gives up.",
    ),
    key("gateway.trustless", Kind::Switch, "Whether the gateway gives blocks and CARs only, which visitors can prove."),
    key(
        "metrics.listen",
        Kind::Text(&[]),
        "Where the daemon serves metrics, beside the RPC's port; `none` for nowhere.",
    ),
    key(
        "provide.strategy",
        Kind::Text(&["all", "pinned", "roots"]),
        "What is announced: every block, every pinned one, or the roots of what was added or pinned.",
    ),
    key("routing.mode", Kind::Text(&["auto", "client", "server", "none"]), "Part in the DHT."),
    key("store.keep", Kind::Switch, "Whether what was only fetched is served, too."),
    key(
        "store.max",
        Kind::Text(&[]),
        "Above this size (10GB, 500MiB) a daemon deletes the oldest of what nothing protects; `none`.",
    ),
    key("swarm.allow", Kind::List, "The only peers to have anything to do with; none: all."),
    key("swarm.deny", Kind::List, "Peers to have nothing to do with."),
    key("swarm.high_water", Kind::Number, "With more connections than this, idle ones are closed …"),
    key("swarm.limit_down", Kind::Text(&[]), "How fast blocks come from others (2MB/s, 500KiB/s), at most; `none`."),
    key("swarm.limit_up", Kind::Text(&[]), "How fast blocks go to others, at most; `none`."),
    key("swarm.listen", Kind::List, "Where peers reach a daemon; a port that is taken is replaced by a free one."),
    key("swarm.low_water", Kind::Number, "… until so many are left."),
    key("swarm.mdns", Kind::Switch, "Whether to look for peers on the local network, and to be found there."),
    key("swarm.peering", Kind::List, "Peers to be connected with all the time, each as an address with /p2p/PEER."),
    key("swarm.port_mapping", Kind::Switch, "Whether a daemon asks the router to open its ports (PCP, NAT-PMP)."),
    key(
        "swarm.relay_client",
        Kind::Switch,
        "Whether a node that nobody can dial is met through relays and makes holes.",
    ),
];

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, effect: Effect::Restart, about }
}

/// What Kubo calls a setting, and its name here.
pub const KUBO_NAMES: &[(&str, &str)] = &[
    ("Addresses.API", "api.listen"),
    ("Addresses.Gateway", "gateway.listen"),
    ("Addresses.Swarm", "swarm.listen"),
    ("API.Authorizations", "api.tokens"),
    ("API.HTTPHeaders.Access-Control-Allow-Origin", "api.origins"),
    ("Bootstrap", "bootstrap.peers"),
    ("Datastore.StorageMax", "store.max"),
    ("Discovery.MDNS.Enabled", "swarm.mdns"),
    ("DNS.Resolvers", "dns.servers"),
    ("Gateway.DeserializedResponses", "gateway.trustless"),
    ("Gateway.ExposeRoutingAPI", "gateway.expose_routing"),
    ("Gateway.NoFetch", "gateway.fetch"),
    ("Gateway.PublicGateways", "gateway.hosts"),
    ("Peering.Peers", "swarm.peering"),
    ("Provide.Strategy", "provide.strategy"),
    ("Reprovider.Strategy", "provide.strategy"),
    ("Routing.Type", "routing.mode"),
    ("Swarm.ConnMgr.HighWater", "swarm.high_water"),
    ("Swarm.ConnMgr.LowWater", "swarm.low_water"),
    ("Swarm.DisableNatPortMap", "swarm.port_mapping"),
    ("Swarm.RelayClient.Enabled", "swarm.relay_client"),
    ("API.HTTPHeaders", "api.origins"),
    ("Swarm.ConnMgr", "swarm.high_water"),
];

impl Key {
    /// The key of this name. An unknown one is refused with the names that are like it.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        KEYS.iter().copied().find(|key| key.name == name).ok_or_else(|| unknown(name))
    }

    /// The section and the name in it.
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').expect("all keys stand in a section")
    }

    /// What `config` has for it.
    pub fn value(&self, config: &Config) -> Value {
        let (section, name) = self.parts();
        let mut sections = serde_json::to_value(config).expect("settings have a JSON form");
        sections[section][name].take()
    }

    /// Whether others must not see what it holds.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secrets
    }

    /// Whether it holds several things.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List | Kind::Secrets)
    }

    /// Reads what a person wrote: a text without quotes, a list with commas or as `["one", "two"]`.
    pub(super) fn read(&self, text: &str) -> Result<toml_edit::Value, ConfigError> {
        let wrong = |why: &str| ConfigError::Value { key: self.name, why: why.to_owned() };
        let text = text.trim();
        match self.kind {
            Kind::Number => {
                let number: i64 = text.parse().map_err(|_| wrong(&format!("{text:?} is no whole number")))?;
                Ok(number.into())
            }
            Kind::Switch => {
                let value: bool = text.parse().map_err(|_| wrong(&format!("{text:?} is neither true nor false")))?;
                Ok(value.into())
            }
            Kind::Text(_) => match text.starts_with('"') {
                true => text.parse().map_err(|_| wrong("the text has no closing quote")),
                false => Ok(text.into()),
            },
            Kind::List | Kind::Secrets if text.starts_with('[') => {
                text.parse().map_err(|_| wrong("this is no list: write one,two or [\"one\", \"two\"]"))
            }
            Kind::List | Kind::Secrets => {
                Ok(Array::from_iter(text.split(',').map(str::trim).filter(|item| !item.is_empty())).into())
            }
        }
    }
}

/// The keys that a name stands for: one, or all of a section.
pub fn selected(name: &str) -> Result<Vec<Key>, ConfigError> {
    let below: Vec<Key> = KEYS.iter().copied().filter(|key| key.parts().0 == name).collect();
    if below.is_empty() { Key::named(name).map(|key| vec![key]) } else { Ok(below) }
}

fn unknown(name: &str) -> ConfigError {
    if let Some((_, here)) = KUBO_NAMES.iter().find(|(kubo, _)| kubo.eq_ignore_ascii_case(name)) {
        return ConfigError::Unknown { name: name.to_owned(), near: format!("what Kubo calls so is {here}") };
    }
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let mut near: Vec<(usize, &str)> = KEYS.iter().map(|key| (distance(&plain, key.name), key.name)).collect();
    near.sort_unstable();
    let reach = ALIKE.min(near.first().map_or(0, |(far, _)| far + 1));
    let close: Vec<&str> = near.iter().filter(|(far, _)| *far <= reach).take(3).map(|(_, name)| *name).collect();
    let near = match close[..] {
        [] => "`cidra config show` lists all".to_owned(),
        _ => format!("did you mean {}?", close.join(" or ")),
    };
    ConfigError::Unknown { name: name.to_owned(), near }
}

/// Names that differ in more letters are not alike.
const ALIKE: usize = 4;

/// How many letters have to be put in, left out or changed; none where the name was begun, or its section left out.
fn distance(typed: &str, known: &str) -> usize {
    if !typed.is_empty() && known.starts_with(typed) || known.rsplit('.').next() == Some(typed) {
        return 0;
    }
    let (typed, known): (Vec<char>, Vec<char>) = (typed.chars().take(64).collect(), known.chars().collect());
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in typed.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in known.iter().enumerate() {
            let replaced = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = replaced.min(before + 1).min(row[j] + 1);
        }
    }
    row[known.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_configuration() {
        let config = serde_json::to_value(Config::default()).unwrap();
        let of = |(section, keys): (&String, &Value)| {
            let names = keys.as_object().unwrap().keys().map(|name| format!("{section}.{name}"));
            names.collect::<Vec<_>>()
        };
        let fields: Vec<String> = config.as_object().unwrap().iter().flat_map(of).collect();

        let keys: Vec<&str> = KEYS.iter().map(|key| key.name).collect();

        assert_eq!(keys, fields, "a new setting needs a row in KEYS, template.toml and docs/CONFIG.md");
    }

    #[test]
    fn the_documentation_has_the_keys_with_their_defaults() {
        let document = include_str!("../../../docs/CONFIG.md");
        let config = Config::default();
        let row = |key: &Key| {
            let kind = match key.kind {
                Kind::List => "list".to_owned(),
                Kind::Number => "number".to_owned(),
                Kind::Secrets => "list, hidden".to_owned(),
                Kind::Switch => "true or false".to_owned(),
                Kind::Text([]) => "text".to_owned(),
                Kind::Text(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            };
            format!("| `{}` | {kind} | `{}` | {} |", key.name, key.value(&config), key.about)
        };
        let rows: Vec<String> = KEYS.iter().map(row).collect();

        let shown: Vec<&str> = document.lines().filter(|line| line.starts_with("| `") && line.contains('.')).collect();
        let table = shown.iter().take_while(|line| !line.contains("`Addresses.")).copied().collect::<Vec<_>>();

        assert_eq!(table, rows, "the table of docs/CONFIG.md should be:\n{}", rows.join("\n"));
    }

    #[test]
    fn each_default_is_read_as_it_is_shown() {
        for key in KEYS {
            let shown = key.value(&Config::default()).to_string();

            let read = key.read(&shown).unwrap();

            assert_eq!(read.to_string().trim(), shown, "{}", key.name);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_those_like_it() {
        for (typed, named) in [
            ("swarm.low-water", "did you mean swarm.low_water?"),
            ("api.token", "api.tokens"),
            ("high_water", "swarm.high_water"),
            ("Addresses.Swarm", "what Kubo calls so is swarm.listen"),
            ("swarm.low", "did you mean swarm.low_water?"),
            ("colour", "`cidra config show` lists all"),
            ("", "lists all"),
        ] {
            let error = Key::named(typed).unwrap_err().to_string();

            assert!(error.contains(named), "{typed}: {error}");
        }
    }

    #[test]
    fn a_section_stands_for_its_keys() {
        let names = |name| selected(name).unwrap().iter().map(|key| key.name).collect::<Vec<_>>();

        assert_eq!(names("store"), ["store.keep", "store.max"]);
        assert_eq!(names("swarm.listen"), ["swarm.listen"]);
    }

    #[test]
    fn kubo_names_lead_to_keys() {
        for (_, here) in KUBO_NAMES {
            Key::named(here).unwrap();
        }
    }
}
