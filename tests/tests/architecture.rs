//! The rules of ARCHITECTURE.md that a scan of the sources can see, each with a planted violation that it must find.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use cidra_tests::source::{Name, Source};

#[test]
fn the_sources_keep_the_rules() {
    let sources = Source::workspace(&root());
    assert!(sources.len() > 20, "only {} sources below {}", sources.len(), root().display());

    let broken: Vec<String> = RULES.iter().flat_map(|rule| sources.iter().flat_map(rule)).collect();

    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn crates_depend_downwards_only() {
    for (package, below) in ARROWS {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).expect("a crate has a manifest");

        assert_eq!(wrong_arrows(&manifest, below), Vec::<String>::new(), "in {package}/Cargo.toml");
    }
}

#[test]
fn content_leans_on_no_network_and_no_runtime() {
    let tree = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "tree",
            "--package",
            "cidra-content",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--offline",
            "--locked",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs this test");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("crates have ASCII names");
    assert!(tree.starts_with("cidra-content "), "{tree}");

    let unfit: Vec<&str> = tree.lines().filter(|line| is_outside(line.split(' ').next().unwrap_or(line))).collect();

    assert!(unfit.is_empty(), "cidra-content leans on {unfit:?}");
}

type Rule = fn(&Source) -> Vec<String>;

const RULES: [Rule; 11] = [
    content_is_plain,
    content_ships_no_world,
    node_has_layers,
    libp2p_stays_in_the_network,
    axum_stays_in_servers,
    anyhow_stays_at_the_edge,
    spawning_has_its_places,
    channels_have_a_capacity,
    files_are_short,
    files_are_named_after_nouns,
    types_are_named_after_nouns,
];

/// Crates that know sockets, files, clocks, threads or an async runtime.
fn is_outside(name: &str) -> bool {
    let families = ["libp2p", "tokio", "async-", "hyper", "axum", "rustls", "hickory", "futures", "crossbeam"];
    let names = ["mio", "smol", "socket2", "quinn", "rustix", "redb", "memmap2", "rayon", "getrandom", "tempfile"];
    families.iter().any(|family| name.starts_with(family)) || names.contains(&name)
}

fn content_is_plain(source: &Source) -> Vec<String> {
    let unfit = |name: &&Name| {
        let first = name.segments[0].replace('_', "-");
        is_outside(&first) && name.segments.len() > 1 || matches!(name.path().as_str(), "async" | "await")
    };
    if source.package() != "content" { Vec::new() } else { broken(source, "content knows it", source.names(), unfit) }
}

fn content_ships_no_world(source: &Source) -> Vec<String> {
    let world = ["env", "fs", "net", "os", "process", "thread"];
    let unfit = |name: &&Name| {
        let segments: Vec<&str> = name.segments.iter().map(String::as_str).collect();
        match segments[..] {
            ["std", "io", inner, ..] => inner.starts_with("std"),
            ["std", module, ..] => {
                world.contains(&module) || matches!(segments.last(), Some(&("Mutex" | "RwLock" | "Condvar")))
            }
            [.., "Instant" | "SystemTime", "now"] => true,
            ["thread", "spawn" | "sleep" | "scope"] | ["HashMap" | "HashSet", ..] => true,
            _ => false,
        }
    };
    let names = if source.package() == "content" { source.shipped_names() } else { &[] };
    broken(source, "content has no IO, clock, thread, lock or unordered map", names, unfit)
}

/// The modules of `node` from the top to the bottom: each names itself, those below it, and `EVERYWHERE`.
const LAYERS: [&[&str]; 6] = [
    &["main", "cli"],
    &["api", "gateway"],
    &["add", "download", "names", "node"],
    &["network"],
    &["store"],
    &["pool", "http"],
];
/// The folder and what stands in it, and the counters.
const EVERYWHERE: [&str; 5] = ["config", "identity", "keys", "metrics", "repository"];

fn node_has_layers(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(top) = module.first().filter(|_| source.package() == "node" && source.path.starts_with("node/src")) else {
        return Vec::new();
    };
    let Some(own) = layer(top) else {
        return vec![format!("{}: the module {top} has no place in the layers of tests/architecture.rs", source.path)];
    };
    let unfit = |name: &&Name| {
        let Some(named) = within_crate(name, module.len()).filter(|named| named.chars().all(char::is_lowercase)) else {
            return false;
        };
        // The command line speaks the RPC: it opens a node and never reaches below it.
        let too_deep = own == 0 && layer(named).is_some_and(|other| other > 2 && other < LAYERS.len());
        let beside = own == 1 && named != *top && layer(named) == Some(1);
        too_deep || beside || layer(named).is_some_and(|other| other < own)
    };
    broken(source, "an arrow that points up", source.shipped_names(), unfit)
}

