//! The names of websites, as DNS knows them.

use std::time::{Duration, Instant};

use cidra_content::dnslink::{host, path_in};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use tokio::sync::OnceCell;

use super::{NameError, Step};
use crate::config::DnsServer;

/// Asks name servers, and remembers what they say for as long as they say.
#[derive(Default)]
pub(super) struct Dns {
    servers: Vec<DnsServer>,
    resolver: OnceCell<Option<TokioResolver>>,
}

impl Dns {
    pub(super) fn new(servers: Vec<DnsServer>) -> Self {
        Self { servers, resolver: OnceCell::new() }
    }

    /// Where a website's name leads.
    pub(super) async fn link(&self, name: &str) -> Result<Step, NameError> {
        let unknown = || NameError::Unknown { name: name.to_owned() };
        let resolver = self.resolver.get_or_init(async || self.resolver()).await.as_ref().ok_or_else(unknown)?;
        let plain = format!("{}.", name.strip_suffix('.').unwrap_or(name));
        // Websites have a label of their own for it; the bare name is asked for the sake of old ones.
        let found = match link_at(resolver, host(name)).await {
            Found::Nothing => link_at(resolver, plain).await,
            found => found,
        };
        match found {
            Found::Link(step) => Ok(step),
            Found::Nothing => Err(unknown()),
            Found::Failed(why) => Err(NameError::Dns { name: name.to_owned(), why }),
        }
    }

    fn resolver(&self) -> Option<TokioResolver> {
        let builder = match self.servers.is_empty() {
            true => TokioResolver::builder_tokio(),
            false => {
                let servers = self.servers.iter().map(server).collect();
                let config = ResolverConfig::from_parts(None, vec![], servers);
                Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
            }
        };
        let resolver = builder.and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = PATIENCE;
            options.cache_size = MAX_CACHED;
            builder.build()
        });
        resolver.inspect_err(|error| tracing::warn!(%error, "the names of websites cannot be looked up")).ok()
    }
}

/// For one question to one server, which is asked twice.
const PATIENCE: Duration = Duration::from_secs(3);
/// Answers that are remembered.
const MAX_CACHED: u64 = 1024;

fn server(DnsServer(address): &DnsServer) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

enum Found {
    Link(Step),
    Nothing,
    Failed(String),
}

async fn link_at(resolver: &TokioResolver, host: String) -> Found {
    let answer = match resolver.txt_lookup(host).await {
        Ok(answer) => answer,
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => return Found::Nothing,
        Err(error) => return Found::Failed(error.to_string()),
    };
    let texts: Vec<Vec<u8>> = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        })
        .collect();
    match path_in(texts.iter().map(Vec::as_slice)) {
        Some(path) => {
            let ttl = answer.valid_until().saturating_duration_since(Instant::now());
            Found::Link(Step { path, ttl: Some(ttl) })
        }
        None => Found::Nothing,
    }
}
