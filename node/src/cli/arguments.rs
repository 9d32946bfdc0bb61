//! What may be typed: the commands, the flags of all, and how a text becomes a value.
//!
//! Environment variables are read by hand where a holder decides whether they count, and because an empty one means unset.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Command as ClapCommand, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use libp2p::Multiaddr;

use super::endpoint::Endpoint;
use super::failure::{Exit, Failure, Outcome};
use super::units::parse_duration;
use super::warn;
use super::{
    add, block, bootstrap, cat, completion, config, daemon, dag, files, get, health, id, key, ls, name, network, pin,
    ping, refs, repo, resolve, routing, send, shutdown, stats, swarm, version,
};
use crate::config::multiaddr;

/// A content-addressed file network: add files, get them by hash from whoever has them.
#[derive(Parser)]
#[command(name = "cidra", version, max_term_width = 110, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cidra add photos/              import a folder, print its CID
  cidra daemon                   serve it to others
  cidra get CID -o photos        fetch it, on any other node

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found or not delivered, 130 interrupted.";

/// Flags that every command takes.
#[derive(Args, Clone, Debug)]
pub(super) struct Global {
    /// The repository [env: CIDRA_PATH] [default: ~/.cidra]
    #[arg(long, global = true, value_name = "DIR", help_heading = GLOBAL)]
    repo: Option<PathBuf>,
    /// Print one JSON object a line, with the fields of the RPC
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(super) json: bool,
    /// Say more on standard error; twice for details
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub(super) verbose: u8,
    /// Show progress on a terminal
    #[arg(long, global = true, action = ArgAction::SetFalse, help_heading = GLOBAL)]
    pub(super) progress: bool,
    /// Use only what is in the repository
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(super) offline: bool,
    /// End the command after this time, such as 30s or 5m
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, help_heading = GLOBAL)]
    pub(super) timeout: Option<Duration>,
    /// Speak to a daemon elsewhere [env: CIDRA_API]
    #[arg(long, global = true, value_name = "MULTIADDR", help_heading = GLOBAL)]
    api: Option<Endpoint>,
    /// A token of that daemon's API; the variable hides it from other users [env: CIDRA_API_AUTH]
    #[arg(long, global = true, value_name = "TOKEN", help_heading = GLOBAL)]
    api_auth: Option<Secret>,
    #[command(flatten)]
    node: NodeFlags,
}

const GLOBAL: &str = "Options of all commands";

/// A text that does not show itself.
#[derive(Clone)]
struct Secret(String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Flags for the node that a command starts where nobody holds the repository.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct NodeFlags {
    /// Listen for peers here; repeatable [env: CIDRA_LISTEN]
    #[arg(long, global = true, value_name = "MULTIADDR", value_parser = multiaddr, help_heading = NODE)]
    pub(super) listen: Vec<Multiaddr>,
    /// Meet this node first, in place of the list; repeatable, or `none` [env: CIDRA_BOOTSTRAP]
    #[arg(long, global = true, value_name = "MULTIADDR", help_heading = NODE)]
    pub(super) bootstrap: Vec<Introducer>,
    /// The key of a private network [env: CIDRA_SWARM_KEY]
    #[arg(long, global = true, value_name = "FILE", help_heading = NODE)]
    pub(super) swarm_key: Option<PathBuf>,
    /// Do not look for peers on the local network [env: CIDRA_NO_MDNS]
    #[arg(long, global = true, help_heading = NODE)]
    pub(super) no_mdns: bool,
}

const NODE: &str = "Options of a node that the command starts";

/// One value of `--bootstrap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Introducer {
    /// Meet nobody.
    Nobody,
    /// Meet whoever answers there.
    At(Multiaddr),
}

impl FromStr for Introducer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self::Nobody) } else { multiaddr(text).map(Self::At) }
    }
}

/// The commands.
#[derive(Clone, Subcommand)]
pub(super) enum Command {
    Add(add::Arguments),
    Block(block::Arguments),
    Bootstrap(bootstrap::Arguments),
    Cat(cat::Arguments),
    Completion(completion::Arguments),
    Config(config::Arguments),
    Daemon(daemon::Arguments),
    Dag(dag::Arguments),
    Files(files::Arguments),
    Get(get::Arguments),
    Health(health::Arguments),
    Id(id::Arguments),
    Key(key::Arguments),
    Ls(ls::Arguments),
    Name(name::Arguments),
    Network(network::Arguments),
    Pin(pin::Arguments),
    Ping(ping::Arguments),
    Refs(refs::Arguments),
    Repo(repo::Arguments),
    Resolve(resolve::Arguments),
    Routing(routing::Arguments),
    Send(send::Arguments),
    Shutdown(shutdown::Arguments),
    Stats(stats::Arguments),
    Swarm(swarm::Arguments),
    Version(version::Arguments),
}