fn layer(module: &str) -> Option<usize> {
    let lowest = EVERYWHERE.contains(&module).then_some(LAYERS.len());
    LAYERS.iter().position(|layer| layer.contains(&module)).or(lowest)
}

/// The module of the crate that a path leads to: `crate::store::Store`, `cidra_node::store`, or as many `super` as the
/// file is deep.
fn within_crate(name: &Name, depth: usize) -> Option<&str> {
    let supers = name.segments.iter().take_while(|segment| *segment == "super").count();
    let skipped = match name.segments[0].as_str() {
        "crate" | "cidra_node" => 1,
        _ if supers > 0 && supers == depth => supers,
        _ => return None,
    };
    name.segments.get(skipped).map(String::as_str)
}

fn libp2p_stays_in_the_network(source: &Source) -> Vec<String> {
    let values = ["PeerId", "Multiaddr", "multiaddr", "identity"];
    let unfit = |name: &&Name| match name.segments[0].as_str() {
        "libp2p" => !name.segments.get(1).is_some_and(|inner| values.contains(&inner.as_str())),
        first => name.segments.len() > 1 && (first.starts_with("libp2p_") || matches!(first, "yamux" | "quinn")),
    };
    let is_free = source.package() != "node" || source.module().first() == Some(&"network");
    let names = if is_free { &[] } else { source.shipped_names() };
    broken(source, "swarms, transports and behaviours are named in network only", names, unfit)
}

fn axum_stays_in_servers(source: &Source) -> Vec<String> {
    let serves = ["api", "gateway"];
    let is_server = source.package() == "node" && source.module().first().is_some_and(|top| serves.contains(top));
    let names = if is_server { &[] } else { source.shipped_names() };
    broken(source, "only api and gateway name axum", names, |name| name.segments[0] == "axum")
}

fn anyhow_stays_at_the_edge(source: &Source) -> Vec<String> {
    let is_edge = match source.package() {
        "node" => matches!(source.module().first(), Some(&("main" | "cli"))),
        package => package != "content",
    };
    let names = if is_edge { &[] } else { source.shipped_names() };
    broken(source, "anyhow stops at main.rs and cli", names, |name| name.segments[0] == "anyhow")
}

fn spawning_has_its_places(source: &Source) -> Vec<String> {
    let is_place = match source.package() {
        "node" => {
            matches!(source.module().first(), Some(&("network" | "http" | "pool" | "store")))
        }
        "bootstrap" => matches!(source.module().first(), Some(&("metrics" | "status"))),
        package => package == "tests",
    };
    let spawn = |name: &&Name| {
        let last = name.segments.last().map(String::as_str);
        matches!(last, Some("JoinSet")) || name.is_called && last.is_some_and(|last| last.starts_with("spawn"))
    };
    let names = if is_place { &[] } else { source.shipped_names() };
    broken(source, "tasks and threads start in network, http, pool and store", names, spawn)
}

fn channels_have_a_capacity(source: &Source) -> Vec<String> {
    let unfit = |name: &&Name| {
        let segments: Vec<&str> = name.segments.iter().map(String::as_str).collect();
        matches!(
            segments[..],
            ["std", .., "mpsc", "channel"]
                | [.., "unbounded" | "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver"]
        )
    };
    broken(source, "every channel has a capacity", source.names(), unfit)
}

fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let too_long = lines > MAX_LINES;
    too_long
        .then(|| format!("{}: {lines} lines, at {MAX_LINES} there are two files in it", source.path))
        .into_iter()
        .collect()
}

/// At 300 lines one asks whether there are two files in it; at 400 there are.
const MAX_LINES: usize = 400;

fn files_are_named_after_nouns(source: &Source) -> Vec<String> {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    let unfit = matches!(name, "mod.rs" | "utils.rs" | "util.rs" | "types.rs" | "common.rs" | "helpers.rs" | "misc.rs");
    unfit.then(|| format!("{}: a file is named after its main type or noun", source.path)).into_iter().collect()
}

fn types_are_named_after_nouns(source: &Source) -> Vec<String> {
    let names = source.names();
    let declared =
        names.windows(2).filter(|pair| matches!(pair[0].path().as_str(), "struct" | "enum" | "trait" | "type"));
    let unfit = |name: &&Name| ["Manager", "Helper", "Service"].iter().any(|suffix| name.segments[0].ends_with(suffix));
    let declared: Vec<Name> = declared.map(|pair| pair[1].clone()).collect();
    broken(source, "find the noun", &declared, unfit)
}

