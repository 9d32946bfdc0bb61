//! `log/…` and `diag/sys`: what the process says, and what it runs on.

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::json;

use super::answer::{Answer, Failure, one};
use super::call::Call;
use super::id::RPC_VERSION;
use crate::node::{Node, change_log, log_directives};

/// Sets how much is logged, of one part or of all; without a level, says it.
pub(super) async fn level(call: Call) -> Answer {
    let (part, level) = match call.optional_arguments() {
        [] => (None, None),
        [part] => (Some(part.as_str()), None),
        [part, level] => (Some(part.as_str()), Some(level.as_str())),
        more => return Err(Failure::usage(format!("two arguments are expected at most, there are {}", more.len()))),
    };
    let part = part.map(|part| if part == "all" { "*" } else { part });
    if let Some(part) = part
        && part != "*"
        && !PARTS.contains(&part)
    {
        return Err(Failure::failed(format!("error: no such logger: {part}: there are {}", PARTS.join(", "))));
    }
    let Some(level) = level else {
        let name = part.filter(|part| *part != "*").unwrap_or("default");
        let said = log_directives().unwrap_or_else(|| DEFAULT.to_owned());
        return Ok(one(&json!({"Levels": {name: said}})));
    };
    let ours = LEVELS.iter().find(|(theirs, _)| *theirs == level.to_ascii_lowercase());
    let (_, ours) = ours.ok_or_else(|| Failure::failed(format!("unrecognized level: {level:?}")))?;
    let directives = match part {
        None | Some("*") => (*ours).to_owned(),
        Some(part) => format!("{DEFAULT},{}={ours}", part.replace('-', "_")),
    };
    change_log(&directives).map_err(Failure::failed)?;
    let part = part.unwrap_or("*");
    Ok(one(&json!({"Message": format!("Changed log level of '{part}' to '{level}'\n")})))
}

/// Kubo's levels and ours.
const LEVELS: [(&str, &str); 8] = [
    ("debug", "debug"),
    ("info", "info"),
    ("warn", "warn"),
    ("error", "error"),
    ("dpanic", "error"),
    ("panic", "error"),
    ("fatal", "error"),
    ("default", DEFAULT),
];
/// What a daemon says beside what it says of itself.
const DEFAULT: &str = "warn";
/// Whose words can be set by themselves.
const PARTS: [&str; 6] = ["cidra-node", "cidra-content", "libp2p-swarm", "libp2p-kad", "hyper", "quinn"];

/// What can be set by itself.
pub(super) async fn subsystems() -> Answer {
    Ok(one(&json!({"Strings": PARTS})))
}

/// The machine, the memory, the disk and the network, for whoever helps.
pub(super) async fn system(State(node): State<Node>) -> Answer {
    let network = node.running_network();
    let addresses = match &network {
        Some(network) => network.listen_addresses().await.iter().map(ToString::to_string).collect(),
        None => vec![],
    };
    let memory = memory();
    let (total, free) = disk(&node);
    Ok(one(&json!({
        "diskinfo": {"fstype": "", "total_space": total, "free_space": free},
        "environment": {"GOPATH": "", "IPFS_PATH": node.repository_path().to_string_lossy()},
        "ipfs_commit": "",
        "ipfs_version": RPC_VERSION,
        "memory": {
            "swap": memory.get("SwapTotal").copied().unwrap_or_default(),
            "virt": memory.get("MemTotal").copied().unwrap_or_default(),
        },
        "net": {"interface_addresses": addresses, "online": network.is_some()},
        "runtime": {
            "arch": std::env::consts::ARCH,
            "compiler": "rustc",
            "gomaxprocs": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "numcpu": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "numgoroutines": 0,
            "os": std::env::consts::OS,
            "version": concat!("cidra ", env!("CARGO_PKG_VERSION")),
        },
    })))
}

/// What the system says of its memory, in bytes; nothing where it says it otherwise.
fn memory() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let kilobytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
        Some((name.to_owned(), kilobytes * 1024))
    };
    text.lines().filter_map(line).collect()
}

/// Bytes of the disk with the repository, and how many of them are free.
fn disk(node: &Node) -> (u64, u64) {
    let stat = rustix::fs::statvfs(node.repository_path());
    stat.map_or((0, 0), |stat| (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
}
