//! The command line: flags, each with an environment variable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use cidra_node::network::RelayLimits;
use clap::builder::OsStringValueParser;
use clap::{Parser, Subcommand};
use libp2p::Multiaddr;

/// Introduces peers to one another: a server of the DHT that holds no content.
#[derive(Debug, Parser)]
#[command(name = "cidra-bootstrap", version, after_help = EXAMPLE)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Listen there; repeatable. A port that is taken is replaced by a free one [default: port 4001, TCP and QUIC]
    #[arg(long, value_name = "MULTIADDR", env = "CIDRA_LISTEN", value_delimiter = ',', value_parser = address)]
    listen: Vec<Option<Multiaddr>>,
    /// Keep identity and provider records in this folder [default: ~/.cidra-bootstrap]
    #[arg(long, value_name = "DIR", env = "CIDRA_DATA", global = true, value_parser = OsStringValueParser::new())]
    data: Option<OsString>,
    /// Be part of the private network with this key, and of no other
    #[arg(long, value_name = "FILE", env = "CIDRA_SWARM_KEY", value_parser = OsStringValueParser::new())]
    swarm_key: Option<OsString>,
    /// Meet these nodes; repeatable
    #[arg(long, value_name = "MULTIADDR", env = "CIDRA_BOOTSTRAP", value_delimiter = ',', value_parser = address)]
    bootstrap: Vec<Option<Multiaddr>>,
    /// Serve figures for Prometheus there, under /metrics
    #[arg(long, value_name = "MULTIADDR", env = "CIDRA_METRICS_LISTEN", value_parser = address)]
    pub(crate) metrics_listen: Option<Option<Multiaddr>>,
    /// Keep a place for so many nodes that nobody can dial
    #[arg(long, value_name = "N", env = "CIDRA_RELAY_RESERVATIONS", default_value_t = RelayLimits::default().reservations)]
    relay_reservations: usize,
    /// Relay so many connections at a time
    #[arg(long, value_name = "N", env = "CIDRA_RELAY_CIRCUITS", default_value_t = RelayLimits::default().circuits)]
    relay_circuits: usize,
    /// Carry so many bytes over each of them, each way; they are for finding a direct way
    #[arg(long, value_name = "N", env = "CIDRA_RELAY_BYTES", default_value_t = RelayLimits::default().bytes)]
    relay_bytes: u64,
    /// End each of them after so many seconds
    #[arg(long, value_name = "N", env = "CIDRA_RELAY_SECONDS", default_value_t = RelayLimits::default().duration.as_secs())]
    relay_seconds: u64,
}

/// What to do in place of running.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask the cidra-bootstrap that runs with this --data whether it is ready: exit code 0 if it is
    Health,
}

const EXAMPLE: &str = "Example:\n  cidra-bootstrap --listen /ip4/0.0.0.0/tcp/4001 --data /var/lib/cidra-bootstrap";

impl Arguments {
    pub(crate) fn data(&self) -> Result<PathBuf> {
        match self.data.as_ref().filter(|path| !path.is_empty()) {
            Some(path) => Ok(PathBuf::from(path)),
            None => {
                let home = std::env::home_dir().context("there is no home directory: name a folder with --data")?;
                Ok(home.join(".cidra-bootstrap"))
            }
        }
    }

    pub(crate) fn listen(&self) -> Vec<Multiaddr> {
        if self.listen.is_empty() {
            return DEFAULT_LISTEN.map(|text| text.parse().expect("a literal address")).to_vec();
        }
        self.listen.iter().flatten().cloned().collect()
    }

    pub(crate) fn bootstrap(&self) -> Vec<Multiaddr> {
        self.bootstrap.iter().flatten().cloned().collect()
    }

    pub(crate) fn relay_limits(&self) -> RelayLimits {
        RelayLimits {
            reservations: self.relay_reservations,
            circuits: self.relay_circuits,
            bytes: self.relay_bytes,
            duration: Duration::from_secs(self.relay_seconds),
        }
    }

    /// An empty variable, as compose files make them, is as good as none.
    pub(crate) fn swarm_key(&self) -> Option<&Path> {
        self.swarm_key.as_ref().filter(|path| !path.is_empty()).map(Path::new)
    }
}

const DEFAULT_LISTEN: [&str; 4] =
    ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/udp/4001/quic-v1"];

/// `none`, and nothing at all, name no address.
fn address(text: &str) -> Result<Option<Multiaddr>, String> {
    match text {
        "" | "none" => Ok(None),
        text => text.parse().map(Some).map_err(|error| format!("not a multiaddr: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn nothing_named_means_the_usual_ports() {
        let arguments = Arguments::parse_from(["cidra-bootstrap"]);

        assert_eq!(arguments.listen().len(), 4);
        assert!(arguments.bootstrap().is_empty());
    }

    #[test]
    fn none_and_empty_name_no_address() {
        let arguments = Arguments::parse_from(["cidra-bootstrap", "--bootstrap", "none", "--swarm-key", ""]);

        assert!(arguments.bootstrap().is_empty());
        assert_eq!(arguments.swarm_key(), None);
    }

    #[test]
    fn an_address_that_does_not_parse_is_refused() {
        assert!(Arguments::try_parse_from(["cidra-bootstrap", "--listen", "localhost:4001"]).is_err());
    }
}
