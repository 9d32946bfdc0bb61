//! Figures for Prometheus, where they are asked for: one route, one answer a connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cidra_node::metrics::Figures;
use cidra_node::network::{Network, Stats};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Answers as long as it lives.
pub(crate) struct Metrics(AbortHandle);

impl Drop for Metrics {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to answer at the address, if there is one.
pub(crate) async fn serve(address: Option<&Option<Multiaddr>>, network: Network) -> Result<Option<Metrics>> {
    let Some(Some(address)) = address else { return Ok(None) };
    let socket = socket(address).with_context(|| format!("cannot serve metrics on {address}"))?;
    let listener = TcpListener::bind(socket).await;
    let listener = listener.with_context(|| format!("cannot serve metrics on {address} (--metrics-listen)"))?;
    crate::say(&format!("Metrics server listening on {}", listener.local_addr()?));
    let answer = async move {
        // One after the other: whoever is slow has two seconds.
        while let Ok((stream, _)) = listener.accept().await {
            let figures = figures(&network.stats().await);
            let _ = timeout(PATIENCE, respond(stream, &figures)).await; // who asked went away
        }
    };
    Ok(Some(Metrics(tokio::spawn(answer).abort_handle())))
}

const PATIENCE: Duration = Duration::from_secs(2);

fn socket(address: &Multiaddr) -> Result<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => bail!("it begins with neither /ip4/ nor /ip6/"),
    };
    match (parts.next(), parts.next()) {
        (Some(Protocol::Tcp(port)), None) => Ok(SocketAddr::new(ip, port)),
        _ => bail!("it does not end with /tcp/PORT"),
    }
}

async fn respond(mut stream: TcpStream, figures: &str) -> std::io::Result<()> {
    let mut request = [0; MAX_REQUEST];
    let mut length = 0;
    while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[length..]).await? {
            0 => return Ok(()),
            read => length += read,
        }
    }
    let is_asked_for = request.starts_with(b"GET /metrics ") || request.starts_with(b"GET /debug/metrics/prometheus ");
    let (status, body) = if is_asked_for { ("200 OK", figures) } else { ("404 Not Found", "see /metrics\n") };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

/// The head of a request, in bytes; a longer one gets no answer.
const MAX_REQUEST: usize = 8 * 1024;

fn figures(stats: &Stats) -> String {
    let mut figures = Figures::new(env!("CARGO_PKG_VERSION"));
    figures
        .gauge("cidra_swarm_peers", "Peers that are connected", stats.peers as f64)
        .counter("cidra_swarm_dials", "Connections that were tried from here", stats.dials)
        .counter("cidra_swarm_dials_made", "Connections that were made from here", stats.dials_made)
        .counter("cidra_swarm_accepted", "Connections that were made from there", stats.accepted)
        .gauge("cidra_dht_provider_records", "Provider records held", stats.provider_records as f64)
        .text()
}