fn broken(source: &Source, rule: &str, names: &[Name], unfit: impl Fn(&&Name) -> bool) -> Vec<String> {
    names.iter().filter(unfit).map(|name| format!("{}:{}: `{}`: {rule}", source.path, name.line, name.path())).collect()
}

/// The crates of ours that each crate may lean on; `tests` may use all.
const ARROWS: [(&str, &[&str]); 3] = [("content", &[]), ("node", &["cidra-content"]), ("bootstrap", &["cidra-node"])];

fn wrong_arrows(manifest: &str, below: &[&str]) -> Vec<String> {
    let ours = |line: &&str| line.starts_with("cidra-");
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    manifest.lines().filter(ours).map(name).filter(|name| !below.contains(&name.as_str())).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace").to_owned()
}

/// Each rule must find these.
#[test]
fn each_rule_finds_a_planted_violation() {
    let long = "\n".repeat(MAX_LINES + 1);
    let planted: [(Rule, &str, &[&str]); 11] = [
        (content_is_plain, "content/src/a.rs", &["use libp2p::PeerId;", "tokio::task::yield_now()", "async fn f() {}"]),
        (
            content_ships_no_world,
            "content/src/a.rs",
            &[
                "use std::{fs::File, fmt};",
                "Instant::now()",
                "use std::sync::Mutex;",
                "std::io::stdin()",
                "use std::net::IpAddr;",
            ],
        ),
        (node_has_layers, "node/src/store/a.rs", &["use crate::network::Network;", "use super::super::node;"]),
        (
            libp2p_stays_in_the_network,
            "node/src/api/a.rs",
            &["use libp2p::{Multiaddr, Swarm};", "yamux::Config::default()"],
        ),
        (axum_stays_in_servers, "node/src/cli/a.rs", &["use axum::Router;"]),
        (anyhow_stays_at_the_edge, "node/src/store.rs", &["use anyhow::Result;"]),
        (
            spawning_has_its_places,
            "node/src/cli/a.rs",
            &["tokio::spawn(f)", "std::thread::spawn(f)", "set.spawn_blocking(f)", "use tokio::task::JoinSet;"],
        ),
        (
            channels_have_a_capacity,
            "tests/src/a.rs",
            &[
                "tokio::sync::mpsc::unbounded_channel()",
                "use std::sync::mpsc::channel;",
                "futures::channel::mpsc::unbounded()",
            ],
        ),
        (files_are_short, "bootstrap/src/main.rs", &[&long]),
        (files_are_named_after_nouns, "node/src/store/mod.rs", &[""]),
        (types_are_named_after_nouns, "node/src/a.rs", &["pub struct PeerManager;", "enum FetchService {}"]),
    ];
    assert_eq!(
        planted.map(|(rule, ..)| rule as usize),
        RULES.map(|rule| rule as usize),
        "a rule without its violation"
    );
    for (rule, path, violations) in planted {
        for text in violations {
            assert!(!rule(&Source::new(path, text)).is_empty(), "not found: {text:?} in {path}");
        }
    }
}

#[test]
fn the_layers_find_what_goes_round_or_too_deep() {
    let unfit = [
        ("node/src/cli/get.rs", "use crate::store::Store;"),
        ("node/src/gateway.rs", "use crate::api::Router;"),
        ("node/src/config.rs", "use crate::network;"),
        ("node/src/helper.rs", ""),
        ("node/src/pool.rs", "use super::store;"),
    ];
    for (path, text) in unfit {
        assert!(!node_has_layers(&Source::new(path, text)).is_empty(), "not found: {text:?} in {path}");
    }
}

#[test]
fn the_rules_let_pass_what_is_meant() {
    let fit = [
        (
            "content/src/a.rs",
            "use std::time::{Duration, Instant};\n#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }",
        ),
        ("node/src/api.rs", "use axum::Router; use crate::node::Node; use crate::store::Stat; fn f(x: Server) {}"),
        (
            "node/src/cli/get.rs",
            "use crate::api; use crate::config::Config; use libp2p::{Multiaddr, identity::Keypair};",
        ),
        ("node/src/network/driver.rs", "use libp2p::Swarm; use crate::pool::Pool; use tokio::sync::mpsc::channel;"),
        ("node/src/store.rs", "use super::pool; // crate::network"),
    ];
    for (path, text) in fit {
        let source = Source::new(path, text);
        assert_eq!(RULES.iter().flat_map(|rule| rule(&source)).collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[test]
fn the_arrows_between_crates_find_a_planted_one() {
    let manifest =
        "[dependencies]\nbytes.workspace = true\ncidra-content.workspace = true\ncidra-node = { path = \"../node\" }\n";

    assert_eq!(wrong_arrows(manifest, &["cidra-content"]), ["cidra-node"]);
}