impl Arguments {
    /// Reads the process's arguments. Ends the process for `--help`, and with code 2 where they are wrong.
    pub(super) fn from_process() -> Self {
        let mut command = command();
        let matches = match command.try_get_matches_from_mut(std::env::args_os()) {
            Ok(matches) => matches,
            Err(error) => refuse(&error),
        };
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

/// Ends the process: a help that was asked for, or what is wrong.
fn refuse(error: &clap::Error) -> ! {
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
        && let Some((_, what)) = LATER.iter().find(|(later, _)| later == name)
    {
        warn(&format!("this version has no command `{name}`: {what}"));
        std::process::exit(i32::from(Exit::Usage.code()));
    }
    error.exit()
}

/// Commands of Kubo that this version does not have, and what there is or will be.
const LATER: [(&str, &str); 2] = [
    ("init", "a repository needs none: the first command makes it"),
    ("tar", "`cidra get` writes files, `cidra dag export` archives"),
];

/// The whole command line. Every boolean takes `=true` and `=false`.
pub(super) fn command() -> ClapCommand {
    booleans_take_values(Arguments::command())
}

fn booleans_take_values(command: ClapCommand) -> ClapCommand {
    command
        .mut_args(|arg| {
            let default = match arg.get_action() {
                ArgAction::SetTrue => "false",
                ArgAction::SetFalse => "true",
                _ => return arg,
            };
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value(default)
                .value_name("BOOL")
                .value_parser(BoolishValueParser::new())
                .hide_possible_values(true)
                .hide_default_value(default == "false")
        })
        .mut_subcommands(booleans_take_values)
}

impl Global {
    /// The repository's folder.
    pub(super) fn repository(&self) -> Outcome<PathBuf> {
        let named = self.repo.clone().or_else(|| std::env::var_os("CIDRA_PATH").map(PathBuf::from));
        match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => Ok(path),
            None => crate::repository::default_path().ok_or_else(|| {
                Failure::usage("there is no home folder: name the repository with --repo or CIDRA_PATH")
            }),
        }
    }

    /// The API elsewhere that was named, if one was.
    pub(super) fn api(&self) -> Outcome<Option<Endpoint>> {
        match &self.api {
            Some(endpoint) => Ok(Some(endpoint.clone())),
            None => variable("CIDRA_API").map(|text| from_variable("CIDRA_API", &text)).transpose(),
        }
    }

    /// The token for it.
    pub(super) fn api_token(&self) -> Option<String> {
        self.api_auth.clone().map(|secret| secret.0).or_else(|| variable("CIDRA_API_AUTH"))
    }

    /// The flags for a node of our own, laid over the environment.
    pub(super) fn node_flags(&self) -> Outcome<NodeFlags> {
        let mut flags = self.node.clone();
        if flags.listen.is_empty() {
            flags.listen = list_in("CIDRA_LISTEN")?;
        }
        if flags.bootstrap.is_empty() {
            flags.bootstrap = list_in("CIDRA_BOOTSTRAP")?;
        }
        flags.swarm_key = flags.swarm_key.or_else(|| variable("CIDRA_SWARM_KEY").map(PathBuf::from));
        flags.no_mdns |= switch_in("CIDRA_NO_MDNS")?;
        Ok(flags)
    }

    /// Refuses flags for a node of our own where another one does the work.
    pub(super) fn refuse_node_flags(&self, who: &str) -> Outcome {
        let given = [
            ("--listen", !self.node.listen.is_empty()),
            ("--bootstrap", !self.node.bootstrap.is_empty()),
            ("--swarm-key", self.node.swarm_key.is_some()),
            ("--no-mdns", self.node.no_mdns),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => {
                let message = format!("{flag} is for a node that this command starts, but {who} does the work");
                Err(Failure::usage(format!("{message}: leave it out, or stop that one first")))
            }
            None => Ok(()),
        }
    }
}

impl NodeFlags {
    /// The bootstrap list that was given; `none` empties it.
    pub(super) fn bootstrap_list(&self) -> Option<Vec<Multiaddr>> {
        if self.bootstrap.is_empty() {
            return None;
        }
        let addresses = self.bootstrap.iter().filter_map(|introducer| match introducer {
            Introducer::At(address) => Some(address.clone()),
            Introducer::Nobody => None,
        });
        Some(addresses.collect())
    }
}

/// A variable of the environment; an empty one is unset.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A value from a variable of the environment.
pub(super) fn from_variable<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Outcome<T> {
    text.parse().map_err(|error| Failure::usage(format!("{name}: {text:?}: {error}")))
}

/// A list in a variable, parted by commas.
pub(super) fn list_in<T: FromStr<Err: std::fmt::Display>>(name: &str) -> Outcome<Vec<T>> {
    let text = variable(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| from_variable(name, item)).collect()
}

/// A boolean in a variable.
pub(super) fn switch_in(name: &str) -> Outcome<bool> {
    match variable(name).map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("0" | "false" | "no" | "off") => Ok(false),
        Some("1" | "true" | "yes" | "on") => Ok(true),
        Some(other) => Err(Failure::usage(format!("{name}: {other:?} is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests;
